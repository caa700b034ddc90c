"""How long a run may take, how fast a registry may be asked, and how long it may make us wait.

The clock and the pause are parameters: tests bring their own.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from registries.errors import Unavailable, UsageError
from registries.limits import PROMOTION_SECONDS

_FIRST_INTERVAL: Final = 0.05  # seconds between two requests after the first 429
_LONGEST_INTERVAL: Final = 5.0
_FASTER: Final = 0.9  # each answer that is no 429 shortens the interval to this part
_NEGLIGIBLE: Final = 0.002

Clock = Callable[[], float]
Sleep = Callable[[float], None]


class Deadline:
    """The end of a run, the same for all registries that it talks to."""

    def __init__(self, seconds: float = PROMOTION_SECONDS, *, clock: Clock = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; none or less: it has passed."""
        return self._end - self._clock()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is no part of the run's time: a step's command has a limit of its own."""
        since = self._clock()
        try:
            yield
        finally:
            self._end += self._clock() - since

    def check(self, where: str, *, pause: float = 0.0) -> None:
        """Whether so long a pause still fits; else `deadline-exceeded`, at once and not after the pause."""
        if self.left <= pause:
            raise self.exceeded(where)

    def exceeded(self, where: str) -> Unavailable:
        """The refusal of a run whose time is over."""
        return Unavailable(
            "deadline-exceeded",
            f"the run was given {self._seconds:g} s, and they are over",
            where=where,
            hint=f"--deadline {math.ceil(self._seconds / 30)}m gives it twice the time; nothing is moved twice",
        )


class Rate:
    """When the next request to one registry may leave: for all threads that talk to it.

    Without a limit (`per_second` None) nobody waits until the registry answers 429. Then all requests are kept apart,
    further with each 429 to a request that was sent since; and nearer again with every other answer.
    """

    def __init__(self, per_second: float | None, *, clock: Clock = time.monotonic, sleep: Sleep = time.sleep) -> None:
        if per_second is not None and not 0 < per_second < math.inf:
            raise UsageError("usage", f"--rate is requests per second, more than 0, not {per_second:g}")
        self._least = 0.0 if per_second is None else 1 / per_second
        self._interval = self._least
        self._next = -math.inf
        self._slowed = -math.inf
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()

    def wait(self, deadline: Deadline, where: str) -> float:
        """Wait for our turn, unless the run would be over by then; when it came, for `refused`."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            deadline.check(where, pause=turn - now)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)
        return turn

    def refused(self, sent: float, pause: float) -> None:
        """The request whose turn was `sent` got a 429: nobody asks for `pause` seconds, and then not so fast."""
        with self._lock:
            now = self._clock()
            if sent > self._slowed:  # what was sent before we went slower says nothing about the new pace
                self._interval = min(max(2 * self._interval, _FIRST_INTERVAL), _LONGEST_INTERVAL)
                self._slowed = max(now, sent)
            self._next = max(self._next, now + pause)

    def answered(self) -> None:
        """Another answer came: a little faster."""
        if self._interval > self._least:
            with self._lock:
                shorter = self._interval * _FASTER
                self._interval = self._least if shorter < _NEGLIGIBLE else max(shorter, self._least)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait; 0 when it does not say, or nothing that makes sense.

    A date counts from the answer's own date. Source: RFC 9110, 10.2.3.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    from email.utils import parsedate_to_datetime  # slow to load, and hardly ever needed

    try:
        seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
        return max(seconds, 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0
