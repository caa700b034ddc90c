"""T114: whatever becomes of a scanner that a step runs, a scan that did not finish never passes, and is on record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from attestations.records.step import StepRecord
from pipeline import step as steps
from pipeline.perform import Performance, perform
from registries.errors import Refusal
from tests.world import World

SCAN = "{name: scan, by: [scanner], evidence: grype}"
GOOD = "cp good.json scan.json; "


@pytest.fixture
def nowhere() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def world() -> World:
    """A version whose scan has passed once; what is tried afterwards replaces that."""
    world = World()
    world.change_definition(SCAN, SCAN.replace("}", ", timeout: 1s, exit-codes: [1]}"))
    world.in_build()
    return world


def scanned(world: World, folder: Path, script: str, shown: int) -> tuple[list[str], StepRecord]:
    """Run a scanner that does this, and record what came of it."""
    [(_, good), *_] = world.scans(world.built())
    (folder / "good.json").write_bytes(good)
    tools, pipeline = world.tools("scanner"), world.pipeline
    found = tools.places.admitted("1.0", "build", pipeline)
    intended = steps.intend(found, "build", "scan", pipeline=pipeline, tools=tools, now=world.now)
    performance = Performance(
        arguments=("/bin/sh", "-c", f"cd {folder}; {script}"),
        reports=[("grype", folder / "scan.json")],
        produces=(),
        outside={"PATH": os.environ["PATH"]},
        shown=shown,
    )
    done = perform(intended, performance, clock=lambda: world.now)
    return [fault.code for fault in done.faults], steps.record(intended, done, tools=tools)[1]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo garbage > scan.json", "the grype report can't be read (evidence-malformed)"),
        (": > scan.json", "the grype report can't be read (evidence-empty)"),
        ("true", "the grype report can't be read (file-unreadable)"),
        ("truncate -s 65M scan.json", "the grype report can't be read (size-limit)"),
        (GOOD + "sleep 60", "it was ended after 1 s, the time that it may take"),
        (GOOD + "kill -KILL $$", "it was ended by SIGKILL"),
        (GOOD + "exec yes", "it was ended after printing more than the limit of 67108864 bytes"),
        ("head -c 40 good.json > scan.json; exit 1", "the grype report can't be read (evidence-malformed)"),
    ],
)
def test_t114_a_scanner_that_fails_in_any_way_is_on_record_and_stops_the_image(
    world: World, tmp_path: Path, nowhere: int, script: str, why: str
) -> None:
    codes, record = scanned(world, tmp_path, script, nowhere)

    assert codes == ["scanner-failed"]
    assert (record.result, record.reason) == ("failed", why)
    with pytest.raises(Refusal) as refused:
        world.promote("1.0", "test")
    assert [reason.code for reason in refused.value.reasons] == ["step-failed"]


@pytest.mark.parametrize("exit_code", [0, 1])
def test_t114_the_report_of_an_earlier_run_is_none_of_this_one(
    world: World, tmp_path: Path, nowhere: int, exit_code: int
) -> None:
    [(_, good), *_] = world.scans(world.built())
    (tmp_path / "scan.json").write_bytes(good)

    codes, record = scanned(world, tmp_path, f"exit {exit_code}", nowhere)

    assert (codes, record.result, record.reports) == (["scanner-failed"], "failed", ())
    assert record.reason == "it did not write the grype report, which was there before"


def test_t114_an_exit_code_that_the_definition_does_not_know_is_a_failure(
    world: World, tmp_path: Path, nowhere: int
) -> None:
    codes, record = scanned(world, tmp_path, GOOD + "exit 2", nowhere)

    assert (codes, record.result, record.exit_code) == (["step-not-passed"], "failed", 2)
    assert record.reports, "what it has found out is kept"


def test_t114_an_exit_code_that_only_means_findings_leaves_them_to_the_gates(
    world: World, tmp_path: Path, nowhere: int
) -> None:
    codes, record = scanned(world, tmp_path, GOOD + "exit 1", nowhere)

    assert (codes, record.result, record.exit_code, record.reason) == ([], "passed", 1, "")
    assert record.program is not None
    assert record.program.name == "/bin/sh"
