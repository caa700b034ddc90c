"""clamd, asked over its socket: whether a stream of bytes is known to be malware, and how old its signatures are.

Source: clamd(8), "COMMANDS". Only `OK` is clean: an error, a limit, silence or anything else is no answer.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from registries.errors import Unavailable, UsageError

_ANSWER_BYTES: Final = 4096
_SECONDS: Final = 120.0
_ADDRESS: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
_VERSION: Final = re.compile(r"ClamAV (?P<engine>[0-9A-Za-z.+~-]+)(?:/(?P<signatures>[0-9]+)/(?P<date>[^/]+))?")
_PORTS: Final = 65535
_FOUND: Final = re.compile(r"stream: (?P<signature>\S+) FOUND")


class NotScanned(Exception):
    """clamd gave no answer that says clean or found; carries what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Which clamd it is. Without the official signatures it has neither their number nor their date."""

    version: str
    signatures: int | None
    date: datetime | None


@dataclass(frozen=True, slots=True)
class Clamd:
    """A clamd at `HOST:PORT` or `unix:PATH`. Each question is a connection of its own, so threads may ask together."""

    address: str
    seconds: float = _SECONDS

    def engine(self) -> Engine:
        """What it is; `scanner-unavailable` when nobody answers there, or something else."""
        try:
            with self._connected() as connection:
                connection.sendall(b"zVERSION\0")
                said = _answer(connection)
        except OSError as error:
            raise self._unavailable(str(error.strerror or error)) from error
        match = _VERSION.fullmatch(said)
        if match is None:
            raise self._unavailable(f"it answers {said!r:.80}, as no clamd does")
        return Engine(
            version=match["engine"],
            signatures=int(match["signatures"]) if match["signatures"] else None,
            date=_date(match["date"]),
        )

    def scan(self, content: Iterable[bytes]) -> str:
        """The name of the signature that was found, empty when it is clean; raises `NotScanned` otherwise."""
        try:
            with self._connected() as connection:
                connection.sendall(b"zINSTREAM\0")
                with suppress(BrokenPipeError, ConnectionResetError):  # it stopped listening, and says why
                    for chunk in content:
                        connection.sendall(struct.pack("!I", len(chunk)) + chunk)
                    connection.sendall(struct.pack("!I", 0))
                said = _answer(connection)
        except TimeoutError:
            raise NotScanned(f"no answer in {self.seconds:g} seconds") from None
        except OSError as error:
            raise NotScanned(error.strerror or type(error).__name__) from error
        if said == "stream: OK":
            return ""
        if match := _FOUND.fullmatch(said):
            return match["signature"]
        raise NotScanned(said[:200] or "it ended the connection without an answer")

    def _connected(self) -> socket.socket:
        family, to = _place(self.address)
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.seconds)
            connection.connect(to)
        except OSError:
            connection.close()
            raise
        return connection

    def _unavailable(self, why: str) -> Unavailable:
        return Unavailable("scanner-unavailable", f"clamd can't be asked: {why}", where=self.address)


def _place(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    if address.startswith("unix:"):
        return socket.AF_UNIX, address.removeprefix("unix:")
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > _PORTS:
        raise UsageError("usage", f"{address!r:.80} is neither HOST:PORT nor unix:PATH", hint="--clamd 127.0.0.1:3310")
    host = match["host"].strip("[]")
    return socket.AF_INET6 if ":" in host else socket.AF_INET, (host, int(match["port"]))


def _answer(connection: socket.socket) -> str:
    """Up to the NUL that ends it, or the end of the connection; more than any answer has is none."""
    said = b""
    while b"\0" not in said and len(said) < _ANSWER_BYTES and (more := connection.recv(_ANSWER_BYTES)):
        said += more
    return said.partition(b"\0")[0].decode("utf-8", errors="replace").strip()


def _date(text: str | None) -> datetime | None:
    """The time at which the signatures were made, as `asctime` writes it."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return None
