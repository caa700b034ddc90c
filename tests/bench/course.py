"""Two registries with a shop between them, and the races that are run there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from registries.kinds.http import http_registry
from tests import peers
from tests.bench.contestants import OURS, Contestant
from tests.bench.proxies import Counter, Delay, Exchange, counting, delaying
from tests.bench.servers import KINDS, free_port
from tests.bench.shop import TAG, Made, Shop, open_shop
from tests.bench.traffic import Traffic, waterfall

STOPWATCH = Path(__file__).with_name("stopwatch.py")

_SECONDS = 600.0
_SAID = 300  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one command: seconds on the clock and on the processors, and its peak of resident memory."""

    started: float
    seconds: float
    cpu: float
    peak_kib: int


class RunFailed(Exception):
    """A command that is measured has ended badly, or left something else than the image."""


@dataclass(slots=True)
class Result:
    """All that was measured about one contestant; `failure` says why there is no more of it."""

    contestant: Contestant
    runs: list[Run] = field(default_factory=list)
    traffic: Traffic | None = None
    failure: str = ""

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        return median(run.cpu for run in self.runs)

    @property
    def peak_mib(self) -> float:
        return max(run.peak_kib for run in self.runs) / 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Two registries of one kind. The destination starts empty for each run, on the port that the shop names.

    Where `same` is true there is one registry, which stays, and each run has a stage of its own.
    """

    kind: str
    shop: Shop
    host: str
    same: bool
    counters: tuple[Counter, ...] = ()

    @contextmanager
    def fresh(self) -> Iterator[None]:
        with nullcontext() if self.same else KINDS[self.kind](int(self.host.rpartition(":")[2])):
            yield

    def run(self, contestant: Contestant, number: int) -> Run:
        """Bring the image to `prod-N`, and see that it is there under its digest."""
        run = timed(contestant.command(self.shop, number), self.shop.folder)
        repository = self.shop.destination_repository(number).partition("/")[2]
        found = http_registry(self.host, environment={}).resolve(repository, TAG)
        if found != self.shop.image.digest:
            raise RunFailed(f"left {found}, not {self.shop.image.digest}")
        return run

    def exchanges(self) -> list[list[Exchange]]:
        """What the counters have seen since they were cleared: at the source, at the destination."""
        return [sorted(counter.exchanges, key=lambda seen: seen.started) for counter in self.counters]

    def clear(self) -> None:
        for counter in self.counters:
            counter.clear()


@contextmanager
def course(
    kind: str, image: Made, *, round_trip: float = 0.0, counted: bool = False, same: bool = False, stages: int = 1
) -> Iterator[Course]:
    """Open the registries, the ways to them, and the shop. What counts stands on the client's side of what delays."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="samebits-bench-")))
        source = stack.enter_context(KINDS[kind](0))
        host = source if same else f"127.0.0.1:{free_port()}"
        counters: list[Counter] = []
        delays: list[Delay] = []

        def way(address: str) -> str:
            if round_trip:
                delays.append(stack.enter_context(delaying(address, round_trip=0.0)))
                address = delays[-1].address
            if counted:
                counters.append(stack.enter_context(counting(address)))
                address = counters[-1].address
            return address

        near = way(source)
        far = near if same else way(host)
        shop = open_shop(folder, "bench", near, far, image, stages=stages)
        for delay in delays:  # not before, since preparing is not measured
            delay.round_trip = round_trip
        yield Course(kind=kind, shop=shop, host=host, same=same, counters=tuple(counters))


def race(on: Course, contestants: Sequence[Contestant], rounds: int, *, again: bool = False) -> list[Result]:
    """Everybody in turn, round after round, each time somebody else first; the first round only warms up.

    `again` measures a second run of the same command, with the first one's work in place.
    """
    results = [Result(contestant) for contestant in contestants]
    number = 0
    for turn in range(rounds + 1):
        shift = turn % len(results)
        for result in (*results[shift:], *results[:shift]):
            number += 1
            if result.failure:
                continue
            with on.fresh(), _noted(result):
                run = on.run(result.contestant, _stage(on, number))
                if again:
                    run = on.run(result.contestant, _stage(on, number))
                if turn:
                    result.runs.append(run)
    return results


def count(on: Course, results: Sequence[Result], *, again: bool = False) -> str:
    """One more run of each, on a course with counters; returns the waterfall of ours."""
    picture = ""
    for number, result in enumerate(results, start=1):
        if result.failure:
            continue
        with on.fresh(), _noted(result):
            if again:
                on.run(result.contestant, _stage(on, number))
            on.clear()
            run = on.run(result.contestant, _stage(on, number))
            if result.contestant.name == OURS:
                picture = waterfall(on.exchanges(), run.started, run.seconds)
            result.traffic = Traffic.of(on.exchanges(), {blob.digest for blob in on.shop.image.blobs})
    return picture


def timed(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run a command in a folder by the stopwatch. It inherits nothing from whoever runs the benchmark."""
    program = shutil.which(command[0], path=peers.PATH)
    if program is None:
        raise RunFailed(f"{command[0]} is not here")
    with tempfile.TemporaryDirectory(prefix="samebits-bench-home-") as home:
        result, said = Path(home) / "result.json", Path(home) / "said"
        with said.open("wb") as output:
            subprocess.run(
                (sys.executable, "-I", "-S", str(STOPWATCH), str(result), program, *command[1:]),
                env={
                    **peers.environment(Path(home)),
                    "SAMEBITS_TRUST": "trust.yaml",
                    "COSIGN_PASSWORD": "",
                    **(environment or {}),
                },
                cwd=folder,
                stdout=output,
                stderr=output,
                timeout=_SECONDS,
                check=True,
            )
        values = json.loads(result.read_text())
        if code := values.pop("exit"):
            last = said.read_text(errors="replace").strip().rpartition("\n")[2]
            raise RunFailed(f"exit {code}: {_without_places(last)[:_SAID]}")
    return Run(**values)


@contextmanager
def _noted(result: Result) -> Iterator[None]:
    """Others may fail, which is said in the report; we may not."""
    try:
        yield
    except RunFailed as failed:
        if result.contestant.name == OURS:
            raise
        result.failure = str(failed)


def _without_places(text: str) -> str:
    """A message without the ports and digests of this one run."""
    return re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", re.sub(r"127\.0\.0\.1:\d+", "REGISTRY", text))


def _stage(on: Course, number: int) -> int:
    return number if on.same else 1


def stages_for(contestants: Sequence[Contestant], rounds: int) -> int:
    """How many stages a course within one registry needs: one for each run of a race, warm-up included."""
    return len(contestants) * (rounds + 1)
