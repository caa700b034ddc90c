"""One connection, which is cut when its client is too slow: to ask, to send what it announced, to take the answer.

uvicorn waits for ever for all three. What the server itself takes its time for (the disk) is not counted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from registries.limits import KIB

if TYPE_CHECKING:
    from collections.abc import Hashable

SLOW_SECONDS: Final = 30.0
_SLOWEST: Final = 1 * KIB  # bytes a second


class Connection(H11Protocol):
    """Looked at every `patience` seconds: who was waited for then and now, and moved less than it must, is cut off."""

    patience = SLOW_SECONDS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._answered = 0
        self._received = 0
        self._resumed = 0
        self._last: tuple[Hashable, int] | None = None
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        self._watch = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there to be watched."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes."""
        self._received += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        """Count how often the client has taken what was kept for it."""
        self._resumed += 1
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Count what was answered."""
        self._answered += 1
        super().on_response_complete()

    def _look(self) -> None:
        now = self._awaited()
        if now is not None and self._last is not None and now[0] == self._last[0]:
            moved = abs(now[1] - self._last[1])
            if moved < _SLOWEST * self.patience:
                self.transport.abort()
                return
        self._last = now
        self._watch = self.loop.call_later(self.patience, self._look)

    def _awaited(self) -> tuple[Hashable, int] | None:
        """What the client is waited for, and a count of its bytes; None while it does not keep us waiting."""
        if self.flow.write_paused:
            return ("take", self._answered, self._resumed), self.transport.get_write_buffer_size()
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
            return ("ask", self._answered), 0
        if self.cycle.more_body and not self.flow.read_paused:
            return ("send", self._answered), self._received
        return None


def patient_for(seconds: float) -> type[Connection]:
    """The protocol with this patience."""

    class Patient(Connection):
        patience = seconds

    return Patient
