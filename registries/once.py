"""Answers that are asked for once, also by threads that come at the same time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Once(Generic[Key, Value]):
    """What was answered is kept until it is forgotten, or until it weighs too much; a failure is never kept.

    `weigh` says what one answer weighs, `limit` what all together may; the ones used longest ago go first.
    """

    def __init__(self, *, weigh: Callable[[Value], int], limit: int) -> None:
        self._weigh = weigh
        self._limit = limit
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._weight = 0
        self._asking: dict[Key, Future[Value]] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, ask: Callable[[], Value]) -> Value:
        """The answer that is kept, the one that another thread is waiting for, or that of `ask()`."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            others = self._asking.get(key)
            mine = Future[Value]()
            if others is None:
                self._asking[key] = mine
        if others is not None:
            return others.result()
        try:
            value = ask()
        except BaseException as error:
            self._ends(key, mine)
            mine.set_exception(error)
            raise
        if self._ends(key, mine):
            self.put(key, value)
        mine.set_result(value)
        return value

    def peek(self, key: Key) -> Value | None:
        """The answer that is kept, or None; nobody is asked."""
        with self._lock:
            return self._kept.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep an answer that came in another way."""
        with self._lock:
            self._drop(key)
            self._kept[key] = value
            self._weight += self._weigh(value)
            while self._weight > self._limit:
                self._drop(next(iter(self._kept)))

    def forget(self, key: Key) -> None:
        """Ask again next time; what is being asked for now is not kept either."""
        with self._lock:
            self._drop(key)
            self._asking.pop(key, None)

    def _ends(self, key: Key, mine: Future[Value]) -> bool:
        """End a question; False when it was forgotten meanwhile."""
        with self._lock:
            if self._asking.get(key) is not mine:
                return False
            del self._asking[key]
            return True

    def _drop(self, key: Key) -> None:
        if key in self._kept:
            self._weight -= self._weigh(self._kept.pop(key))
