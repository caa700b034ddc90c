"""A proxy on loopback that cuts connections after so many bytes, and counts what passes.

with cutting(registry, up=[2_000_000]) as line:
    …                           # the first connection to carry 2 MB towards the registry dies there
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 64 * 1024


@dataclass(kw_only=True)
class Line:
    """Where to connect, the cuts that are still to come in each direction, and the bytes that passed."""

    address: str = ""
    up: list[int] = field(default_factory=list)
    down: list[int] = field(default_factory=list)
    sent: int = 0
    received: int = 0


@contextmanager
def cutting(upstream: str, *, up: Sequence[int] = (), down: Sequence[int] = ()) -> Iterator[Line]:
    """For as long as the block runs. Each cut is made once, in this order."""
    host, _, port = upstream.rpartition(":")
    line = Line(up=list(up), down=list(down))
    listener = socket.create_server(("127.0.0.1", 0))
    line.address = f"127.0.0.1:{listener.getsockname()[1]}"
    open_: list[socket.socket] = []
    lock = threading.Lock()

    def pump(source: socket.socket, to: socket.socket, cuts: list[int], *, upwards: bool) -> None:
        passed = 0
        with suppress(OSError):
            while content := source.recv(_CHUNK):
                with lock:
                    cut = bool(cuts) and passed + len(content) >= cuts[0]
                    content = content[: cuts.pop(0) - passed] if cut else content
                    line.sent += len(content) if upwards else 0
                    line.received += 0 if upwards else len(content)
                to.sendall(content)
                passed += len(content)
                if cut:
                    _reset(source)
                    break
        with suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((host, int(port)))
                open_.extend((near, far))
                for source, to, cuts, upwards in ((near, far, line.up, True), (far, near, line.down, False)):
                    arguments = (source, to, cuts)
                    threading.Thread(target=pump, args=arguments, kwargs={"upwards": upwards}, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for each in open_:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        thread.join(5)


def _reset(sender: socket.socket) -> None:
    """As in a crash between the two; the receiver gets what was passed on, and then the end."""
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sender.close()
