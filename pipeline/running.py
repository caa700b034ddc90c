"""Runs a program: alone in its process group, with what it may know, bounded in time and output, and ended for sure.

What it prints passes through as it comes, is counted and hashed. When the program has ended, everything that it started
and left behind ends too; so it does when a signal ends this process.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from registries.digest import Digest
from registries.errors import UsageError
from registries.limits import CHUNK_BYTES, STEP_OUTPUT_BYTES

if TYPE_CHECKING:
    from hashlib import _Hash

MINIMAL: Final = ("PATH", "HOME", "LANG")
"""The variables that every program gets, where they are set."""

_LOOK_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 5.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What a program printed to one of its outputs: how many bytes, and their digest."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended. `why` says what ended it when it did not end by itself; a negative code is a signal."""

    exit_code: int
    why: str
    stdout: Stream
    stderr: Stream


def environment(outside: Mapping[str, str], allowed: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """What a program may know: a minimal environment, the variables allowed by name, and what is given to it."""
    return {name: outside[name] for name in (*MINIMAL, *allowed) if name in outside} | dict(given)


def found(program: str, path: str | None) -> str | None:
    """The file that a program's name stands for, along this PATH."""
    return shutil.which(program, path=path)


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: timedelta,
    passed_to: int,
    output_limit: int = STEP_OUTPUT_BYTES,
    start: Callable[[Sequence[str], Mapping[str, str]], subprocess.Popen[bytes]] | None = None,
) -> Ended:
    """Run to the end, or to the limits of time and output; `passed_to` is a file descriptor that gets both outputs.

    A program that can't be started raises `step-command-missing`. `start` is `started`, unless a test watches it.
    """
    running: subprocess.Popen[bytes] | None = None
    try:
        with _signals_later():
            running = (start or started)(arguments, environment)
        return _Watch(running, time.monotonic() + timeout.total_seconds(), Outputs(output_limit, passed_to)).ended(
            timeout
        )
    except BaseException:
        if running is not None:
            with _signals_later():
                _end(running)
                _close(running)
        raise


def started(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The program, as the leader of a process group of its own."""
    try:
        return subprocess.Popen(  # noqa: S603  the owners' signed definition, or the user, says what to run
            arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError("step-command-missing", f"{arguments[0]} can't be run: {error.strerror}") from error


@contextmanager
def _signals_later() -> Iterator[None]:
    """A signal that arrives inside takes effect at the end: no process is started and then lost."""
    came: list[int] = []
    handlers = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) is not None}
    for number in handlers:
        signal.signal(number, lambda received, _: came.append(received))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for arrived in came:
        signal.raise_signal(arrived)


@dataclass(slots=True)
class _Counted:
    """One output, as far as it was read."""

    hasher: _Hash = field(default_factory=hashlib.sha256)
    size: int = 0

    @property
    def stream(self) -> Stream:
        return Stream(digest=Digest("sha256", self.hasher.hexdigest()), size=self.size)


@dataclass(slots=True)
class Outputs:
    """What a program prints, counted, hashed and passed on to a file descriptor as it comes."""

    limit: int
    passed_to: int | None
    _counted: dict[str, _Counted] = field(default_factory=lambda: {"stdout": _Counted(), "stderr": _Counted()})

    def add(self, name: str, chunk: bytes) -> bool:
        """Whether there may be more; `name` is `stdout` or `stderr`."""
        counted = self._counted[name]
        counted.hasher.update(chunk)
        counted.size += len(chunk)
        try:
            while chunk and self.passed_to is not None:
                chunk = chunk[os.write(self.passed_to, chunk) :]
        except OSError:
            self.passed_to = None  # nobody reads it any more; it is counted all the same
        return not self.flooded

    @property
    def flooded(self) -> str:
        """Why the program has to be ended; empty as long as it prints no more than it may."""
        if sum(one.size for one in self._counted.values()) > self.limit:
            return f"it was ended after printing more than the limit of {self.limit} bytes"
        return ""

    def ended(self, exit_code: int, why: str) -> Ended:
        """How the program ended."""
        out, err = self._counted["stdout"].stream, self._counted["stderr"].stream
        return Ended(exit_code=exit_code, why=why, stdout=out, stderr=err)


def overdue(timeout: timedelta) -> str:
    """Why a program was ended that took too long."""
    return f"it was ended after {timeout.total_seconds():.0f} s, the time that it may take"


@dataclass(slots=True)
class _Watch:
    """A running program and its two outputs, read until both end or something has to be ended."""

    running: subprocess.Popen[bytes]
    deadline: float
    outputs: Outputs

    def ended(self, timeout: timedelta) -> Ended:
        why = ""
        with selectors.DefaultSelector() as open_pipes:
            for name in ("stdout", "stderr"):
                open_pipes.register(getattr(self.running, name), selectors.EVENT_READ, name)
            while not why and not _has_ended(self.running.pid):  # what it left behind may hold the pipes for ever
                self._read(open_pipes)
                why = self.outputs.flooded or (overdue(timeout) if time.monotonic() > self.deadline else "")
            if why:
                _end(self.running)
            else:
                _kill_group(self.running.pid)
            last = time.monotonic() + _GRACE_SECONDS
            while open_pipes.get_map() and time.monotonic() < last:
                self._read(open_pipes)
                why = why or self.outputs.flooded
            if open_pipes.get_map():
                why = why or "it left a process behind that still holds its output"
        _close(self.running)
        return self.outputs.ended(self.running.wait(), why)

    def _read(self, open_pipes: selectors.BaseSelector) -> None:
        if not open_pipes.get_map():
            time.sleep(_LOOK_SECONDS)
        for key, _ in open_pipes.select(_LOOK_SECONDS):
            chunk = os.read(key.fd, CHUNK_BYTES)
            if not chunk:
                open_pipes.unregister(key.fileobj)
                continue
            self.outputs.add(key.data, chunk)


def _close(running: subprocess.Popen[bytes]) -> None:
    for pipe in (running.stdout, running.stderr):
        if pipe is not None:
            pipe.close()


def _end(running: subprocess.Popen[bytes]) -> None:
    """Ask the program and all that it has started to end; then kill what is left."""
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGTERM)
    last = time.monotonic() + _GRACE_SECONDS
    while not _has_ended(running.pid) and time.monotonic() < last:
        time.sleep(_LOOK_SECONDS / 10)
    _kill_group(running.pid)
    running.wait()


def _has_ended(number: int) -> bool:
    """Whether a child has ended. Its number stays its own, and that of its group, until it is waited for."""
    return os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
