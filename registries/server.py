"""The embedded registry as a process: OCI Distribution 1.1, with referrers and deletion, over OCI layouts in a folder.

For laptops, tests and small teams. Several processes may serve one folder. What clients ask and get is in
`registries/embedded`; here is the socket, who may listen where, and what is cleaned up.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import resource
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import uvicorn

from registries.embedded.access import Access
from registries.embedded.application import application
from registries.embedded.connection import SLOW_SECONDS, patient_for
from registries.embedded.repositories import Repositories
from registries.errors import Refusal, Unavailable, UsageError

_STOP_SECONDS: Final = 1
_QUEUE: Final = 512
_ABANDONED_SECONDS: Final = 24 * 3600.0
_CLEANS_PER_AGE: Final = 24
_MOST_CONNECTIONS: Final = 4096

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A certificate with its chain, and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to serve. `plain_http`: passwords without TLS beyond this machine, where something else protects them.

    `abandoned_seconds`: how long nobody may have written to an upload that is then removed. `slow_seconds`: how long a
    client may keep the server waiting.
    """

    access: Access | None = None
    tls: Tls | None = None
    plain_http: bool = False
    abandoned_seconds: float = _ABANDONED_SECONDS
    slow_seconds: float = SLOW_SECONDS


DEFAULT: Final = Options()


def serve(root: Path, host: str, port: int, *, ready: Callable[[str], None], options: Options = DEFAULT) -> None:
    """Serve in the foreground (the main thread) until SIGINT or SIGTERM; `ready` gets the URL once it is open."""
    check_exposure(host, options)
    repositories = _repositories(root)
    server = _Server(_config(repositories, options))
    listener, address = _listen(host, port)
    # uvicorn gives back the handlers that it found and raises to them again what it was stopped by: to itself, so that
    # a stop by signal is a normal return here, and a signal that comes before it has begun is not lost.
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with listener, _cleaning(repositories, options.abandoned_seconds):
            ready(f"{'http' if options.tls is None else 'https'}://{address}")
            server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def serve_in_thread(root: Path, port: int = 0, *, options: Options = DEFAULT) -> Iterator[str]:
    """Serve on loopback for as long as the block runs; yields `127.0.0.1:port`."""
    repositories = _repositories(root)
    server = _Server(_config(repositories, options))
    listener, address = _listen("127.0.0.1", port)
    thread = threading.Thread(target=server.run, args=([listener],), name=f"registry {address}")
    with listener, _cleaning(repositories, options.abandoned_seconds):
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


def check_exposure(host: str, options: Options) -> None:
    """Refuse to take passwords in plain text from other machines (`password-exposed`), unless told to."""
    if options.access is None or options.tls is not None or options.plain_http or is_loopback(host):
        return
    raise UsageError(
        "password-exposed",
        f"passwords for {host} would cross the network in plain text",
        hint="give it a certificate: --tls-cert FILE --tls-key FILE; --plain-http where a proxy in front has one",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. A name other than `localhost` may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Give requests a moment to end, then cut the connections that are left."""
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


def _repositories(root: Path) -> Repositories:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable("local-storage-failed", f"can't keep images here: {error}", where=str(root)) from error
    return Repositories(root)


def _config(repositories: Repositories, options: Options) -> uvicorn.Config:
    context = None if options.tls is None else _context(options.tls)
    return uvicorn.Config(
        application(repositories, options.access),
        http=patient_for(options.slow_seconds),
        ws="none",
        loop="asyncio",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",  # bugs are logged where they are answered, with the request; the rest is noise
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        limit_concurrency=_connections(),
        ssl_context_factory=None if context is None else lambda *_: context,
    )


def _connections() -> int:
    """How many connections at most: each may have one file open too, and some are needed for other things."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_CONNECTIONS if open_files == resource.RLIM_INFINITY else open_files // 2 - 64
    return max(16, min(most, _MOST_CONNECTIONS))


def _context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.3 and nothing older."""

    def no_passphrase() -> NoReturn:  # OpenSSL would ask at the terminal
        raise UsageError("server-certificate-invalid", "the private key is encrypted", where=str(tls.key))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for path in (tls.certificate, tls.key):
        try:
            path.read_bytes()
        except OSError as error:
            raise UsageError("file-unreadable", error.strerror or str(error), where=str(path)) from error
    try:
        context.load_cert_chain(tls.certificate, tls.key, no_passphrase)
    except ssl.SSLError as error:
        why = "the private key is not that of the certificate" if error.reason == "KEY_VALUES_MISMATCH" else str(error)
        raise UsageError("server-certificate-invalid", why, where=f"{tls.certificate}, {tls.key}") from error
    return context


@contextlib.contextmanager
def _cleaning(repositories: Repositories, age: float) -> Iterator[None]:
    """Remove abandoned uploads, at once and again and again while the block runs."""
    stopped = threading.Event()

    def clean() -> None:
        while True:
            try:
                repositories.clean(time.time() - age)
            except (OSError, Refusal):  # the next round comes
                _LOG.exception("abandoned uploads could not be removed")
            if stopped.wait(age / _CLEANS_PER_AGE):
                return

    thread = threading.Thread(target=clean, name="abandoned uploads", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    """An open socket and how clients name it. Clients that come before the server runs wait in its queue."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_QUEUE)
    except (OSError, OverflowError) as error:
        raise UsageError(
            "address-unavailable",
            f"can't listen on {host}:{port}: {error}",
            hint="choose another port, or port 0 for one that is free",
        ) from error
    # Connections inherit it; asyncio sets it only where the protocol is named. Without it each answer waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener, f"{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
