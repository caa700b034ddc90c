"""The seven parts of the benchmark. Each one measures, and says which of its aims were met."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.contestants import COPIES, OURS, PROMOTE, SCRIPTED, Contestant, prepare_cosign
from tests.bench.course import Result, Run, RunFailed, count, course, race, stages_for, timed
from tests.bench.servers import SAMEBITS
from tests.bench.shop import Made, make_image
from tests.bench.table import Aim, Table, bytes_text, number

ROUND_TRIP = 0.050
MEMORY_MIB = 128
REQUESTS_AGAIN = 8
SHARE_OF_SCRIPT = 0.4
HEAVY = frozenset({"requests", "cryptography", "pydantic", "rich", "sigstore"})

_MIB = 1024 * 1024
_BIG = {"layers": 4, "layer_bytes": 60 * 1000 * 1000}
_SMALL = {"layers": 3, "layer_bytes": 100 * 1000}
_IMPORTED = re.compile(r"^import time:.*\|\s*(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was asked for: rounds (None: as many as each part thinks enough) and kinds of registries."""

    rounds: int | None
    kinds: Sequence[str]
    say: Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Report:
    """One part: what was done, tables, aims, and pictures that are shown but not kept."""

    title: str
    text: str
    tables: list[Table] = field(default_factory=list)
    aims: list[Aim] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


def large(asked: Settings) -> Report:
    report = Report(
        title="(a) A 480 MB image of two platforms, from one registry to another",
        text="Eight layers of 60 MB that nothing compresses, on loopback, into an empty registry.",
    )
    entrants = [one for one in _here(PROMOTE, *COPIES) if one.name not in ("oras cp", "regctl image copy --referrers")]
    with _image(_BIG) as image:
        for kind in asked.kinds:
            asked.say(f"(a) {kind}")
            with course(kind, image) as on:
                results = race(on, entrants, asked.rounds or 3)
            with course(kind, image, counted=True) as on:
                report.pictures.append(count(on, results))
            report.tables.append(_table(kind, results, memory=True))
            report.aims += [_no_slower(results, kind), _small_enough(results, kind)]
    return report


def far(asked: Settings) -> Report:
    report = Report(
        title="(b) A small image with three records, at 50 ms round-trip time",
        text="Two platforms with three layers of 100 KB each; an admission, its summary and a step with its report "
        "hang on it. samebits verifies, judges, copies all of it, signs and reads back.",
    )
    with _image(_SMALL) as image:
        for kind in asked.kinds:
            asked.say(f"(b) {kind}")
            with course(kind, image, round_trip=ROUND_TRIP) as on:
                results = race(on, _here(PROMOTE, *COPIES), asked.rounds or 5)
            with course(kind, image, round_trip=ROUND_TRIP, counted=True) as on:
                report.pictures.append(count(on, results))
            report.tables.append(_table(kind, results))
            report.aims.append(_no_slower(results, kind))
    return report


def within(asked: Settings) -> Report:
    report = Report(
        title="(c) The 480 MB image, within one registry",
        text="To another repository of the same registry, each time a new one. Blobs can be mounted there.",
    )
    entrants, rounds = _here(PROMOTE, *COPIES), asked.rounds or 3
    with _image(_BIG) as image:
        for kind in asked.kinds:
            asked.say(f"(c) {kind}")
            with course(kind, image, same=True, stages=stages_for(entrants, rounds)) as on:
                results = race(on, entrants, rounds)
            with course(kind, image, same=True, counted=True, stages=len(entrants)) as on:
                report.pictures.append(count(on, results))
            report.tables.append(_table(kind, results))
            ours = _ours(results).traffic
            moved = ours.blob_bytes_down + ours.blob_bytes_up if ours else -1
            told = f"{bytes_text(moved)}, and {bytes_text(ours.proof_bytes if ours else 0)} read by range as proof"
            report.aims.append(Aim(f"{kind}: no byte of the image's blobs moves", told, met=moved == 0))
    return report


