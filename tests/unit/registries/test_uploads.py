from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registries.digest import Digest
from registries.errors import Refusal
from registries.uploads import Uploads


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads")


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def opened(uploads: Uploads, session: str) -> None:
    with uploads.open(session):
        pass


def fill(uploads: Uploads, session: str, content: bytes) -> None:
    with uploads.open(session) as growing:
        growing.write(content)


_STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "take back", "other process", "behind its back"]), st.binary(max_size=40)),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(steps=_STEPS, begun=st.sampled_from([None, "sha256", "sha512"]), asked=st.sampled_from(["sha256", "sha512"]))
def test_the_digest_is_that_of_all_bytes_whoever_wrote_them(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes]], begun: str | None, asked: str
) -> None:
    """What this process has hashed as it came, and what another one wrote or wrote again, make one digest."""
    folder = tmp_path_factory.mktemp("uploads")
    mine, other = Uploads(folder), Uploads(folder)
    session, expected = mine.begin(begun), b""
    for what, content in steps:
        match what:
            case "take back":
                with mine.open(session) as growing:
                    growing.write(content)
                    growing.rewind(len(expected))
                continue
            case "other process":
                fill(other, session, content)
            case "behind its back":  # as when the disk was full in the middle of a chunk
                with mine.path(session).open("ab") as file:
                    file.write(content)
            case _:
                fill(mine, session, content)
        expected += content
    with mine.open(session, asked) as growing:
        assert growing.size == len(expected)
        assert growing.digest(asked) == Digest.of(expected, asked)
        growing.publish(folder / "final")
    assert (folder / "final").read_bytes() == expected


def test_an_upload_has_one_writer_at_a_time_in_all_processes(uploads: Uploads) -> None:
    session = uploads.begin()
    with uploads.open(session):
        for other in (uploads, Uploads(uploads.folder)):
            assert code(lambda: opened(other, session)) == "upload-busy"  # noqa: B023
            assert code(lambda: other.cancel(session)) == "upload-busy"  # noqa: B023
    opened(Uploads(uploads.folder), session)


def test_a_young_upload_is_never_busy_with_being_cleaned(uploads: Uploads) -> None:
    session = uploads.begin()
    ended = threading.Event()

    def clean() -> None:
        while not ended.is_set():
            uploads.clean(before=1000)

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for _ in range(1000):
            opened(uploads, session)
    finally:
        ended.set()
        cleaner.join()


def test_what_was_published_or_cancelled_is_no_upload_any_more(uploads: Uploads, tmp_path: Path) -> None:
    for end in ("publish", "discard", "cancel"):
        session = uploads.begin()
        fill(uploads, session, b"whole")
        with uploads.open(session) as growing:
            if end == "publish":
                growing.publish(tmp_path / "final")
            if end == "discard":
                growing.discard()
        if end == "cancel":
            uploads.cancel(session)
        assert code(lambda: opened(uploads, session)) == "upload-not-found"  # noqa: B023
        assert code(lambda: uploads.size(session)) == "upload-not-found"  # noqa: B023
    assert (tmp_path / "final").read_bytes() == b"whole"
    assert list(uploads.folder.iterdir()) == []


def test_a_name_that_has_become_another_file_meanwhile_is_not_written_to(uploads: Uploads, tmp_path: Path) -> None:
    """One opens the upload, another one publishes it: the first must not write into what is a blob by now."""
    for _ in range(300):
        session = uploads.begin()
        start = threading.Barrier(2)

        def late() -> None:
            start.wait()  # noqa: B023
            for _ in range(3):
                try:
                    fill(uploads, session, b"late")  # noqa: B023
                except Refusal:
                    continue

        writer = threading.Thread(target=late)
        writer.start()
        start.wait()
        try:
            with uploads.open(session) as growing:
                size = growing.size
                growing.publish(tmp_path / session)
        except Refusal:
            size = -1
        writer.join()
        if size >= 0:
            assert (tmp_path / session).stat().st_size == size


def test_a_link_in_the_place_of_an_upload_is_not_followed(uploads: Uploads, tmp_path: Path) -> None:
    session = uploads.begin()
    target = tmp_path / "elsewhere"
    target.write_bytes(b"not yours")
    uploads.path(session).unlink()
    uploads.path(session).symlink_to(target)
    assert code(lambda: fill(uploads, session, b"x")) == "local-storage-failed"
    assert target.read_bytes() == b"not yours"


def test_only_what_nobody_touched_for_long_and_nobody_has_open_is_removed(uploads: Uploads) -> None:
    young, abandoned, in_use = (uploads.begin() for _ in range(3))
    foreign = uploads.folder / "notes.txt"
    foreign.write_bytes(b"not ours")
    for path in (uploads.path(abandoned), uploads.path(in_use), foreign):
        os.utime(path, (1000, 1000))
    with Uploads(uploads.folder).open(in_use) as growing:
        assert uploads.clean(before=1001) == 1
        growing.write(b"still going on")
    assert {path.name for path in uploads.folder.iterdir()} == {young, in_use, "notes.txt"}
    assert uploads.clean(before=1001) == 0


def test_a_new_file_that_is_not_finished_leaves_nothing_behind(uploads: Uploads, tmp_path: Path) -> None:
    def broken_off() -> None:
        with uploads.fresh() as growing:
            growing.write(b"half")
            raise EOFError

    with pytest.raises(EOFError):
        broken_off()
    assert list(uploads.folder.iterdir()) == []
    with uploads.fresh() as growing:
        growing.write(b"whole")
        growing.publish(tmp_path / "final")
    assert (tmp_path / "final").read_bytes() == b"whole"


def test_nobody_writes_to_an_upload_that_was_closed(uploads: Uploads) -> None:
    with uploads.open(uploads.begin()) as growing:
        pass
    with pytest.raises(ValueError, match="closed"):
        growing.write(b"late")
