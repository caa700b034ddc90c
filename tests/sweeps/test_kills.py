"""A promotion is killed before and after each of its requests, and run again: nothing is lost, doubled or half done.

T131, T098, G6. SIGKILL comes from the registry while the client waits for the answer to request k of the two registries
together, for every k. Afterwards I1 to I4 of the threat catalogue hold, and the second run sends at most one blob more
than was missing. SAMEBITS_SWEEP=all sweeps every point also without the referrers API, where one in seven is enough
otherwise.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from attestations.records.admission import ADMISSION
from tests import peers, scene
from tests.e2e.shop import COMMAND, SECONDS, Ended
from tests.faults import Turn, call, kill
from tests.scene import TAG, WORDS, Scene
from tests.sweeps import forks

EVERY = 1 if os.environ.get("SAMEBITS_SWEEP") == "all" else 7
SLICES = 4  # for as many workers
FEWEST = 60  # requests that a promotion of this size has at least


class Sweep:
    """A scene, its files, and a way to run the command in it."""

    def __init__(self, stage: Scene, folder: Path, runs: forks.Forks) -> None:
        self.scene = stage
        self.folder = stage.written(folder)
        self.runs = runs
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SAMEBITS_TRUST": "trust.yaml",
            "SAMEBITS_CACHE": "",  # or a run asks for less than the one before
        }

    def run(self) -> Ended:
        return self.runs.run(WORDS, folder=self.folder, environment=self.environment)

    def needed(self) -> int:
        """How many requests the undisturbed command sends, give or take a few: what is asked at once is not counted."""
        self.scene.again()
        assert self.run().code == 0
        return len(self.scene.requests)

    def killed_at(self, number: int, *, after: bool, again: bool = True) -> bool:
        """Run and kill at this request, run again, check everything. False: the promotion had fewer requests."""
        self.scene.again()
        turn = Turn(number, kill(lambda: self.runs.process_id, after=after))
        self.scene.rule(turn)
        first = self.run()
        if turn.count < number:
            assert first.code == 0, first.stderr
            return False
        assert first.code == -signal.SIGKILL, (first.code, first.stderr)
        self.settle()
        if self.scene.tagged:
            self.scene.check()
        if again:
            self.completed()
        return True

    def completed(self) -> None:
        """The second run finishes what is missing, and sends little twice."""
        missing, tagged = self.scene.missing_blobs(), self.scene.tagged
        self.scene.obey()
        second = self.run()
        assert second.code == 0, second.stderr
        assert len(self.scene.uploads()) <= len(missing) + 1  # G6
        assert tagged <= self.scene.tagged
        self.scene.check_complete()

    def killed_as_installed(self, number: int) -> None:
        """The same with the installed command, started as a process, at this request before it takes effect."""
        self.scene.again()
        process: Future[int] = Future()
        self.scene.rule(Turn(number, kill(lambda: process.result(SECONDS))))
        command, streams = [*COMMAND, *WORDS], subprocess.DEVNULL
        with subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=streams, stderr=streams) as first:
            process.set_result(first.pid)
            assert first.wait(SECONDS) == -signal.SIGKILL
        self.settle()
        self.scene.check()
        self.scene.obey()
        second = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, timeout=SECONDS, check=False
        )
        assert second.returncode == 0, second.stderr
        self.scene.check_complete()

    def settle(self) -> None:
        """Wait until what a dead client had sent has taken its effect."""
        for registry in self.scene.registries:
            registry.settle()


@pytest.fixture(scope="module", params=[True, False], ids=["referrers-api", "fallback-tag"])
def sweep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    folder = tmp_path_factory.mktemp("sweep")
    with scene.opened(referrers_api=request.param) as stage, forks.opened(folder) as runs:
        yield Sweep(stage, folder, runs)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("part", range(SLICES))
def test_t131_a_promotion_killed_at_any_request_is_completed_by_the_next_run(
    sweep: Sweep, part: int, *, after: bool
) -> None:
    step = SLICES * (1 if sweep.scene.prod.referrers_api else EVERY)
    number = 1 + part * (step // SLICES)
    killed = 0
    while sweep.killed_at(number, after=after):
        number, killed = number + step, killed + 1
    assert number > FEWEST
    print(f"points: {killed}, of {number - 1} requests")


def test_t131_the_installed_command_is_killed_and_run_again(sweep: Sweep) -> None:
    needed = sweep.needed()
    for number in (1, needed // 4, needed // 2, 3 * needed // 4):
        sweep.killed_as_installed(number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_t136_a_promotion_interrupted_at_any_request_says_so_and_is_completed_by_the_next_run(
    sweep: Sweep, number: signal.Signals, code: int
) -> None:
    needed, interrupted = sweep.needed(), 0
    for request in range(1, needed - 8, needed // 10):
        sweep.scene.again()
        turn = Turn(request, call(lambda _: os.kill(sweep.runs.process_id, number)))
        sweep.scene.rule(turn)
        ended = sweep.run()
        if turn.count < request:
            break  # lists that lie under tags take now more and now fewer requests
        interrupted += 1
        assert (ended.code, ended.reasons, ended.stdout) == (code, ["run-interrupted"], "")
        sweep.settle()
        sweep.scene.check()
        sweep.completed()
    assert interrupted >= 8


@pytest.mark.peer
def test_t131_cosign_verifies_the_admission_wherever_a_killed_run_has_left_the_tag(sweep: Sweep) -> None:
    key = str(sweep.folder / "keys/ci-promote.pub")
    where = f"{sweep.scene.prod.host}/{sweep.scene.destination}:"
    verify = ("verify-attestation", "--allow-http-registry", "--insecure-ignore-tlog", "--type", ADMISSION)
    last, seen = sweep.needed(), set[str]()
    for number in range(last - 2, last - 9, -1):
        if sweep.killed_at(number, after=True, again=False):
            for tag in sweep.scene.tagged:
                peers.run("cosign", *verify, "--key", key, f"{where}{tag}")
                seen.add(tag)
    assert TAG in seen
