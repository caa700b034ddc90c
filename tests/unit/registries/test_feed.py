from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from registries.feed import shared

CHUNKS = [bytes([number]) for number in range(100)]


class Source:
    """Counts how often it is read, and can break off."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.passes = 0
        self._breaks_at = breaks_at

    def __call__(self) -> Iterator[bytes]:
        self.passes += 1
        for number, chunk in enumerate(CHUNKS):
            if number == self._breaks_at:
                raise ConnectionError
            yield chunk


def test_all_get_every_chunk_and_the_source_is_read_once() -> None:
    source = Source()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda lane: list(lane()), shared(source, 3)))
    assert found == [CHUNKS] * 3
    assert source.passes == 1


def test_nothing_is_read_before_somebody_wants_it() -> None:
    source = Source()
    shared(source, 2)
    assert source.passes == 0


def test_what_breaks_at_the_source_is_raised_in_all() -> None:
    def read(lane: object) -> str:
        with pytest.raises(ConnectionError):
            list(lane())  # type: ignore[operator]
        return "raised"

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(read, shared(Source(50), 2))) == ["raised", "raised"]


def test_whoever_leaves_does_not_hold_up_the_others_and_may_begin_anew() -> None:
    source = Source()
    leaving, staying = shared(source, 2)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: list(staying()))
        chunks = iter(leaving())
        assert next(chunks) == CHUNKS[0]
        chunks.close()  # type: ignore[attr-defined]
        assert other.result(10) == CHUNKS
    assert list(leaving()) == CHUNKS
    assert source.passes == 2


def test_a_lane_that_is_closed_unread_holds_up_nobody() -> None:
    source = Source()
    unread, read = shared(source, 2)
    threading.Timer(0.05, unread.close).start()
    assert list(read()) == CHUNKS


def test_the_slowest_reader_sets_the_pace() -> None:
    """What waits in memory is bounded: the source is never far ahead of anybody."""
    ahead: list[int] = []
    taken = [0, 0]

    def source() -> Iterator[bytes]:
        for number, chunk in enumerate(CHUNKS):
            ahead.append(number - min(taken))
            yield chunk

    lanes = shared(source, 2)

    def read(number: int) -> None:
        for _ in lanes[number]():
            taken[number] += 1

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, range(2)))
    assert max(ahead) <= 10
