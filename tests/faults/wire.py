"""HTTP for the fault registry: requests as they arrived, replies as they go out, and every way to break them off."""

from __future__ import annotations

import hashlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEPT_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024


@dataclass(kw_only=True)
class Seen:
    """One request as it arrived; `path` includes the query, header names are lower case, `client` is a port.

    Of a body of more than 64 MiB only the length and the SHA-256 are kept.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    client: int = 0
    status: int = 0
    swallowed: tuple[int, str] | None = None

    @property
    def size(self) -> int:
        return len(self.body) if self.swallowed is None else self.swallowed[0]

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


@dataclass(kw_only=True)
class Reply:
    """What goes out.

    `cut`: reset after so many bytes of the body, -1: before anything; `closed`: hang up when all is sent, for a
    Content-Length that promises more; `delay`: seconds before the first byte; `pace`: seconds per byte of the body.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    cut: int | None = None
    closed: bool = False
    delay: float = 0.0
    pace: float = 0.0


class Server(ThreadingHTTPServer):
    """Serves what `answer` says on a free port of loopback. `errors` are exceptions that nobody expected."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, answer: Callable[[Seen], Reply], tls: ssl.SSLContext | None) -> None:
        self.answer = answer
        self.tls = tls
        self.stopped = threading.Event()
        self.errors: list[BaseException] = []
        self._open: set[socket.socket] = set()
        self._before: frozenset[socket.socket] = frozenset()
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopped.set()
        self.shutdown()
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._open.discard(connection)
        self.server_close()
        self._thread.join(5)

    def begin(self) -> None:
        """From here on, `settle` waits for no connection that is open now."""
        self._before = frozenset(self._open)

    def settle(self, seconds: float = 10.0) -> None:
        """Wait until no connection is open that came since `begin`: what a client that died had sent has taken effect.

        Connections are accepted in order, so after one of our own nobody is left in the queue.
        """
        with socket.create_connection(self.server_address[:2], timeout=seconds) as probe:  # type: ignore[arg-type]
            probe.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
            while probe.recv(1024):
                pass
        for _ in range(int(seconds / 0.002)):
            if self._open <= self._before:
                return
            self.stopped.wait(0.002)
        raise TimeoutError(f"{len(self._open - self._before)} connections are still open")

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        connection = request
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(request, server_side=True)
            self._open.add(connection)
            self.finish_request(connection, client_address)
        except OSError:
            pass  # the client went away, or refused our certificate
        except Exception as error:  # noqa: BLE001 - shown to the test when it ends
            self.errors.append(error)
        finally:
            self.shutdown_request(connection)
            self._open.difference_update((request, connection))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one packet for head and body
    server: Any  # a Server

    def log_message(self, *_: object) -> None:
        """Tests read `requests` instead."""

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        size = int(headers.get("content-length", 0))
        swallowed = self._swallowed(size) if size > KEPT_BYTES else None
        seen = Seen(
            method=self.command,
            path=self.path,
            headers=headers,
            body=self._received(headers) if swallowed is None else b"",
            client=self.client_address[1],
            swallowed=swallowed,
        )
        reply = self.server.answer(seen)
        if (reply.delay and self._hung_up(reply.delay)) or reply.cut == -1:
            self._cut()
            return
        streamed = None if isinstance(reply.body, bytes) else iter(reply.body)
        content = reply.body if isinstance(reply.body, bytes) else b""
        sent = {"Content-Length": str(len(content))} if streamed is None else {"Connection": "close"}
        self.send_response(reply.status)
        for name, value in (sent | reply.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = self.close_connection or reply.closed
        if self.command == "HEAD":
            return
        for piece in streamed if streamed is not None else self._pieces(content[: reply.cut], reply.pace):
            if self.server.stopped.is_set():
                break
            self.wfile.write(piece)
        if reply.cut is not None:
            self._cut()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names http.server calls

    def _hung_up(self, seconds: float) -> bool:
        """Wait before answering; whether the client did not wait as long. Nobody says anything before an answer."""
        heard = select.poll()
        heard.register(self.connection, select.POLLIN)
        pauses = max(int(seconds / 0.05), 1)
        return any(heard.poll(1000 * seconds / pauses) or self.server.stopped.is_set() for _ in range(pauses))

    def _pieces(self, content: bytes, pace: float) -> Iterator[bytes]:
        if not pace:
            yield content
            return
        for position in range(len(content)):
            self.wfile.flush()
            self.server.stopped.wait(pace)
            yield content[position : position + 1]

    def _received(self, headers: Mapping[str, str]) -> bytes:
        """The body, whole: of a client that dies while it sends, nothing takes effect."""
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self._exactly(int(headers.get("content-length", 0)))
        content = b""
        while size := int(self.rfile.readline().partition(b";")[0] or b"-1", 16):
            content += self._exactly(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return content

    def _swallowed(self, size: int) -> tuple[int, str]:
        hashed = hashlib.sha256()
        for start in range(0, size, CHUNK_BYTES):
            hashed.update(self._exactly(min(CHUNK_BYTES, size - start)))
        return size, f"sha256:{hashed.hexdigest()}"

    def _exactly(self, size: int) -> bytes:
        content = self.rfile.read(size) if size > 0 else b""
        if len(content) != size:
            raise ConnectionError("the client went away")
        return content

    def _cut(self) -> None:
        """Reset the connection, as a crash does."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
