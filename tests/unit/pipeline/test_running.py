"""A program runs bounded in time and output, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.running import Ended, environment, run, started
from registries.digest import Digest
from registries.errors import UsageError

PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[int]:
    """A file that gets what passes through."""
    descriptor = os.open(tmp_path / "shown", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def shell(script: str, shown: int, *, seconds: float = 20, limit: int = 1 << 20) -> Ended:
    words = ("/bin/sh", "-c", script)
    return run(words, environment=PATH, timeout=timedelta(seconds=seconds), passed_to=shown, output_limit=limit)


def test_both_outputs_are_counted_hashed_and_passed_on(shown: int) -> None:
    ended = shell("echo out; echo err >&2; exit 3", shown)

    assert (ended.exit_code, ended.why) == (3, "")
    assert (ended.stdout.digest, ended.stdout.size) == (Digest.of(b"out\n"), 4)
    assert (ended.stderr.digest, ended.stderr.size) == (Digest.of(b"err\n"), 4)
    assert sorted(os.pread(shown, 100, 0).split()) == [b"err", b"out"]


def test_a_program_gets_only_what_it_is_given() -> None:
    outside = {"PATH": "/bin", "HOME": "/home/ci", "TOKEN": "secret", "CI": "true"}
    assert environment(outside, ("CI", "ABSENT"), {"SAMEBITS_STEP": "unit"}) == {
        "PATH": "/bin", "HOME": "/home/ci", "CI": "true", "SAMEBITS_STEP": "unit",
    }  # fmt: skip


def test_a_program_that_hangs_is_ended_with_all_that_it_has_started(shown: int, tmp_path: Path) -> None:
    ended = shell(f"trap '' TERM; sleep 77 & echo $! > {tmp_path}/child; wait; wait; sleep 78", shown, seconds=0.5)

    assert ended.exit_code == -signal.SIGKILL
    assert "time that it may take" in ended.why
    assert is_gone(int((tmp_path / "child").read_text()))


def test_a_program_that_floods_its_output_is_ended(shown: int) -> None:
    ended = shell("exec yes", shown, limit=100_000)

    assert ended.exit_code == -signal.SIGTERM
    assert "more than the limit of 100000 bytes" in ended.why


def test_exactly_as_much_output_as_is_allowed_is_no_flood(shown: int) -> None:
    assert shell("printf 12345", shown, limit=5).why == ""
    assert "more than the limit" in shell("printf 123456", shown, limit=5).why


def test_what_a_program_leaves_behind_ends_with_it(shown: int, tmp_path: Path) -> None:
    ended = shell(f"sleep 77 & echo $! > {tmp_path}/child; exit 0", shown)

    assert (ended.exit_code, ended.why) == (0, "")
    assert is_gone(int((tmp_path / "child").read_text()))


def test_a_program_that_is_killed_says_by_which_signal(shown: int) -> None:
    assert shell("kill -9 $$", shown).exit_code == -signal.SIGKILL


def test_output_that_nobody_reads_any_more_is_counted_all_the_same() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert shell("echo lost", writing).stdout.size == 5
    finally:
        os.close(writing)


def test_a_program_that_is_not_there_is_refused(shown: int) -> None:
    with pytest.raises(UsageError) as refused:
        run(("no-such-program",), environment=PATH, timeout=timedelta(seconds=1), passed_to=shown)
    assert refused.value.code == "step-command-missing"


class Asked(BaseException):
    """What the handler of a signal raises, as the command line's does."""


def asked(_: int, __: object) -> None:
    raise Asked


@pytest.fixture
def listening() -> Iterator[None]:
    """SIGTERM raises, as it does in the command line."""
    before = signal.signal(signal.SIGTERM, asked)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_signal_before_the_program_is_known_leaves_no_program_behind(listening: None, shown: int) -> None:
    begun: list[int] = []

    def start(arguments: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        running = started(arguments, variables)
        begun.append(running.pid)
        os.kill(os.getpid(), signal.SIGTERM)
        return running

    with pytest.raises(Asked):
        run(("sleep", "77"), environment=PATH, timeout=timedelta(seconds=20), passed_to=shown, start=start)
    assert is_gone(begun[0])


def test_a_signal_while_the_program_runs_ends_it(listening: None, shown: int, tmp_path: Path) -> None:
    with pytest.raises(Asked):
        shell(f"echo $$ > {tmp_path}/number; kill -TERM {os.getpid()}; exec sleep 77", shown)
    assert is_gone(int((tmp_path / "number").read_text()))


def is_gone(number: int) -> bool:
    """Whether no such process runs; one that nobody waits for yet has ended too."""
    for _ in range(100):
        try:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False
