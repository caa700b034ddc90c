"""Downloads and uploads that are cut: they go on, and only what is missing travels again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import shake_128
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registries.blobs import Rewindable, Upload
from registries.credentials import Credentials
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Refusal
from registries.kinds.http import HttpRegistry
from registries.limits import CHUNK_BYTES, RETRIES
from registries.request import Request
from registries.server import serve_in_thread
from tests import faults
from tests.cutting import cutting
from tests.faults import FaultRegistry, Reply, Seen
from tests.talk import opened

CONTENT = shake_128(b"content").digest(3_000_000)
OVERHEAD = 16 * 1024  # heads of requests and answers


def blob(content: bytes) -> Descriptor:
    return Descriptor(media_type="application/octet-stream", digest=Digest.of(content), size=len(content))


BLOB = blob(CONTENT)


@contextmanager
def client(host: str, **options: Any) -> Iterator[HttpRegistry]:
    with opened(host, Credentials({}, home=None), **options) as transport:
        yield HttpRegistry(host, transport=transport)


def pieces(content: bytes, size: int = 100_000) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


@pytest.fixture
def registry() -> Iterator[FaultRegistry]:
    with FaultRegistry() as registry:
        registry.put_blob("app", CONTENT)
        yield registry


class TestDownloads:
    def test_a_download_that_is_cut_goes_on_where_it_was(self, registry: FaultRegistry) -> None:
        with cutting(registry.host, down=[1_000_000]) as line, client(line.address) as place:
            assert b"".join(place.blob("app", BLOB)) == CONTENT
            assert len(CONTENT) <= line.received <= len(CONTENT) + OVERHEAD
        assert [seen.headers.get("range", "")[:8] for seen in registry.requests] == ["", "bytes=99"]

    def test_cuts_are_not_counted_as_long_as_bytes_arrive(self, registry: FaultRegistry) -> None:
        cuts = [CHUNK_BYTES + OVERHEAD] * (RETRIES + 3)
        with cutting(registry.host, down=cuts) as line, client(line.address) as place:
            assert b"".join(place.blob("app", BLOB)) == CONTENT
            assert line.received <= len(CONTENT) + OVERHEAD
        assert len(registry.requests) == len(cuts) + 1

    def test_a_download_that_hardly_moves_is_given_up(self, registry: FaultRegistry) -> None:
        with cutting(registry.host, down=[5000] * 100) as line, client(line.address) as place:
            assert code(lambda: list(place.blob("app", BLOB))) == "registry-unavailable"
        assert len(registry.requests) == RETRIES + 1

    def test_a_server_that_ignores_ranges_is_read_from_the_start(self, registry: FaultRegistry) -> None:
        registry.ranges = False
        with cutting(registry.host, down=[1_000_000]) as line, client(line.address) as place:
            assert b"".join(place.blob("app", BLOB)) == CONTENT

    @pytest.mark.parametrize("ranges", [True, False])
    def test_two_contents_are_never_taken_for_one(self, registry: FaultRegistry, *, ranges: bool) -> None:
        registry.ranges = ranges

        def change(_: Seen) -> None:
            registry.blobs["app", str(BLOB.digest)] = CONTENT[::-1]

        registry.rule("GET", "", faults.call(change), nth=2)
        with cutting(registry.host, down=[1_000_000]) as line, client(line.address) as place:
            assert code(lambda: list(place.blob("app", BLOB))) == "digest-mismatch"

    @pytest.mark.parametrize(
        "promised", ["bytes 0-2999999/3000000", "bytes 5-9/10", "x", None, f"bytes 1-2999999/{10**30}"]
    )
    def test_a_part_that_is_not_the_missing_one_is_refused(self, registry: FaultRegistry, promised: str | None) -> None:
        registry.rule("GET", "", faults.header("Content-Range", promised), nth=2)
        with cutting(registry.host, down=[1_000_000]) as line, client(line.address) as place:
            assert code(lambda: list(place.blob("app", BLOB))) == "answer-unexpected"

    def test_a_blob_that_is_gone_in_between_is_not_found(self, registry: FaultRegistry) -> None:
        registry.rule("GET", "", faults.status(404), nth=2)
        with cutting(registry.host, down=[1_000_000]) as line, client(line.address) as place:
            assert code(lambda: list(place.blob("app", BLOB))) == "blob-not-found"

    def test_nothing_is_asked_for_when_only_the_end_of_the_stream_is_missing(self, registry: FaultRegistry) -> None:
        def endless(_: Seen, __: faults.Answer) -> Reply:
            return Reply(headers={"Content-Length": str(len(CONTENT) + 1)}, body=[CONTENT], closed=True)

        registry.rule("GET", "", endless)
        with client(registry.host) as place:
            assert b"".join(place.blob("app", BLOB)) == CONTENT
        assert len(registry.requests) == 1


class TestUploads:
    @pytest.mark.parametrize("cuts", [[1_000_000], [800_000] * 3, [300_000] * (RETRIES + 2)])
    def test_an_upload_that_is_cut_goes_on_where_the_registry_is(self, tmp_path: Path, cuts: list[int]) -> None:
        opens: list[int] = []

        def produce() -> Iterator[bytes]:
            opens.append(1)
            return pieces(CONTENT)

        def settle(_: float) -> None:
            """Pause until the registry has written what was passed on to it."""
            for _ in range(1000):
                if sum(file.stat().st_size for file in tmp_path.rglob("uploads/*")) + OVERHEAD >= line.sent:
                    return
                time.sleep(0.005)

        with (
            serve_in_thread(tmp_path) as host,
            cutting(host, up=cuts) as line,
            client(line.address, sleep=settle) as place,
        ):
            place.push_blob("app", BLOB, produce)
            assert len(CONTENT) <= line.sent <= len(CONTENT) + OVERHEAD
            assert line.up == []
            assert b"".join(place.blob("app", BLOB)) == CONTENT
        assert len(opens) == 1

    def test_an_upload_that_the_registry_forgot_starts_over(self, registry: FaultRegistry) -> None:
        registry.blobs.clear()
        registry.rule("PUT", "", faults.status(404), nth=1)
        registry.rule("GET", "/uploads/", faults.status(404))
        with client(registry.host) as place:
            place.push_blob("app", BLOB, lambda: pieces(CONTENT))
        assert [seen.method for seen in registry.requests] == ["POST", "PUT", "GET", "GET", "POST", "PUT"]
        assert registry.blobs["app", str(BLOB.digest)] == CONTENT

    @pytest.mark.parametrize("status", [404, 409, 416])
    def test_a_registry_that_got_more_in_the_meantime_is_asked_again(
        self, registry: FaultRegistry, status: int
    ) -> None:
        registry.blobs.clear()
        registry.rule("PUT", "", _half, nth=1)
        registry.rule("PATCH", "", faults.status(status), nth=1)
        with client(registry.host) as place:
            place.push_blob("app", BLOB, lambda: pieces(CONTENT))
        assert [seen.method for seen in registry.requests[-4:]] == ["PATCH", "GET", "PATCH", "PUT"]

    @pytest.mark.parametrize("received", ["0-0", "0-99999999", "5-6", "bytes 0-4", "0--1", "", None])
    def test_an_answer_about_the_state_that_makes_no_sense_starts_over(
        self, registry: FaultRegistry, received: str | None
    ) -> None:
        registry.blobs.clear()
        registry.rule("PUT", "", faults.status(500), nth=1)
        registry.rule("GET", "/uploads/", faults.header("Range", received))
        with client(registry.host) as place:
            place.push_blob("app", BLOB, lambda: pieces(CONTENT))
        assert registry.blobs["app", str(BLOB.digest)] == CONTENT
        assert [seen.method for seen in registry.requests] == ["POST", "PUT", "GET", "GET", "POST", "PUT"]

    def test_what_the_registry_has_is_not_sent_again(self, registry: FaultRegistry) -> None:
        registry.blobs.clear()

        registry.rule("PUT", "", _half, nth=1)
        with client(registry.host) as place:
            place.push_blob("app", BLOB, lambda: pieces(CONTENT))
        patch = registry.requests[-2]
        assert (patch.method, patch.headers["content-range"]) == ("PATCH", "1500000-2999999")
        assert patch.body == CONTENT[1_500_000:]
        assert registry.requests[-1].size == 0
        assert registry.blobs["app", str(BLOB.digest)] == CONTENT

    @pytest.mark.parametrize("known", [True, False])
    def test_an_upload_that_was_begun_already_is_used_while_it_is_known(
        self, registry: FaultRegistry, *, known: bool
    ) -> None:
        registry.blobs.clear()
        with opened(registry.host, Credentials({}, home=None)) as transport:
            begun = transport.request(Request(method="POST", target="v2/app/blobs/uploads/", repository="app"))
            url = transport.beside(begun, begun.headers["Location"] if known else "/v2/app/blobs/uploads/x", code="c")
            place = HttpRegistry(registry.host, transport=transport)
            upload = Upload(transport, "app", BLOB, lambda: pieces(CONTENT), where="here", begun=url)
            upload.run(holds=lambda: place.holds("app", BLOB), refused=transport.unexpected)
        assert registry.blobs["app", str(BLOB.digest)] == CONTENT
        posts = [seen for seen in registry.requests if seen.method == "POST"]
        assert len(posts) == (1 if known else 2)

    def test_an_upload_that_hardly_moves_is_given_up(self, tmp_path: Path) -> None:
        with serve_in_thread(tmp_path) as host, cutting(host, up=[20_000] * 100) as line, client(line.address) as place:
            assert code(lambda: place.push_blob("app", BLOB, lambda: pieces(CONTENT))) == "registry-unavailable"

    def test_a_source_that_fails_ends_the_upload_with_its_own_reason(self, registry: FaultRegistry) -> None:
        def produce() -> Iterator[bytes]:
            yield CONTENT[:1000]
            raise NotFound("blob-not-found", "the source lost it")

        with client(registry.host) as place:
            assert code(lambda: place.push_blob("app", BLOB, produce)) == "blob-not-found"

    def test_a_source_that_is_unavailable_is_not_asked_again_by_the_destination(self, registry: FaultRegistry) -> None:
        with FaultRegistry() as source, client(source.host) as there, client(registry.host) as here:
            source.rule("GET", "", faults.status(503))
            assert code(lambda: here.push_blob("app", BLOB, lambda: there.blob("app", BLOB))) == "registry-unavailable"
            assert len(source.requests) == RETRIES + 1
        assert [seen.method for seen in registry.requests] == ["POST"]

    @pytest.mark.parametrize("sent", [CONTENT[:-1], CONTENT + b"x"])
    def test_never_more_or_less_is_sent_than_was_announced(self, registry: FaultRegistry, sent: bytes) -> None:
        registry.blobs.clear()
        with client(registry.host) as place:
            assert code(lambda: place.push_blob("app", BLOB, lambda: [sent])) == "size-mismatch"
        assert registry.blobs == {}


def _half(seen: Seen, answer: faults.Answer) -> Reply:
    """As if the connection broke halfway: the first half is there, and nobody hears of it."""
    seen.method, seen.body = "PATCH", seen.body[: len(CONTENT) // 2]
    answer()
    return Reply(cut=-1)


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=300),
    size=st.integers(1, 40),
    rewind=st.integers(1, 100),
    offsets=st.lists(st.integers(0, 300), max_size=6),
    data=st.data(),
)
def test_bytes_are_read_from_anywhere_and_produced_as_seldom_as_can_be(
    content: bytes, size: int, rewind: int, offsets: list[int], data: st.DataObject
) -> None:
    produced: list[int] = []

    def produce() -> Iterator[bytes]:
        produced.append(1)
        return pieces(content, size)

    source = Rewindable(produce, len(content), rewind=rewind)
    for offset in (min(offset, len(content)) for offset in offsets):
        reader = source.read_from(offset)
        wanted = data.draw(st.integers(0, 300))
        got = b""
        for chunk in reader:
            got += chunk
            if len(got) >= wanted:
                break
        else:
            assert got == content[offset:]
        assert content[offset:].startswith(got)
    assert b"".join(source.read_from(0)) == content
    assert len(produced) <= len(offsets) + 1


def test_what_is_within_reach_is_not_produced_again() -> None:
    produced: list[int] = []

    def produce() -> Iterator[bytes]:
        produced.append(1)
        return pieces(CONTENT[:1000], 100)

    source = Rewindable(produce, 1000, rewind=250)
    reader = source.read_from(0)
    assert b"".join(next(reader) for _ in range(8)) == CONTENT[:800]
    assert b"".join(source.read_from(550)) == CONTENT[550:1000]
    assert len(produced) == 1
    assert b"".join(source.read_from(699)) == CONTENT[699:1000]
    assert len(produced) == 2


def test_a_source_of_another_size_is_noticed() -> None:
    for size in (9, 11):
        with pytest.raises(ContentError) as error:
            list(Rewindable(lambda: [b"x" * 10], size).read_from(0))
        assert error.value.code == "size-mismatch"
