"""What a rule can do to a request: the server modes of the threat catalogue, each under a name."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tests.faults.wire import Reply, Seen

Answer = Callable[[], Reply]
Action = Callable[[Seen, Answer], Reply]


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Action:
    """Answer this, whatever was asked; nothing takes effect."""
    return lambda *_: Reply(status=code, headers=dict(headers or {}), body=body)


def redirect(url: str, code: int = 307) -> Action:
    return status(code, {"Location": url})


def challenge(header: str) -> Action:
    return status(401, {"WWW-Authenticate": header})


def unauthorized() -> Action:
    """Ask for a new token of this registry's own token server: what a client hears when its old one has expired."""

    def ask(seen: Seen, _: Answer) -> Reply:
        realm = f"http://{seen.headers['host']}/token"
        return Reply(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="faults"'})

    return ask


def then(change: Callable[[Reply], Reply]) -> Action:
    """Do what was asked, and change the answer."""
    return lambda _, answer: change(answer())


def header(name: str, value: str | None) -> Action:
    """Lying digests, foreign upload locations, encodings. None: without this header."""

    def change(reply: Reply) -> Reply:
        others = {key: old for key, old in reply.headers.items() if key.lower() != name.lower()}
        return replace(reply, headers=others if value is None else {**others, name: value})

    return then(change)


def body(change: Callable[[bytes], bytes]) -> Action:
    """Other, longer or shorter bytes under the same headers, but for the length."""
    return then(lambda reply: replace(reply, body=change(_whole(reply))))


def cut(after: int = -1) -> Action:
    """Reset the connection after so many bytes of the body; -1: before the answer, and nothing takes effect."""
    if after < 0:
        return lambda *_: Reply(cut=after)
    return then(lambda reply: replace(reply, cut=after))


def half() -> Action:
    """Half of the body, and a reset; of an answer without a body, half of nothing under a promise of two bytes."""

    def change(reply: Reply) -> Reply:
        content = _whole(reply) or b"{}"
        promised = {**reply.headers, "Content-Length": str(len(content))}
        return replace(reply, headers=promised, body=content, cut=len(content) // 2)

    return then(change)


def short() -> Action:
    """A Content-Length of half the body, all of which is sent; seven bytes that never come where there is no body."""

    def change(reply: Reply) -> Reply:
        content = _whole(reply)
        claimed = len(content) // 2 if content else 7
        return replace(reply, headers={**reply.headers, "Content-Length": str(claimed)}, body=content, closed=True)

    return then(change)


def silence(seconds: float = 3600.0) -> Action:
    """No answer for so long, or until the client hangs up. Nothing takes effect."""
    return lambda *_: Reply(status=504, delay=seconds)


def dribble(seconds: float) -> Action:
    """One byte of the body at a time, this long after the one before."""
    return then(lambda reply: replace(reply, pace=seconds))


def endless(chunk: bytes = b" " * 65536) -> Action:
    """A body that never ends."""
    return then(lambda reply: replace(reply, body=itertools.repeat(chunk)))


def without(*digests: str) -> Action:
    """Leave these referrers out of a list, from API or tag; none named: all."""

    def drop(content: bytes) -> bytes:
        value = json.loads(content)
        kept = [entry for entry in value["manifests"] if digests and entry["digest"] not in digests]
        return json.dumps({**value, "manifests": kept}).encode()

    return body(drop)


def lost(code: int | None = None) -> Action:
    """Do what was asked, and let the client believe that it failed: a status, or a reset (None)."""
    return then(lambda _: Reply(cut=-1) if code is None else Reply(status=code))


def call(function: Callable[[Seen], object], *, after: bool = False) -> Action:
    """Call this before the request takes effect, or after it did and before it is answered."""

    def act(seen: Seen, answer: Answer) -> Reply:
        if not after:
            function(seen)
        reply = answer()
        if after:
            function(seen)
        return reply

    return act


def kill(client: Callable[[], int], *, after: bool = False) -> Action:
    """SIGKILL to the process of this id: before the request takes effect, or after it did and before it is answered."""

    def act(_: Seen, answer: Answer) -> Reply:
        if after:
            answer()
        process_id = client()
        assert process_id > 0, "zero is the group of the tests themselves"
        os.kill(process_id, signal.SIGKILL)
        return Reply(cut=-1)

    return act


@dataclass(eq=False)
class Turn:
    """An action for the n-th request, from 1, of all registries that have this as a rule, or for several from it on."""

    nth: int
    action: Action
    times: int = 1
    count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, seen: Seen, answer: Answer) -> Reply:
        with self._lock:
            self.count += 1
            its_turn = self.nth <= self.count < self.nth + self.times
        return self.action(seen, answer) if its_turn else answer()


FAULTS: Final[Mapping[str, Action]] = {
    "429": status(429),
    "429, seconds": status(429, {"Retry-After": "2"}),
    "429, a date": status(
        429, {"Date": "Wed, 25 Nov 2026 09:00:00 GMT", "Retry-After": "Wed, 25 Nov 2026 09:00:03 GMT"}
    ),
    "429, negative": status(429, {"Retry-After": "-1"}),
    "429, for ever": status(429, {"Retry-After": "1000000000"}),
    "500": status(500),
    "502": status(502),
    "503": status(503),
    "504": status(504),
    "reset": cut(),
    "half a body": half(),
    "empty body": body(lambda _: b""),
    "wrong length": short(),
    "401 midway": unauthorized(),
    "404 once": status(404),
    "time-out": silence(),
}
"""The faults of T132."""

LOST: Final[Mapping[str, Action]] = {"500, but done": lost(500), "reset, but done": lost()}
"""Answers that get lost: the client can't know that its request took effect."""


def _whole(reply: Reply) -> bytes:
    return reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