def again(asked: Settings) -> Report:
    report = Report(
        title="(d) The same once more, with nothing to do",
        text=f"The small image of (b), at 50 ms; only the second run is measured. Aim: no write, at most "
        f"{REQUESTS_AGAIN} requests.",
    )
    with _image(_SMALL) as image:
        for kind in asked.kinds:
            asked.say(f"(d) {kind}")
            with course(kind, image, round_trip=ROUND_TRIP) as on:
                results = race(on, _here(PROMOTE, *COPIES), asked.rounds or 3, again=True)
            with course(kind, image, round_trip=ROUND_TRIP, counted=True) as on:
                report.pictures.append(count(on, results, again=True))
            report.tables.append(_table(kind, results))
            ours = _ours(results).traffic
            writes, requests = (ours.writes, ours.requests) if ours else (-1, -1)
            report.aims.append(Aim(f"{kind}: no write", str(writes), met=writes == 0))
            few = 0 <= requests <= REQUESTS_AGAIN
            report.aims.append(Aim(f"{kind}: at most {REQUESTS_AGAIN} requests", str(requests), met=few))
    return report


def scripted(asked: Settings) -> Report:
    report = Report(
        title="(e) What people script today",
        text="`cosign verify-attestation` of one attestation, `oras cp -r`, `cosign attest`, and a tag by crane, in "
        f"one shell, for the image of (b). Aim: samebits takes at most {SHARE_OF_SCRIPT} of that time at 50 ms.",
    )
    entrants = _here(PROMOTE, SCRIPTED)
    if SCRIPTED not in entrants:
        report.text += " Not measured: cosign is not here."
        return report
    with _image(_SMALL) as image:
        for kind in asked.kinds:
            for round_trip, where in ((0.0, "on loopback"), (ROUND_TRIP, "at 50 ms")):
                asked.say(f"(e) {kind} {where}")
                with course(kind, image, round_trip=round_trip) as on:
                    prepare_cosign(on.shop)
                    results = race(on, entrants, asked.rounds or 5)
                with course(kind, image, round_trip=round_trip, counted=True) as on:
                    prepare_cosign(on.shop)
                    count(on, results)
                report.tables.append(_table(f"{kind}, {where}", results))
                if round_trip and results[1].runs:
                    share = results[0].seconds / results[1].seconds
                    aim = f"{kind}, {where}: at most {SHARE_OF_SCRIPT} of the script's time"
                    report.aims.append(Aim(aim, number(share), met=share <= SHARE_OF_SCRIPT))
    return report


def start(asked: Settings) -> Report:
    report = Report(
        title="(f) Starting",
        text="What it costs to ask for the version, and for help. `python` alone is what no Python program undercuts.",
    )
    python = str(Path(sys.executable))
    commands: Mapping[str, Sequence[str]] = {
        "samebits --version": (str(SAMEBITS), "--version"),
        "samebits --help": (str(SAMEBITS), "--help"),
        "samebits promote --help": (str(SAMEBITS), "promote", "--help"),
        "python -I -c pass": (python, "-I", "-c", "pass"),
        "crane version": ("crane", "version"),
        "oras version": ("oras", "version"),
        "regctl version": ("regctl", "version"),
        "cosign version": ("cosign", "version"),
        "skopeo --version": ("skopeo", "--version"),
    }
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory(prefix="samebits-bench-") as folder:
        for turn in range((asked.rounds or 15) + 1):
            for name, command in commands.items():
                try:
                    run = timed(command, Path(folder))
                except RunFailed:
                    continue
                if turn:
                    runs[name].append(run)
    rows = []
    for name, kept in runs.items():
        modules = _modules(commands[name]) if name.startswith("samebits") else frozenset()
        if kept:
            rows.append(
                (
                    f"`{name}`",
                    f"{median(run.seconds for run in kept) * 1e3:.0f} ms",
                    f"{median(run.cpu for run in kept) * 1e3:.0f} ms",
                    f"{max(run.peak_kib for run in kept) / 1024:.0f} MiB",
                    str(len(modules)) if modules else "",
                )
            )
    report.tables.append(Table("", ("command", "time", "CPU", "peak memory", "modules"), tuple(rows)))
    heavy = sorted(HEAVY & {module.partition(".")[0] for module in _modules(commands["samebits --version"])})
    aim = f"`--version` loads none of {', '.join(sorted(HEAVY))}"
    report.aims.append(Aim(aim, ", ".join(heavy) or "none", met=not heavy))
    return report


