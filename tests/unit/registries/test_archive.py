from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registries.copy import copy_image, plan_copy
from registries.digest import Digest
from registries.errors import Refusal, UsageError
from registries.kinds.archive import ArchiveRegistry
from registries.kinds.layout import LayoutRegistry
from registries.kinds.memory import MemoryRegistry
from registries.limits import CHUNK_BYTES
from registries.registry import Location
from registries.tarball import MEMBERS, Tarball
from tests.images import Image, blob, image, push_blob, referrer

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
LARGE = os.urandom(3 * CHUNK_BYTES + 7)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("layout")
    place = Location(LayoutRegistry.create(root), "")
    made = image().push(place, "v1")
    referrer(made.manifest).push(place)
    push_blob(place, blob(LARGE), LARGE)
    return root


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "image.tar"


def made() -> Image:
    return image()


def pack(layout: Path, file: Path, mode: str = "w", *, prefix: str = "", tar_format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(file, mode, format=tar_format) as tar:  # type: ignore[call-overload]
        for path in (layout, *layout.iterdir()) if prefix else layout.iterdir():
            tar.add(path, f"{prefix}{path.relative_to(layout)}" if path != layout else ".", recursive=path != layout)
    return file


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """One member with its header, in ustar form where that can hold it and in GNU form else."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + padded(content)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def pax(records: Sequence[tuple[bytes, bytes]], kind: bytes = tarfile.XHDTYPE) -> bytes:
    content = b""
    for key, value in records:
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + len(str(len(rest)))
        content += str(length if len(str(length)) == len(str(len(rest))) else length + 1).encode() + rest
    return member("pax", content, kind)


def opened(file: Path, *parts: bytes, end: bytes = END) -> Tarball:
    file.write_bytes(b"".join(parts) + end)
    return Tarball.open(file)


def open_files() -> dict[str, str]:
    """The open files of this process by number; the folder that is listed here is left out."""
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[link.name] = str(link.readlink())
    return found


def content(tarball: Tarball) -> dict[str, bytes]:
    return {name: b"".join(found.chunks()) for name, found in tarball.members.items()}


# an image in an archive


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_layout_in_an_archive_is_read_like_the_folder(
    layout: Path, file: Path, mode: str, tar_format: int, prefix: str
) -> None:
    archive = ArchiveRegistry(pack(layout, file, mode, prefix=prefix, tar_format=tar_format))
    folder = LayoutRegistry(layout)
    digest = made().digest
    assert archive.name == f"oci-archive:{file}"
    assert archive.tags("") == ("v1",)
    assert archive.resolve("", "v1") == digest
    assert archive.manifest("", digest) == made().manifest
    assert archive.referrers("", digest) == folder.referrers("", digest)
    assert b"".join(archive.blob("", blob(LARGE))) == LARGE
    assert all(archive.holds("", descriptor) for descriptor, _ in made().blobs)
    assert not archive.holds("", blob(b"absent"))
    assert code(lambda: archive.blob("", blob(b"absent"))) == "blob-not-found"
    assert code(lambda: archive.manifest("", Digest.of(b"absent"))) == "image-not-found"
    assert code(lambda: archive.resolve("", "absent")) == "image-not-found"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_image_is_copied_out_of_an_archive(layout: Path, file: Path, mode: str) -> None:
    source = Location(ArchiveRegistry(pack(layout, file, mode)), "")
    destination = Location(MemoryRegistry(), "app")
    copy_image(plan_copy(made().digest, source, destination))
    assert destination.registry.manifest("app", made().digest) == made().manifest
    assert len(destination.registry.referrers("app", made().digest)) == 1


def test_many_threads_read_one_archive_at_once(layout: Path, file: Path) -> None:
    archive = ArchiveRegistry(pack(layout, file))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: b"".join(archive.blob("", blob(LARGE))), range(16)))
    assert set(read) == {LARGE}


def test_an_archive_stays_readable_when_its_name_is_gone(layout: Path, file: Path) -> None:
    archive = ArchiveRegistry(pack(layout, file))
    file.unlink()
    assert b"".join(archive.blob("", blob(LARGE))) == LARGE


def test_nothing_can_be_put_into_an_archive(layout: Path, file: Path) -> None:
    archive = ArchiveRegistry(pack(layout, file))
    before = file.read_bytes()
    assert code(lambda: push_blob(Location(archive, ""), blob(b"x"), b"x")) == "place-read-only"
    assert code(lambda: archive.tag("", "v2", made().manifest, expected=None)) == "place-read-only"
    with pytest.raises(UsageError) as error:
        archive.push_manifest("", made().manifest)
    assert error.value.code == "place-read-only"
    assert error.value.reasons[0].hint
    assert file.read_bytes() == before


def test_t095_a_byte_changed_in_an_archive_is_noticed(layout: Path, file: Path) -> None:
    content = bytearray(pack(layout, file).read_bytes())
    content[content.index(LARGE) + 5] ^= 1
    file.write_bytes(content)
    archive = ArchiveRegistry(file)
    assert code(lambda: list(archive.blob("", blob(LARGE)))) == "digest-mismatch"
    assert not archive.holds("", blob(LARGE))


def test_an_archive_that_shrinks_while_it_is_open_is_noticed(layout: Path, file: Path) -> None:
    archive = ArchiveRegistry(pack(layout, file))
    os.truncate(file, 10)
    assert code(lambda: list(archive.blob("", blob(LARGE)))) == "archive-malformed"


@pytest.mark.parametrize("missing", ["oci-layout", "index.json"])
def test_an_archive_of_something_else_is_not_found(layout: Path, file: Path, missing: str) -> None:
    with tarfile.open(file, "w") as tar:
        for path in layout.iterdir():
            if path.name != missing:
                tar.add(path, path.name)
    with pytest.raises(Refusal) as error:
        ArchiveRegistry(file)
    assert error.value.code == "image-not-found"
    assert missing in str(error.value)


def test_an_archive_of_a_layout_of_another_version_is_refused(file: Path) -> None:
    file.write_bytes(member("oci-layout", b'{"imageLayoutVersion":"9"}') + member("index.json", b"{}") + END)
    assert code(lambda: ArchiveRegistry(file)) == "layout-unsupported"


def test_a_layout_with_links_is_refused(layout: Path, file: Path) -> None:
    with tarfile.open(pack(layout, file), "a") as tar:
        link = tarfile.TarInfo(f"blobs/sha256/{'a' * 64}")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert code(lambda: ArchiveRegistry(file)) == "archive-malformed"


def test_files_that_are_no_blobs_are_left_aside(layout: Path, file: Path) -> None:
    with tarfile.open(pack(layout, file), "a") as tar:
        for name in ("manifest.json", "blobs/sha256/short", "blobs/md5/x", "blobs/a/b/c", f"blobs/sha256/{'A' * 64}"):
            tar.addfile(tarfile.TarInfo(name))
    assert ArchiveRegistry(file).resolve("", "v1") == made().digest


@pytest.mark.parametrize("what", ["absent", "folder"])
def test_an_archive_that_is_not_there_is_not_found(tmp_path: Path, what: str) -> None:
    path = tmp_path if what == "folder" else tmp_path / "absent.tar"
    assert code(lambda: ArchiveRegistry(path)) == "image-not-found"


# compressed archives


def test_an_archive_of_several_gzip_members_is_read(layout: Path, file: Path) -> None:
    content = pack(layout, file).read_bytes()
    file.write_bytes(gzip.compress(content[:1000]) + gzip.compress(content[1000:]))
    assert ArchiveRegistry(file).resolve("", "v1") == made().digest


@pytest.mark.parametrize("damage", ["cut", "flipped", "header only", "garbage after it"])
def test_a_damaged_gzip_file_is_refused(layout: Path, file: Path, damage: str) -> None:
    content = gzip.compress(pack(layout, file).read_bytes())
    file.write_bytes(
        {
            "cut": content[:-20],
            "flipped": content[:100] + bytes([content[100] ^ 1]) + content[101:],
            "header only": content[:2],
            "garbage after it": content + b"garbage",
        }[damage]
    )
    assert code(lambda: ArchiveRegistry(file)) == "archive-malformed"


def test_t034_a_compressed_archive_is_unpacked_to_the_limit_and_not_one_byte_further(layout: Path, file: Path) -> None:
    content = pack(layout, file).read_bytes()
    file.write_bytes(gzip.compress(content))
    assert ArchiveRegistry(file, limit=len(content)).tags("") == ("v1",)
    assert code(lambda: ArchiveRegistry(file, limit=len(content) - 1)) == "size-limit"


def test_t034_a_bomb_is_left_at_the_limit(file: Path) -> None:
    with gzip.open(file, "wb") as bomb:
        for _ in range(64):
            bomb.write(bytes(1 << 20))
    assert code(lambda: Tarball.open(file, limit=1 << 20)) == "size-limit"


# tar files as others write them


def test_members_are_found_where_they_lie(file: Path) -> None:
    tarball = opened(
        file,
        member("folder/", kind=tarfile.DIRTYPE),
        member("folder/file", b"x" * 600),
        member("./empty"),
        member("old", b"old", tarfile.AREGTYPE),
    )
    assert content(tarball) == {"folder/file": b"x" * 600, "empty": b"", "old": b"old"}


def test_long_names_are_read_in_both_ways_of_writing_them(file: Path) -> None:
    long = "/".join(["folder" * 5] * 8)
    tarball = opened(
        file,
        member(f"{long}/gnu", b"1"),
        pax([(b"mtime", b"1.5"), (b"path", f"{long}/pax".encode())]),
        member("p", b"2"),
    )
    assert content(tarball) == {f"{long}/gnu": b"1", f"{long}/pax": b"2"}


def test_a_size_in_a_pax_header_counts(file: Path) -> None:
    info = tarfile.TarInfo("file")
    tarball = opened(
        file, pax([(b"size", b"3")]), info.tobuf(tarfile.USTAR_FORMAT), padded(b"abc"), member("next", b"n")
    )
    assert content(tarball) == {"file": b"abc", "next": b"n"}


def test_a_global_pax_header_with_other_things_is_passed_over(file: Path) -> None:
    tarball = opened(file, pax([(b"comment", b"\xff any bytes")], tarfile.XGLTYPE), member("file", b"x"))
    assert content(tarball) == {"file": b"x"}


def test_links_lead_to_names_in_the_archive(file: Path) -> None:
    tarball = opened(
        file,
        member("a/layer.tar", b"x"),
        member("b/layer.tar", kind=tarfile.SYMTYPE, link="../a/layer.tar"),
        member("c/layer.tar", kind=tarfile.LNKTYPE, link="a/layer.tar"),
        member("d/layer.tar", kind=tarfile.SYMTYPE, link="../../../etc/passwd"),
        member("e/layer.tar", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        pax([(b"linkpath", b"../a/layer.tar")]),
        member("f/layer.tar", kind=tarfile.SYMTYPE, link="ignored"),
    )
    assert tarball.links == {
        "b/layer.tar": "a/layer.tar",
        "c/layer.tar": "a/layer.tar",
        "d/layer.tar": "../../etc/passwd",
        "e/layer.tar": "/etc/passwd",
        "f/layer.tar": "a/layer.tar",
    }


NAMES = ["/etc/passwd", "../x", "a/../b", "a/..", "..", "a//b", "a/./b", "././a", "", "a\n", "a\x1b[0m", "a/", "./"]


@pytest.mark.parametrize("name", NAMES)
def test_t046_a_name_that_could_lead_elsewhere_is_refused(file: Path, name: str) -> None:
    info = tarfile.TarInfo(name)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    if name.endswith("/"):  # a file by its type, a folder by its name
        info.type = tarfile.CONTTYPE
        header = info.tobuf(tarfile.USTAR_FORMAT)
    assert code(lambda: opened(file, header)) == "archive-malformed"


@pytest.mark.parametrize("name", [name for name in NAMES if name and "\n" not in name])
def test_t046_a_pax_name_that_could_lead_elsewhere_is_refused(file: Path, name: str) -> None:
    assert code(lambda: opened(file, pax([(b"path", name.encode())]), member("fine"))) == "archive-malformed"


@pytest.mark.parametrize(
    "parts",
    [
        (member("a", b"1"), member("a", b"2")),
        (member("a", b"1"), member("./a", b"1")),
        (member("a", b"1"), pax([(b"path", b"a")]), member("b", b"2")),
        (member("a", b"1"), member("a", kind=tarfile.SYMTYPE, link="b")),
        (member("a", kind=tarfile.SYMTYPE, link="b"), member("a", b"1")),
        (member("a/", kind=tarfile.DIRTYPE), member("a", b"1")),
        (member("a", b"1"), member("a/", kind=tarfile.DIRTYPE)),
    ],
)
def test_a_name_that_is_given_twice_is_refused(file: Path, parts: tuple[bytes, ...]) -> None:
    assert code(lambda: opened(file, *parts)) == "archive-malformed"


def test_a_folder_may_be_given_twice(file: Path) -> None:
    assert opened(file, *[member("a/", kind=tarfile.DIRTYPE)] * 2, member("a/b", b"x")).members.keys() == {"a/b"}


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        b"D",
        b"M",
        b"V",
        b"Z",
        b"\xff",
    ],
)
def test_what_is_neither_file_nor_folder_is_refused(file: Path, kind: bytes) -> None:
    assert code(lambda: opened(file, member("a", kind=kind))) == "archive-malformed"


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_what_is_no_file_has_no_content(file: Path, kind: bytes) -> None:
    """Programs differ on whether bytes follow such a header, and so on where the next one is."""
    inner = member("hidden", b"x")
    assert code(lambda: opened(file, member("a", inner, kind, link="b"))) == "archive-malformed"


@pytest.mark.parametrize(
    "parts",
    [
        (pax([(b"GNU.sparse.major", b"1")]), member("a", b"x")),
        (pax([(b"GNU.sparse.\xff", b"1")]), member("a", b"x")),
        (pax([(b"path", b"a")], tarfile.XGLTYPE), member("b", b"x")),
        (pax([(b"size", b"1")], tarfile.XGLTYPE), member("b", b"x")),
        (pax([(b"linkpath", b"a")], tarfile.XGLTYPE), member("b", b"x")),
        (pax([(b"size", b"-1")]), member("a", b"x")),
        (pax([(b"size", b"1_0")]), member("a", b"x")),
        (pax([(b"size", "\u0661".encode())]), member("a", b"x")),
        (pax([(b"size", b"9" * 30)]), member("a", b"x")),
        (pax([(b"path", b"\xff")]), member("a", b"x")),
        (pax([(b"path", b"a\x00b")]), member("a", b"x")),
        (member("pax", b"x", tarfile.XHDTYPE), member("a", b"x")),
        (member("pax", b"0 path=a\n", tarfile.XHDTYPE), member("a", b"x")),
        (member("pax", b"8 path=a\n", tarfile.XHDTYPE), member("a", b"x")),
        (member("pax", b"99 path=a\n", tarfile.XHDTYPE), member("a", b"x")),
        (member("pax", b"10 path=aX", tarfile.XHDTYPE), member("a", b"x")),
        (member("pax", b"2 ", tarfile.XHDTYPE), member("a", b"x")),
        (member("pax", b"-5 path=a\n", tarfile.XHDTYPE), member("a", b"x")),
        (member("pax", b" " * 70_000, tarfile.XHDTYPE), member("a", b"x")),
        (member("long", b"\xff", tarfile.GNUTYPE_LONGNAME), member("a", b"x")),
        (member("long", b"a" * 70_000, tarfile.GNUTYPE_LONGNAME), member("a", b"x")),
    ],
)
def test_headers_that_programs_could_read_differently_are_refused(file: Path, parts: tuple[bytes, ...]) -> None:
    assert code(lambda: opened(file, *parts)) == "archive-malformed"


def test_a_name_that_is_not_utf_8_is_refused(file: Path) -> None:
    assert code(lambda: opened(file, member("a\udcff"))) == "archive-malformed"


@pytest.mark.parametrize(
    "size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"7" * 11 + b" ", b"00000000x01\x00", b"-0000000001\x00"]
)
def test_a_size_that_leads_out_of_the_file_is_refused(file: Path, size: bytes) -> None:
    header = bytearray(member("a"))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:BLOCK])
    assert code(lambda: opened(file, bytes(header))) == "archive-malformed"


@pytest.mark.parametrize("cut", [1, 511, 513, 700, 1100, 1536, 2047])
def test_an_archive_that_was_cut_off_is_refused(file: Path, cut: int) -> None:
    whole = member("a", b"x" * 100) + member("b", b"y" * 100)
    assert code(lambda: opened(file, whole[:cut], end=b"")) == "archive-malformed"


def test_an_archive_without_its_end_is_refused(file: Path) -> None:
    whole = member("a", b"x") + member("b", b"y")
    assert code(lambda: opened(file, whole, end=b"")) == "archive-malformed"
    assert content(opened(file, whole, end=bytes(BLOCK))) == {"a": b"x", "b": b"y"}


def test_a_damaged_header_does_not_end_an_archive_quietly(file: Path) -> None:
    """Some programs take it for the end; what comes after it would be hidden from them, or from us."""
    damaged = bytearray(member("b", b"y"))
    damaged[0] ^= 1
    assert code(lambda: opened(file, member("a", b"x"), bytes(damaged))) == "archive-malformed"


@pytest.mark.parametrize(
    "content", [b"", b"x", b"no tar file" * 100, b"PK\x03\x04" + bytes(600), b"\x28\xb5\x2f\xfd" * 200]
)
def test_what_is_no_tar_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert code(lambda: Tarball.open(file)) == "archive-malformed"


def test_members_are_counted_to_the_limit_and_refused_one_beyond(file: Path) -> None:
    stream = io.BytesIO()
    for number in range(MEMBERS):
        stream.write(member(str(number), kind=(tarfile.REGTYPE, tarfile.DIRTYPE)[number % 2]))
    assert len(opened(file, stream.getvalue()).members) == MEMBERS // 2
    assert code(lambda: opened(file, stream.getvalue(), member("beyond"))) == "limit-exceeded"


def test_a_spooled_stream_is_in_a_file_that_has_no_name(file: Path) -> None:
    before = open_files()
    tarball = Tarball.spool([member("a", b"x"), END], where="here")
    (opened_since,) = open_files().items() - before.items()
    assert content(tarball) == {"a": b"x"}
    assert opened_since[1].endswith("(deleted)")


def test_a_spooled_stream_is_written_to_the_limit_and_not_one_byte_further() -> None:
    stream = [member("a", b"x"), END]
    size = sum(map(len, stream))
    assert Tarball.spool(stream, where="here", limit=size).members
    assert code(lambda: Tarball.spool(stream, where="here", limit=size - 1)) == "size-limit"


def test_the_file_is_closed_with_the_last_who_reads_it(file: Path) -> None:
    before = open_files()
    found = opened(file, member("a", b"x")).members["a"]
    assert b"".join(found.chunks()) == b"x"
    assert len(open_files()) == len(before) + 1
    del found
    assert open_files() == before
