"""The command in forked processes: real processes, which can be killed, without the half second that a start takes.

A warm process, which has everything imported and runs no thread, forks a child for each run; the child is what
`samebits` is from there on, with a folder, an environment and streams of its own. Run as a program, this is the warm
process: a line of JSON comes in, the child's id goes out, a line lets the child begin, its exit code goes out.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.shop import ROOT, SECONDS, Ended, checked

_PACKAGES = ("pipeline", "stages", "attestations", "registries")


class Forks:
    """Runs commands, one at a time. `process_id` is that of the run that is going on."""

    def __init__(self, warm: subprocess.Popen[bytes], folder: Path) -> None:
        self._warm = warm
        self._folder = folder
        self.process_id = 0

    def run(self, words: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Ended:
        """Run the command to its end; of one that was killed the code is negative, as of a `subprocess`."""
        streams = [str(self._folder / name) for name in ("stdout", "stderr")]
        self._tell({"words": list(words), "folder": str(folder), "environment": dict(environment), "streams": streams})
        self.process_id = self._told()
        self._tell("begin")
        code = self._told()
        stdout, stderr = (Path(name).read_text(encoding="utf-8") for name in streams)
        return checked(Ended(code, stdout, stderr))

    def _tell(self, value: object) -> None:
        assert self._warm.stdin is not None
        self._warm.stdin.write(json.dumps(value).encode() + b"\n")
        self._warm.stdin.flush()

    def _told(self) -> int:
        """A number from the warm process; one that does not come in time ends the run."""
        assert self._warm.stdout is not None
        heard = select.poll()
        heard.register(self._warm.stdout, select.POLLIN)
        if not heard.poll(1000 * SECONDS):
            if self.process_id:
                os.kill(self.process_id, 9)
            raise TimeoutError("a run does not end")
        return int(self._warm.stdout.readline())


@contextmanager
def opened(folder: Path) -> Iterator[Forks]:
    """The warm process, for as long as the block runs. The folder is for the streams of the runs."""
    command = [
        sys.executable,
        "-P",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {__name__} as it; it.serve()",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as warm:
        try:
            yield Forks(warm, folder)
        finally:
            assert warm.stdin is not None
            warm.stdin.close()
            try:
                warm.wait(10)
            except subprocess.TimeoutExpired:
                warm.kill()


def serve() -> None:
    """The warm process, until its input ends."""
    for name in _PACKAGES:
        for module in pkgutil.walk_packages([str(ROOT / name)], f"{name}."):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # or each child copies the pages of what it never changes
    for line in sys.stdin.buffer:
        _serve_one(json.loads(line))


def _serve_one(wanted: dict[str, Any]) -> None:
    assert threading.active_count() == 1
    may_begin, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(begin)
        os.read(may_begin, 1)
        os._exit(_run(wanted))
    os.close(may_begin)
    _say(child)
    sys.stdin.buffer.readline()
    os.close(begin)
    _, status = os.waitpid(child, 0)
    _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    sys.stdout.buffer.write(b"%d\n" % number)
    sys.stdout.buffer.flush()


def _run(wanted: dict[str, Any]) -> int:
    """What a process started as `samebits WORDS` does, up to its exit code."""
    from pipeline.cli import main

    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, path in enumerate(wanted["streams"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv = ["samebits", *wanted["words"]]
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        return end.code if isinstance(end.code, int) else 0
