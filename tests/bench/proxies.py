"""Two proxies for measuring, on loopback: one delays every byte, one counts the HTTP exchanges that pass through it.

    with delaying("127.0.0.1:5000", round_trip=0.050) as far, counting(far.address) as counter:
        …                                                        # talk to counter.address
        assert [seen.method for seen in counter.exchanges] == ["GET", "PUT"]

Both pass on exactly the bytes that came. Each runs an event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 256 * 1024
_LONGEST_HEAD = 1024 * 1024
_IN_FLIGHT = 1024  # chunks per direction: a delay must not become a limit of throughput
_START_SECONDS = 10.0
_WITHOUT_BODY = (b"204", b"304")


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request with its answer, as the client saw it: times in seconds of the monotonic clock, sizes of bodies.

    `connecting` says that it is the first one on its connection, which had to be opened for it.
    """

    connection: int
    connecting: bool
    method: str
    path: str
    started: float
    ended: float = 0.0
    status: int = 0
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class Counter:
    """What has passed. `address` is where to connect; exchanges stand in the order in which they began."""

    address: str = ""
    connections: int = 0
    exchanges: list[Exchange] = field(default_factory=list)

    def clear(self) -> None:
        """Begin again."""
        self.connections = 0
        self.exchanges.clear()


@dataclass(slots=True)
class Delay:
    """Where to connect, and what it costs: seconds, read whenever a byte comes."""

    round_trip: float
    address: str = ""


@contextmanager
def delaying(upstream: str, *, round_trip: float) -> Iterator[Delay]:
    """A way to `upstream` (host:port) that takes half of `round_trip` seconds in each direction.

    A new connection costs one round trip more before the first byte leaves, as TCP's handshake does. What TCP does
    besides (slow start, loss, limits of throughput) is not imitated.
    """

    delay = Delay(round_trip)

    async def serve(near: _Stream, far: _Stream, opened: float) -> None:
        await _both(_delayed(near, far, delay, opened + delay.round_trip), _delayed(far, near, delay, opened))

    with _listening(upstream, serve) as delay.address:
        yield delay


@contextmanager
def counting(upstream: str) -> Iterator[Counter]:
    """A way to `upstream` (host:port) on which every HTTP/1.1 exchange is counted."""
    counter = Counter()

    async def serve(near: _Stream, far: _Stream, _: float) -> None:
        counter.connections += 1
        await _counted(near, far, counter, counter.connections)

    with _listening(upstream, serve) as counter.address:
        yield counter


@dataclass(frozen=True, slots=True)
class _Stream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def put(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()


@contextmanager
def _listening(upstream: str, serve: Callable[[_Stream, _Stream, float], Awaitable[None]]) -> Iterator[str]:
    """Accept connections on a free port of loopback, each with a connection of its own to `upstream`."""
    host, _, port = upstream.rpartition(":")
    loop = asyncio.new_event_loop()
    address: list[str] = []
    ready = threading.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = loop.time()
        near = _Stream(reader, writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            far = _Stream(*await asyncio.open_connection(host, int(port), limit=_LONGEST_HEAD))
            try:
                await serve(near, far, opened)
            finally:
                far.writer.close()
        writer.close()

    async def run(done: asyncio.Event) -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_LONGEST_HEAD, backlog=512)
        address.append("127.0.0.1:{1}".format(*server.sockets[0].getsockname()))
        ready.set()
        await done.wait()
        server.close()
        while others := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            for task in others:  # what was just accepted begins only now, and what is ending may have to be told twice
                task.cancel()
            await asyncio.wait(others)

    done = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run(done)), daemon=True)
    thread.start()
    try:
        if not ready.wait(_START_SECONDS):
            raise TimeoutError("the proxy did not start")
        yield address[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(_START_SECONDS)
        loop.close()


async def _both(*directions: Awaitable[None]) -> None:
    """Until both directions have ended; one that breaks ends the other."""
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _delayed(source: _Stream, to: _Stream, delay: Delay, not_before: float) -> None:
    """Each byte half a round trip after it came or, when it came earlier, after `not_before`; the end as well."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)

    async def take() -> None:
        chunk = b"the first"
        while chunk:
            chunk = await source.reader.read(_CHUNK)
            await under_way.put((max(loop.time(), not_before) + delay.round_trip / 2, chunk))

    async def give() -> None:
        while True:
            due, chunk = await under_way.get()
            await asyncio.sleep(due - loop.time())
            if not chunk:
                to.writer.write_eof()
                return
            await to.put(chunk)

    await _both(take(), give())


async def _counted(near: _Stream, far: _Stream, counter: Counter, connection: int) -> None:
    """One exchange after the other, until one side has had enough."""
    loop = asyncio.get_running_loop()
    connecting = True
    while head := await _head(near.reader):
        method, path, _ = head.split(b" ", 2)
        seen = Exchange(
            connection=connection,
            connecting=connecting,
            method=method.decode(),
            path=path.decode("latin-1"),
            started=loop.time(),
        )
        connecting = False
        counter.exchanges.append(seen)
        await far.put(head)
        sending = asyncio.ensure_future(_send(near, far, head, seen))
        try:
            if not await _receive(far, near, seen):
                return
            seen.ended = loop.time()
            await sending
        finally:
            sending.cancel()


async def _send(near: _Stream, far: _Stream, head: bytes, seen: Exchange) -> None:
    async for piece, size in _body(near.reader, head, to_the_end=False):
        seen.sent += size
        await far.put(piece)


async def _receive(far: _Stream, near: _Stream, seen: Exchange) -> bool:
    """Pass on the answer; says whether another request may follow on this connection."""
    while True:
        head = await _head(far.reader)
        if not head:
            return False
        await near.put(head)
        status = head.split(b" ", 2)[1][:3]
        if not status.startswith(b"1"):  # else more will follow, as `100 Continue` says
            break
    seen.status = int(status)
    if seen.method != "HEAD" and status not in _WITHOUT_BODY:
        async for piece, size in _body(far.reader, head, to_the_end=True):
            seen.received += size
            await near.put(piece)
    return _field(head, b"connection").lower() != b"close" and (
        seen.method == "HEAD" or status in _WITHOUT_BODY or _has_length(head)
    )


async def _head(reader: asyncio.StreamReader) -> bytes:
    """A start line with its header fields; nothing when the connection ended before."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""


async def _body(reader: asyncio.StreamReader, head: bytes, *, to_the_end: bool) -> AsyncIterator[tuple[bytes, int]]:
    """The body in pieces, each with the number of its content's bytes. Source: RFC 9112, section 6.3."""
    if _field(head, b"transfer-encoding").lower() == b"chunked":
        size = -1
        while size:
            line = await reader.readuntil(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            yield line, 0
            async for piece in _exactly(reader, size):
                yield piece, len(piece)
            if size:
                yield await reader.readexactly(2), 0
        line = b""
        while line != b"\r\n":
            line = await reader.readuntil(b"\r\n")
            yield line, 0
    elif length := _field(head, b"content-length"):
        async for piece in _exactly(reader, int(length)):
            yield piece, len(piece)
    elif to_the_end:
        while piece := await reader.read(_CHUNK):
            yield piece, len(piece)


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size:
        piece = await reader.read(min(size, _CHUNK))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(piece)
        yield piece


def _has_length(head: bytes) -> bool:
    return bool(_field(head, b"content-length") or _field(head, b"transfer-encoding"))


def _field(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b""
