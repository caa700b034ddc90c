"""One read of a blob that several destinations take part in: each gets the chunks through a short queue of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

_CHUNKS_AHEAD: Final = 8

Chunks = Callable[[], Iterable[bytes]]


def shared(source: Chunks, number: int) -> Sequence[Lane]:
    """So many lanes, which are fed from one pass over `source()` as soon as the first of them is read.

    The slowest reader sets the pace. Whoever stops reading leaves the others alone, and reads `source()` for itself
    when it begins anew. Every lane has to be closed.
    """
    lanes: list[Lane] = []
    begun = threading.Lock()

    def begin() -> None:
        if begun.acquire(blocking=False):
            threading.Thread(target=_feed, args=(source, lanes), name="feed", daemon=True).start()

    lanes.extend(Lane(source, begin) for _ in range(number))
    return lanes


class Lane:
    """What one destination reads."""

    def __init__(self, source: Chunks, begin: Callable[[], None]) -> None:
        self._source = source
        self._begin = begin
        self._chunks: deque[bytes] = deque()
        self._change = threading.Condition()
        self._opened = self._closed = self._ended = False
        self._error: BaseException | None = None

    def __call__(self) -> Iterator[bytes]:
        """The chunks: the first time those of the one pass, later those of a pass of its own."""
        if self._opened or self._closed:
            yield from self._source()
            return
        self._opened = True
        self._begin()
        try:
            while (chunk := self._take()) is not None:
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        """Nothing is read here any more."""
        with self._change:
            self._closed = True
            self._chunks.clear()
            self._change.notify_all()

    def put(self, chunk: bytes) -> bool:
        """Wait for room, and add a chunk; False when nobody reads here any more."""
        with self._change:
            self._change.wait_for(lambda: self._closed or len(self._chunks) < _CHUNKS_AHEAD)
            if not self._closed:
                self._chunks.append(chunk)
                self._change.notify_all()
            return not self._closed

    def end(self, error: BaseException | None) -> None:
        """No chunk will come any more: all have come, or `error` is why not."""
        with self._change:
            self._ended, self._error = True, error
            self._change.notify_all()

    def _take(self) -> bytes | None:
        with self._change:
            self._change.wait_for(lambda: bool(self._chunks) or self._ended or self._closed)
            if self._chunks:
                chunk = self._chunks.popleft()
                self._change.notify_all()
                return chunk
            if self._error is not None:
                raise self._error
            return None


def _feed(source: Chunks, lanes: Sequence[Lane]) -> None:
    error: BaseException | None = None
    try:
        for chunk in source():
            if not [lane for lane in lanes if lane.put(chunk)]:
                break
    except BaseException as failed:  # noqa: BLE001 - it is raised in the threads that read
        error = failed
    for lane in lanes:
        lane.end(error)
