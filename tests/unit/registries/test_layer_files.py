"""The files of a layer, from archives as builders write them and as attackers do."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registries.errors import ContentError
from registries.layer_files import layer_files

FILES = st.lists(st.tuples(st.text("ab/.é", min_size=1, max_size=120), st.binary(max_size=3000)), max_size=6)


def archive(files: Iterable[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name, content in files:
            tar.addfile(member(name, size=len(content)), io.BytesIO(content))
    return target.getvalue()


def member(name: str, *, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type, made.linkname = size, kind, link
    return made


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[place : place + size] for place in range(0, len(content), size))


def read(content: bytes, size: int = 1000, **limits: int) -> list[tuple[str, bytes]]:
    return [(file.path, b"".join(file.content)) for file in layer_files(pieces(content, size), **limits)]


def refused(content: bytes, **limits: int) -> str:
    with pytest.raises(ContentError) as error:
        read(content, **limits)
    return error.value.code


@given(files=FILES, size=st.integers(1, 5000), form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_every_file_comes_whole_however_the_layer_is_cut(files: list[tuple[str, bytes]], size: int, form: int) -> None:
    expected = [(name.rstrip("/") or name, content) for name, content in files if not name.endswith("/")]
    content = archive([(name, content) for name, content in files if not name.endswith("/")], form)
    assert read(content, size) == expected
    assert read(gzip.compress(content), size) == expected


def test_a_file_that_nobody_reads_is_passed_over() -> None:
    content = archive([("a", b"x" * 100_000), ("b", b"y")])
    names, contents = [], []
    for file in layer_files(pieces(content, 777)):
        names.append(file.path)
        if file.path == "b":
            contents.append(b"".join(file.content))
    assert (names, contents) == (["a", "b"], [b"y"])


def test_several_gzip_members_are_one_layer() -> None:
    content = archive([("a", b"x" * 5000), ("b", b"y")])
    parts = gzip.compress(content[:3000]) + gzip.compress(content[3000:])
    assert [path for path, _ in read(parts)] == ["a", "b"]


def test_what_is_no_regular_file_has_no_content_and_names_nothing_outside() -> None:
    target = io.BytesIO()
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    with tarfile.open(fileobj=target, mode="w") as tar:
        for number, kind in enumerate(kinds):
            tar.addfile(member(f"odd{number}", kind=kind, link="/etc/passwd"))
        tar.addfile(member("../../etc/cron.d/x", size=1), io.BytesIO(b"x"))
        tar.addfile(member("dir/.wh.gone"))
    assert read(target.getvalue()) == [("../../etc/cron.d/x", b"x"), ("dir/.wh.gone", b"")]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "hidden", ["after the end", "behind an odd header", "in the middle of a file", "no end", "after one zero block"]
)
def test_what_would_be_skipped_is_refused(hidden: str, *, packed: bool) -> None:
    first, second = archive([("a", b"x" * 600)])[: 512 + 1024], archive([("b", b"evil")])
    odd = bytearray(second)
    odd[148:156] = b"77777\0 "[:8].ljust(8, b" ")
    made = {
        "after the end": first + bytes(1024) + second,
        "behind an odd header": first + bytes(odd),
        "in the middle of a file": first[:900],
        "no end": first,
        "after one zero block": first + bytes(512) + second,
    }[hidden]
    assert refused(gzip.compress(made) if packed else made) == "layer-malformed"


def test_a_gzip_that_is_cut_or_followed_by_something_else_is_refused() -> None:
    packed = gzip.compress(archive([("a", b"x" * 5000)]))
    assert refused(packed[:-9]) == "layer-malformed"
    assert refused(packed + b"evil") == "layer-malformed"
    assert refused(packed[:40] + b"\xff" + packed[41:]) == "layer-malformed"


@pytest.mark.parametrize("content", [b"", b"no archive" * 100, b"\x1f\x8b", bytes(100)])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    assert refused(content) == "layer-malformed"


def test_an_empty_archive_has_no_files() -> None:
    assert read(archive([])) == []


def test_zstd_is_told() -> None:
    assert refused(b"\x28\xb5\x2f\xfd" + bytes(100)) == "layer-compression-unknown"


def test_more_than_the_limits_is_refused() -> None:
    content = archive([("a", bytes(5000)), ("b", b"")])
    assert refused(content, most_files=1) == "limit-exceeded"
    assert refused(gzip.compress(content), most_bytes=2000) == "limit-exceeded"


def test_bombs_take_no_memory() -> None:
    """A gigabyte of zeros in a megabyte, and a header that claims to be as large."""
    bomb = gzip.compress(archive([("zeros", bytes(64 * 1024 * 1024))]))
    header = member("x", size=2**33, kind=tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)
    claims = header + bytes(10_000)
    tracemalloc.start()
    try:
        assert [sum(map(len, file.content)) for file in layer_files(pieces(bomb, 4096))] == [64 * 1024 * 1024]
        assert refused(claims) == "limit-exceeded"
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_sparse_file_is_as_long_as_it_says() -> None:
    """GNU's sparse format holds a gigabyte of nothing in a block; it is read a piece at a time."""
    header = bytearray(member("sparse", size=512, kind=tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    real = 3 * 1024 * 1024
    header[386:398], header[398:410] = b"%011o\0" % (real - 512), b"%011o\0" % 512
    header[482] = 0
    header[483:495] = b"%011o\0" % real
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content = bytes(header) + b"x" * 512 + bytes(1024)
    ((path, found),) = read(content)
    assert (path, len(found), found[-512:]) == ("sparse", real, b"x" * 512)
