"""Talking to one registry: transports that are closed again, logins with a canary for a secret, and refusals."""

from __future__ import annotations

import base64
import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from registries.credentials import Credentials
from registries.errors import Refusal
from registries.request import Body, Request
from registries.transport import Transport
from tests.faults import FaultRegistry

CANARY = "s3cr3t-canary"


def credentials(folder: Path, *hosts: str, secret: str = CANARY) -> Credentials:
    """A Docker configuration in this folder, with a login for these hosts."""
    entry = {"auth": base64.b64encode(f"robot:{secret}".encode()).decode()}
    (folder / "config.json").write_text(json.dumps({"auths": dict.fromkeys(hosts, entry)}))
    return Credentials({"DOCKER_CONFIG": str(folder)}, home=None)


@contextmanager
def opened(host: str, logins: Credentials, **options: Any) -> Iterator[Transport]:
    """A transport that does not really pause, unless it is told to."""
    options.setdefault("sleep", lambda _: None)
    transport = Transport(host, credentials=logins, **options)
    try:
        yield transport
    finally:
        transport.close()


def get(transport: Transport, target: str = "v2/app/tags/list", repository: str = "app") -> bytes:
    with transport.request(Request(method="GET", target=target, repository=repository)) as answer:
        return b"".join(answer.chunks())


def post(transport: Transport, repository: str = "app", body: bytes = b"") -> int:
    target = f"v2/{repository}/blobs/uploads/"
    return transport.request(
        Request(method="POST", target=target, repository=repository, body=Body.of(body) if body else None)
    ).status


def refused(transport: Transport, act: Callable[[Transport], object] = get) -> Refusal:
    """How this is refused; the canary is neither in the message nor in any exception behind it."""
    with pytest.raises(Refusal) as error:
        act(transport)
    assert CANARY not in "".join(traceback.format_exception(error.value))
    return error.value


def local(registry: FaultRegistry) -> str:
    """The same registry by name: certificates are for names."""
    return registry.host.replace("127.0.0.1", "localhost")


@contextmanager
def raw_server(speak: Callable[[socket.socket], None], *, listen: bool = True) -> Iterator[str]:
    """A server that says to each connection whatever it likes, until the test ends; first it may hear a request."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            try:
                if listen:
                    connection.recv(65536)
                speak(connection)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            connection.close()
        thread.join(5)
