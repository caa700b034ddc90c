"""Asking a credential helper, `docker-credential-NAME get`: a deadline, a cap on what it says, nothing left running.

Source: docker/docker-credential-helpers, "Development".
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from typing import IO, Final

from registries.errors import Refusal, Unauthorized
from registries.limits import HELPER_BYTES
from registries.strict_json import loads_object

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOLDS_NOTHING: Final = b"credentials not found"


def is_helper_name(name: object) -> bool:
    """Whether a configuration file may name such a helper: a program, and no path."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def program(name: str) -> str:
    """The program behind a helper's name."""
    return f"docker-credential-{name}"


def ask(name: str, server: str, *, environment: Mapping[str, str], seconds: float) -> tuple[str, str] | None:
    """User name and secret that the helper knows for this server; None when it says that it holds nothing."""
    called = program(name)
    path = shutil.which(called, path=environment.get("PATH", os.defpath))
    if path is None:
        raise _failed(called, server, "is not on the PATH")
    status, output = _run(path, called, server, environment, seconds)
    if status != 0:
        if _HOLDS_NOTHING in output:
            return None
        raise _failed(called, server, f"ended with status {status}")
    try:
        answer = loads_object(output, limit=HELPER_BYTES)
    except Refusal as error:
        raise _failed(called, server, "did not answer with a JSON object") from error
    username, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        raise _failed(called, server, "answered without Username and Secret")
    return username, secret


def _run(path: str, called: str, server: str, environment: Mapping[str, str], seconds: float) -> tuple[int, bytes]:
    """Exit status and output, within the deadline and the cap. Its stderr may hold secrets and is dropped."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own file names the program; no shell, a checked name
            [path, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise _failed(called, server, f"can't be run: {error.strerror}") from error
    watch = threading.Timer(seconds, _kill, [process])
    watch.start()
    try:
        output = _converse(process, server)
        if len(output) > HELPER_BYTES:
            raise _failed(called, server, f"answered with more than {HELPER_BYTES} bytes")
        status = process.wait()
    finally:
        watch.cancel()
        _kill(process)
        process.wait()
    if status == -signal.SIGKILL:
        raise _failed(called, server, f"did not answer within {seconds:g} s")
    return status, output


def _converse(process: subprocess.Popen[bytes], server: str) -> bytes:
    questions, answers = _pipe(process.stdin), _pipe(process.stdout)
    with answers:
        try:
            with questions:
                questions.write(server.encode())
        except BrokenPipeError:
            pass  # it did not read the question; what it says is judged all the same
        return answers.read(HELPER_BYTES + 1)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise TypeError("both ends were asked for")
    return pipe


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the helper and whatever it started: its process group is its own."""
    if process.returncode is None:  # not yet waited for, so the number is still its own
        os.killpg(process.pid, signal.SIGKILL)


def _failed(called: str, server: str, why: str) -> Unauthorized:
    return Unauthorized("credential-helper-failed", f"{called} {why}", hint=f"echo {server} | {called} get")
