"""Requests on the wire: connections that are paced, kept, and only made to allowed addresses. The one user of urllib3.

urllib3 is used for its connection pools alone: no redirect is followed, nothing is tried again, no body is decoded, and
no `.netrc`, cookie or environment variable has a say. Foreign exceptions end here; their texts hold URLs, whose queries
may be secrets, so only their root is told.

An address is checked when it is connected to, not when its name is resolved for a check: a name that answers
differently the second time gains nothing. Behind a proxy it is the proxy that is connected to, and that resolves
names; there only an address written in a URL is checked.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.client import HTTPResponse
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util import Timeout, make_headers, parse_url

from registries import addresses
from registries.errors import ContentError, Refusal, Unavailable
from registries.limits import CHUNK_BYTES, CONNECT_SECONDS, KIB, MIB
from registries.network import Network
from registries.origin import Origin
from registries.pace import Deadline
from registries.request import Body

Response = urllib3.response.BaseHTTPResponse

_RATE: Final = 1 * KIB  # bytes per second
_COMMIT_RATE: Final = 8 * MIB  # bytes per second at which a registry is expected to store what was uploaded
_HEADER_BYTES: Final = 1 * MIB
_ENCRYPTED_AT_ONCE: Final = 32 * KIB  # one time-out each, which makes the minimum rate
_CONNECTIONS: Final = 16
_SHORTEST: Final = 0.001  # seconds: a time-out is more than none
_DETAIL_CHARACTERS: Final = 200


class Again(Unavailable):
    """No answer this time, and another try may help."""

    after: float = 0.0
    """Seconds that the registry asked to wait."""

    sent: float | None = None
    """When the request left that was one too many (429)."""


class Wire:
    """The connections to one registry and to where it sends us. Safe to use from several threads at once."""

    def __init__(self, own: Origin, *, network: Network, patience: float, deadline: Deadline) -> None:
        self.deadline = deadline
        self._own = own
        self._network = network
        self._patience = patience
        self._addresses: frozenset[addresses.Address] = frozenset()
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body | None) -> Response:
        """One request; the answer's body is still to be read. `address-not-allowed` when it may not go there."""
        place = Origin.of(url)
        proxy = self._network.proxy(place)
        literal = addresses.read(place.host)
        if literal is not None and not self._admits(place.host, place.port, literal):
            raise _not_allowed(place.host, place.port)
        size = 0 if body is None else body.size
        sized = {"Content-Length": str(size)} if size or method not in ("GET", "HEAD") else {}
        patience = min(self._patience + size / _COMMIT_RATE, max(self.deadline.left, _SHORTEST))
        try:
            security = {"ssl_context": self._network.authorities.context(place)} if place.scheme == "https" else {}
            pool = self._manager(proxy).connection_from_host(place.host, place.port, place.scheme, security)
            target = url if proxy is not None and place.scheme == "http" else parse_url(url).request_uri
            return pool.urlopen(
                method,
                target,
                body=body if size else None,  # type: ignore[arg-type]  # views are sent as well as bytes
                headers={**headers, **sized},
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(connect=min(CONNECT_SECONDS, patience), read=patience),
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise self.refusal(error, str(place)) from _root(error)

    def chunks(self, response: Response, where: str) -> Iterator[bytes]:
        """The body as it was sent. Cut short or too slow, it raises."""
        try:
            while chunk := response.read1(CHUNK_BYTES, decode_content=False):
                yield chunk
        except (HTTPError, OSError) as error:
            raise self.refusal(error, where) from _root(error)

    def refusal(self, error: Exception, where: str) -> Refusal:
        """Our refusal for an exception of the libraries."""
        host = where.rpartition("/")[2]
        match _root(error):
            case _NoHandshake():
                return Again("tls-invalid", "no TLS connection: no answer to the greeting", where=where)
            case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
                return Again("registry-unavailable", "the connection was cut", where=where)
            case ssl.SSLCertVerificationError() as root:
                hint = f"--registry-ca {host}=/path/to/authority.pem names the authority to trust"
                why = f"its certificate is refused: {root.verify_message}"
                return ContentError("tls-invalid", why, where=where, hint=hint)
            case ssl.SSLError() as root:
                hint = f"--plain-http {host}, if it speaks no TLS by intention"
                return ContentError("tls-invalid", f"no TLS connection: {root.reason}", where=where, hint=hint)
            case TimeoutError() if self.deadline.left <= 0:
                return self.deadline.exceeded(where)
            case TimeoutError():
                return Unavailable("deadline-exceeded", "it answers too slowly or not at all", where=where)
            case socket.gaierror(errno=socket.EAI_NONAME):
                return Unavailable("registry-unavailable", "there is no host of this name", where=where)
            case ValueError() as root:  # it never left; its text may repeat what was to be sent
                return Unavailable("registry-unavailable", f"it can't be asked: {type(root).__name__}", where=where)
            case OSError() as root:
                why = escaped(root.strerror or str(root) or type(root).__name__)
                return Again("registry-unavailable", f"no connection: {why}", where=where)
            case root:
                return Again("registry-unavailable", f"no proper answer: {type(root).__name__}", where=where)

    def connect(self, connection: HTTPConnection, host: str, port: int, seconds: float) -> socket.socket:
        """A connection to the first of the host's addresses that answers, among those that are allowed."""
        named = connection.proxy is not None
        last: OSError | None = None
        refused = False
        for family, kind, protocol, _, address in self._network.resolve(host, port, type=socket.SOCK_STREAM):
            reached = addresses.read(str(address[0]))
            if not named and (reached is None or not self._admits(host, port, reached)):
                refused = True
                continue
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(seconds)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
            except OSError as error:
                sock.close()
                last = OSError("it took too long") if isinstance(error, TimeoutError) else error
                continue
            return sock
        if last is None and refused:
            raise _not_allowed(host, port)
        raise NewConnectionError(connection, "no address answers") from last

    def arrived(self, connection: HTTPConnection) -> None:
        """The connection stands, its certificate included: if it is to the registry, that is where the registry is."""
        if connection.proxy is None and self._is_own(connection.host, connection.port):
            reached = addresses.read(str(connection.sock.getpeername()[0]))
            self._addresses |= {reached} if reached is not None else frozenset()

    def close(self) -> None:
        """Close the connections that are kept."""
        for manager in self._managers.values():
            manager.clear()

    def _is_own(self, host: str, port: int) -> bool:
        return (host.strip("[]").lower(), port) == (self._own.host.strip("[]"), self._own.port)

    def _admits(self, host: str, port: int, address: addresses.Address) -> bool:
        """The registry itself and what the user allowed are reached wherever they lie; others not inside the network.

        Other ports at the registry's own address are no gain for a registry: it can reach them itself.
        """
        if self._is_own(host, port) or Origin("", host.lower(), port).is_among(self._network.allowed):
            return True
        return addresses.may_be_sent_to(address, self._addresses)

    def _manager(self, proxy: str | None) -> urllib3.PoolManager:
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._opened(proxy)
            return self._managers[proxy]

    def _opened(self, proxy: str | None) -> urllib3.PoolManager:
        options: dict[str, Any] = {"num_pools": _CONNECTIONS, "maxsize": _CONNECTIONS}
        manager: urllib3.PoolManager
        if proxy is None:
            manager = urllib3.PoolManager(**options)
        else:
            parsed = parse_url(proxy)
            headers = make_headers(proxy_basic_auth=parsed.auth) if parsed.auth else None
            if parsed.scheme == "https":
                options["proxy_ssl_context"] = self._network.authorities.context(
                    Origin("https", parsed.host or "", parsed.port or 443)
                )
            manager = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
        manager.pool_classes_by_scheme = {
            "http": self._pools(urllib3.HTTPConnectionPool, _PacedHTTP),
            "https": self._pools(urllib3.HTTPSConnectionPool, _PacedHTTPS),
        }
        return manager

    def _pools(self, kind: Callable[..., Any], connection: Callable[..., Any]) -> Any:
        def pool(*arguments: Any, **options: Any) -> Any:
            made = kind(*arguments, **options)
            made.ConnectionCls = partial(connection, wire=self, patience=self._patience)
            return made

        return pool


class _Clock:
    """Runs only while the other side is waited for; too little in too long a time is `TimeoutError`.

    A time-out per read or write alone would let a server that takes or sends a byte now and then hold a run for days.
    """

    def __init__(self, patience: float, deadline: Deadline) -> None:
        self._patience = patience
        self._deadline = deadline
        self._waited = 0.0
        self._passed = 0

    def limit(self, sock: Any) -> None:
        """Near the end of the run, the socket waits no longer than that."""
        left = self._deadline.left
        if left <= 0:
            raise TimeoutError("the run is over")
        if left < self._patience:
            sock.settimeout(left)

    def count(self, passed: int, started: float) -> None:
        """So many bytes passed since `started`."""
        self._waited += time.monotonic() - started
        self._passed += passed
        if self._waited >= self._patience:
            if self._passed < _RATE * self._patience:
                raise TimeoutError("too slow")
            self._waited, self._passed = 0.0, 0


class _PacedStream(io.RawIOBase):
    """The bytes of one answer. The limit before the body is for endless headers."""

    def __init__(self, stream: Any, sock: Any, clock: _Clock) -> None:
        self._stream = stream
        self._sock = sock
        self._clock = clock
        self.left = _HEADER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._clock.limit(self._sock)
        started = time.monotonic()
        count: int = self._stream.readinto(buffer)
        self.left -= count
        if self.left < 0:
            raise OSError("headers without end")
        self._clock.count(count, started)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _PacedResponse(HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        clock = _Clock(sock.gettimeout() or CONNECT_SECONDS, deadline)
        self._paced = _PacedStream(self.fp.detach(), sock, clock)
        self.fp: Any = io.BufferedReader(self._paced)

    def begin(self) -> None:
        super().begin()
        self._paced.left = 2**63


class _PacedHTTP(HTTPConnection):
    """Connects where the wire allows it, and keeps the minimum rate while it sends.

    Sending is under the patience for answers: a registry may pause longer than a connection may take to be made.
    """

    def __init__(self, *arguments: Any, wire: Wire, patience: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # urllib3 closes kept connections when nobody holds their pool: a wire does, so they must not hold the wire
        self._wire: Wire = weakref.proxy(wire)
        self._deadline = wire.deadline
        self._patience = patience
        self.response_class: Any = partial(_PacedResponse, deadline=wire.deadline)
        self.reached = False

    def _new_conn(self) -> socket.socket:
        self.reached = False
        seconds = self.timeout if isinstance(self.timeout, int | float) else CONNECT_SECONDS
        connected = self._wire.connect(self, self._dns_host, self.port, seconds)
        self.reached = True
        return connected

    def connect(self) -> None:
        super().connect()
        self._wire.arrived(self)

    def send(self, data: Any) -> None:
        sock = self.sock
        if sock is None:
            super().send(data)
            return
        sock.settimeout(self._patience)
        clock = _Clock(self._patience, self._deadline)
        left = memoryview(data)
        at_once = len(left) if isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket) else 0
        while left:
            clock.limit(sock)
            started = time.monotonic()
            sent = sock.send(left[: at_once or _ENCRYPTED_AT_ONCE])
            clock.count(sent, started)
            left = left[sent:]


class _PacedHTTPS(_PacedHTTP, HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except TimeoutError:
            if self.reached and self.proxy is None:
                raise _NoHandshake from None
            raise


class _NoHandshake(ssl.SSLError):
    """The connection was made, and then nothing came."""


def escaped(text: str, limit: int = _DETAIL_CHARACTERS) -> str:
    """At most `limit` characters, what is not printable written as an escape."""
    cut = text.strip()[:limit]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)


def _root(error: BaseException) -> BaseException:
    """The innermost exception: the outer ones repeat URLs, whose queries may hold secrets."""
    candidates = (getattr(error, "reason", None), *reversed(error.args), error.__cause__)
    inner = next((item for item in candidates if isinstance(item, BaseException)), None)
    return error if inner is None else _root(inner)


def _not_allowed(host: str, port: int) -> ContentError:
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    return ContentError(
        "address-not-allowed",
        "the registry sends us to an address inside the network, which is not its own",
        where=f"{shown}:{port}",
        hint=f"--allow-host {shown}:{port}, if the registry keeps its content or its token server there",
    )
