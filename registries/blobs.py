"""Blobs over HTTP: downloads and uploads that go on where they were cut, so that only missing bytes travel again.

What comes is hashed as it passes, over all attempts together: the digest alone decides. What goes is counted; the
registry hashes it and refuses another digest, and it is the place that was read from which hashed it here.
Tries are counted as long as nothing moves; a try that moved something starts the count again.
Source: OCI distribution-spec 1.1, "Pulling blobs", "Pushing a blob in chunks"; RFC 9110, 14.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlencode

from registries.checked import checked
from registries.descriptor import Descriptor
from registries.errors import ContentError, NotFound, Refusal
from registries.limits import CHUNK_BYTES, MIB, RETRIES
from registries.transport import Again, Answer, Body, Request, Transport

REWIND_BYTES: Final = 4 * MIB  # about what is in the buffers between us and a registry when a connection is cut

_OK, _CREATED, _ACCEPTED, _NO_CONTENT, _PARTIAL = 200, 201, 202, 204, 206
_NOT_FOUND, _CONFLICT, _NO_SUCH_RANGE = 404, 409, 416
_BINARY: Final = {"Content-Type": "application/octet-stream"}
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_RECEIVED: Final = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")

Chunks = Callable[[], Iterable[bytes]]


class _Tries:
    """How often something may fail without having moved anything."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._failed = 0
        self._furthest = 0

    def failed(self, again: Again, position: int) -> None:
        """Wait before the next try, which begins at `position`; raise `again` when there were too many."""
        if position - self._furthest >= CHUNK_BYTES:
            self._furthest, self._failed = position, 0
        if self._failed == RETRIES:
            raise again
        self._transport.back_off(again, self._failed)
        self._failed += 1


def download(transport: Transport, repository: str, descriptor: Descriptor, where: str) -> Iterator[bytes]:
    """The bytes of a blob, checked. The descriptor's `urls` are never followed."""
    return checked(_received(transport, repository, descriptor, where), descriptor.digest, descriptor.size, where=where)


def _received(transport: Transport, repository: str, descriptor: Descriptor, where: str) -> Iterator[bytes]:
    tries, position = _Tries(transport), 0
    while not position or position < descriptor.size:
        try:
            with transport.exchange(_asking(repository, descriptor, position)) as answer:
                skipped = position - _start(transport, answer, position, descriptor, where)
                for chunk in answer.chunks():
                    fresh = chunk[skipped:] if skipped else chunk
                    skipped = max(skipped - len(chunk), 0)
                    position += len(fresh)
                    yield fresh
                return
        except Again as again:
            if position < descriptor.size:  # else all of it came, only the end of the stream did not
                tries.failed(again, position)


def _asking(repository: str, descriptor: Descriptor, position: int) -> Request:
    headers = {"Range": f"bytes={position}-"} if position else {}
    target = f"v2/{repository}/blobs/{descriptor.digest}"
    return Request(method="GET", target=target, repository=repository, headers=headers)


def _start(transport: Transport, answer: Answer, position: int, descriptor: Descriptor, where: str) -> int:
    """Where in the blob this answer begins: where it was asked to, or at 0 if the server ignores ranges."""
    if answer.status == _OK:
        return 0
    if answer.status == _NOT_FOUND:
        raise NotFound("blob-not-found", "there is no such blob, or no such repository", where=where)
    promised = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    fits = promised is not None and int(promised[1]) == position and promised[2] in ("*", str(descriptor.size))
    if answer.status != _PARTIAL or not position or not fits:
        raise transport.unexpected(answer, where)
    return position


class Rewindable:
    """Bytes that are produced once and can be read again from a little before where reading stopped.

    Read from further back, they are produced again. Never more than `size` of them: what is announced is what is sent.
    """

    def __init__(self, produce: Chunks, size: int, *, where: str = "", rewind: int = REWIND_BYTES) -> None:
        self._produce = produce
        self._size = size
        self._where = where
        self._rewind = rewind
        self._source: Iterator[bytes] | None = None
        self._kept: deque[bytes] = deque()
        self._kept_from = 0
        self.furthest = 0
        self.failure: Exception | None = None
        self._produced = 0

    def read_from(self, offset: int) -> Iterator[bytes | memoryview]:
        """All bytes from this one on."""
        if self._source is None or not self._kept_from <= offset <= self._produced:
            self._restart()
        position = self._kept_from
        for chunk in tuple(self._kept):
            if position + len(chunk) > offset:
                yield memoryview(chunk)[max(offset - position, 0) :]
            position += len(chunk)
        for chunk in self._fresh():
            if position + len(chunk) > offset:
                yield chunk if position >= offset else memoryview(chunk)[offset - position :]
            position += len(chunk)

    def close(self) -> None:
        """Let the source go; what it holds open is closed."""
        if self._source is not None and hasattr(self._source, "close"):
            self._source.close()
        self._source = None

    def _restart(self) -> None:
        self.close()
        self._kept.clear()
        self._kept_from = self._produced = 0

    def _fresh(self) -> Iterator[bytes]:
        try:
            if self._source is None:
                self._source = iter(self._produce())
            for chunk in self._source:
                self._keep(chunk)
                yield chunk
            self._end()
        except Exception as error:
            self.failure = error
            raise

    def _keep(self, chunk: bytes) -> None:
        self._produced += len(chunk)
        self.furthest = max(self.furthest, self._produced)
        if self._produced > self._size:
            raise self._wrong(f"more bytes than the {self._size} of its descriptor")
        self._kept.append(chunk)
        while self._produced - self._kept_from - len(self._kept[0]) >= self._rewind:
            self._kept_from += len(self._kept.popleft())

    def _end(self) -> None:
        if self._produced < self._size:
            raise self._wrong(f"ended after {self._produced} of {self._size} bytes")

    def _wrong(self, why: str) -> ContentError:
        return ContentError("size-mismatch", why, where=self._where)