def bundles(asked: Settings) -> Report:
    from tests.bench import verify

    return verify.bundles(asked)


def judging(asked: Settings) -> Report:
    from tests.bench import judge

    return judge.judging(asked)


PARTS: Mapping[str, Callable[[Settings], Report]] = {
    "a": large,
    "b": far,
    "c": within,
    "d": again,
    "e": scripted,
    "f": start,
    "g": bundles,
    "h": judging,
}


@contextmanager
def _image(size: Mapping[str, int]) -> Iterator[Made]:
    with tempfile.TemporaryDirectory(prefix="samebits-bench-image-") as folder:
        yield make_image(Path(folder) / "image", **size)


def _here(*entrants: Contestant) -> list[Contestant]:
    return [entrant for entrant in entrants if entrant.is_here]


def _ours(results: Sequence[Result]) -> Result:
    return next(result for result in results if result.contestant.name == OURS)


def _no_slower(results: Sequence[Result], kind: str) -> Aim:
    others = [result for result in results if result.runs and result.contestant.name != OURS]
    if not others:
        return Aim(f"{kind}: no slower than the fastest copy", "nobody to compare with", met=False)
    best = min(others, key=lambda result: result.seconds)
    share = _ours(results).seconds / best.seconds
    return Aim(f"{kind}: no slower than the fastest copy ({best.contestant.name})", number(share), met=share <= 1.0)


def _small_enough(results: Sequence[Result], kind: str) -> Aim:
    peak = _ours(results).peak_mib
    return Aim(f"{kind}: at most {MEMORY_MIB} MiB of memory", f"{peak:.0f} MiB", met=peak <= MEMORY_MIB)


def _table(title: str, results: Sequence[Result], *, memory: bool = False) -> Table:
    """Medians, and how each compares with ours; `round trips` are those that had to wait for one another."""
    ours = _ours(results).seconds
    head = ("", "time", "÷ samebits", "CPU", *(("peak memory",) if memory else ()))
    head += ("requests (writes)", "connections", "round trips", "down", "up")
    rows = []
    for result in results:
        name = f"`{result.contestant.name}`{'' if result.contestant.whole else ' *'}"
        if not result.runs:
            rows.append((name, "failed", *("",) * (len(head) - 2)))
            continue
        peak = (f"{result.peak_mib:.0f} MiB",) if memory else ()
        seen = result.traffic
        cost = ("",) * 5
        if seen is not None:
            asked = f"{seen.requests} ({seen.writes})"
            moved = (bytes_text(seen.bytes_down), bytes_text(seen.bytes_up))
            cost = (asked, str(seen.connections), str(seen.rounds), *moved)
        rows.append(
            (name, f"{result.seconds:.2f} s", number(result.seconds / ours), f"{result.cpu:.2f} s", *peak, *cost)
        )
    notes = tuple(f"`{result.contestant.name}` failed: {result.failure}" for result in results if result.failure)
    return Table(title, head, tuple(rows), notes)


def _modules(command: Sequence[str]) -> frozenset[str]:
    """The modules that a run of samebits imports."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull}
    words = (sys.executable, "-P", "-X", "importtime", "-m", "pipeline.cli", *command[1:])
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return frozenset(_IMPORTED.findall(done.stderr))