class Upload:
    """One blob on its way into a repository. Source: "Pushing blobs", "Pushing a blob in chunks"."""

    def __init__(
        self,
        transport: Transport,
        repository: str,
        descriptor: Descriptor,
        produce: Chunks,
        *,
        where: str,
        begun: str | None = None,
    ) -> None:
        """`begun`: the location of an upload that the registry has begun already, for a mount that it declined."""
        self._transport = transport
        self._repository = repository
        self._descriptor = descriptor
        self._where = where
        self._bytes = Rewindable(produce, descriptor.size, where=where)
        self._url = begun
        self._received = 0

    def run(self, *, holds: Callable[[], bool], refused: Callable[[Answer, str], Refusal]) -> None:
        """Until the registry has confirmed the digest. `holds` reads the blob there: an answer may have been lost."""
        tries = _Tries(self._transport)
        try:
            while not self._stored(refused, tries):
                if self._url is not None and not self._resumes() and self._bytes.furthest and holds():
                    return
        finally:
            self._bytes.close()

    def _stored(self, refused: Callable[[Answer, str], Refusal], tries: _Tries) -> bool:
        """Try once. What the source could not give is no fault of the registry, and another try no help."""
        try:
            self._attempt(refused)
        except Again as again:
            if self._bytes.failure is not None:
                raise self._bytes.failure from None
            tries.failed(again, self._received)
            return False
        return True

    def _attempt(self, refused: Callable[[Answer, str], Refusal]) -> None:
        if self._url is None:
            begun = self._ask("POST", f"v2/{self._repository}/blobs/uploads/")
            if begun.status != _ACCEPTED:
                raise refused(begun, self._where)
            self._url, self._received = self._location(begun), 0
        if self._received:
            self._continue(refused)
        self._finish(refused)

    def _continue(self, refused: Callable[[Answer, str], Refusal]) -> None:
        """Send what is missing, as one chunk."""
        first, size = self._received, self._descriptor.size
        if first < size:
            answer = self._ask("PATCH", self._url or "", {"Content-Range": f"{first}-{size - 1}"}, self._rest())
            if answer.status in (_NOT_FOUND, _CONFLICT, _NO_SUCH_RANGE):  # forgotten, or it got more in the meantime
                raise self._transport.again(answer)
            if answer.status != _ACCEPTED:
                raise refused(answer, self._where)
            self._url, self._received = self._location(answer), size

    def _finish(self, refused: Callable[[Answer, str], Refusal]) -> None:
        query = urlencode({"digest": str(self._descriptor.digest)})
        url = f"{self._url}{'&' if '?' in (self._url or '') else '?'}{query}"
        answer = self._ask("PUT", url, {}, self._rest())
        if answer.status in (_NOT_FOUND, _NO_SUCH_RANGE):  # the upload is not known any more
            raise self._transport.again(answer)
        if answer.status != _CREATED:
            raise refused(answer, self._where)
        stored = answer.headers.get("Docker-Content-Digest", str(self._descriptor.digest))
        if stored != str(self._descriptor.digest):
            why = f"stored as {self._transport.quoted(stored)}"
            raise ContentError("digest-mismatch", why, where=self._where)

    def _resumes(self) -> bool:
        """Ask how far the registry is. What makes no sense means to start over, as does 0-0: none, or one byte."""
        url, self._url, self._received = self._url or "", None, 0
        with suppress(Refusal):
            answer = self._transport.exchange(self._request("GET", url, {}, None))
            with answer:
                received = _RECEIVED.fullmatch(answer.headers.get("Range", ""))
                if answer.status == _NO_CONTENT and received and 0 < int(received[1]) < self._bytes.furthest:
                    self._url, self._received = self._location(answer, otherwise=url), int(received[1]) + 1
        return self._url is not None

    def _rest(self) -> Body:
        first = self._received
        return Body(self._descriptor.size - first, lambda: self._bytes.read_from(first))

    def _location(self, answer: Answer, *, otherwise: str | None = None) -> str:
        link = answer.headers.get("Location", otherwise)
        if link is None:
            raise self._transport.unexpected(answer, self._where)
        return self._transport.beside(answer, link, code="cross-origin-upload", elsewhere=True)

    def _ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: Body | None = None
    ) -> Answer:
        return self._transport.exchange(self._request(method, target, headers or {}, body))

    def _request(self, method: str, target: str, headers: Mapping[str, str], body: Body | None) -> Request:
        typed = {**_BINARY, **headers} if body is not None else headers
        return Request(method=method, target=target, repository=self._repository, headers=typed, body=body)
