"""Attacks by means of evidence: empty, about something else, or made to exhaust whoever reads it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from attestations.identity import Role
from registries.errors import ContentError
from registries.limits import MIB, REPORT_BYTES
from stages.alerts import On
from stages.decision import PromotionBlocked, decide
from stages.evidence import Evidence, Report
from stages.gate import Gate, Outcome, Verdict
from stages.gates.provenance import BuildProvenance
from stages.gates.sast import StaticAnalysis
from stages.gates.sbom import BillOfMaterials
from stages.gates.tests import PassingTests
from stages.reports import REPORTS
from stages.source import Repository
from stages.stage import Stage
from tests.evidence import (
    AMD64,
    ARM64,
    BUILDER,
    COMMIT,
    REPOSITORY,
    STRANGER,
    cyclonedx,
    evidence,
    junit,
    provenance,
    report,
    sarif,
)

SAST = StaticAnalysis(on=On.IMAGE)
SBOM = BillOfMaterials(min_components=2)
TESTS = PassingTests()
BUILD = BuildProvenance(
    builder=BUILDER,
    source=Repository(REPOSITORY),
    ref="refs/heads/main",
    parameters={"workflow.path": "build.yml", "target": "prod"},
    by=("scanner",),
)


def codes(gate: Gate, *reports: Report, **more: Any) -> set[str]:
    """The reasons of the gate's no."""
    verdict = gate.judge(evidence(*reports, **more))
    assert verdict.outcome is not Outcome.PASSED
    return {reason.code for reason in verdict.reasons}


def passes(gate: Gate, *reports: Report) -> bool:
    return gate.judge(evidence(*reports)).outcome is Outcome.PASSED


def changed(content: bytes, change: Callable[[Any], None]) -> bytes:
    value = json.loads(content)
    change(value)
    return json.dumps(value).encode()


def test_t108_two_bills_that_were_swapped_count_for_neither_image() -> None:
    mine, theirs = cyclonedx("a", "b"), cyclonedx("a", "b", about=STRANGER)
    assert passes(SBOM, report("cyclonedx", mine))
    assert "subject-mismatch" in codes(SBOM, report("cyclonedx", theirs))


def test_t108_analysis_of_another_image_or_commit_does_not_count() -> None:
    assert passes(SAST, report("sarif", sarif(about=[AMD64.config])))
    assert "subject-mismatch" in codes(SAST, report("sarif", sarif(about=[STRANGER])))
    on_source = StaticAnalysis(provenance_by=("scanner",))
    built = report("slsa", provenance(), step="provenance")
    assert passes(on_source, built, report("sarif", sarif(commit=COMMIT)))
    assert "subject-mismatch" in codes(on_source, built, report("sarif", sarif(commit="b2" * 20)))


@pytest.mark.parametrize(
    ("gate", "kind", "content"),
    [
        (SAST, "sarif", b"{}"),
        (SAST, "sarif", b'{"version": "2.1.0", "runs": []}'),
        (SAST, "sarif", b'{"version": "2.1.0", "runs": null}'),
        (SAST, "sarif", changed(sarif(), lambda it: it["runs"][0].pop("results"))),
        (SAST, "sarif", changed(sarif(), lambda it: it["runs"][0]["invocations"][0].update(executionSuccessful=False))),
        (SAST, "sarif", changed(sarif(), lambda it: it["runs"][0]["tool"]["driver"].pop("version"))),
        (TESTS, "junit", junit(0)),
        (TESTS, "junit", junit(0, skipped=3)),
        (TESTS, "test-result", b'{"result": "PASSED", "configuration": [], "passedTests": []}'),
    ],
)
def test_t109_a_report_that_shows_nothing_never_passes(gate: Gate, kind: str, content: bytes) -> None:
    assert "evidence-empty" in codes(gate, report(kind, content))


def test_t111_a_bill_without_packages_or_without_digest_or_of_the_source_tree_does_not_pass() -> None:
    def of_the_tree(bill: Any) -> None:
        bill["metadata"]["component"] = {"type": "application", "name": "shop", "version": "1.0"}

    assert passes(SBOM, report("cyclonedx", cyclonedx("flask", "jinja")))
    assert "evidence-empty" in codes(SBOM, report("cyclonedx", cyclonedx()))
    assert "evidence-empty" in codes(SBOM, report("cyclonedx", cyclonedx("flask")))
    assert "subject-mismatch" in codes(SBOM, report("cyclonedx", cyclonedx("flask", "jinja", about=None)))
    tree = changed(cyclonedx("flask", "jinja"), of_the_tree)
    assert "subject-mismatch" in codes(SBOM, report("cyclonedx", tree))


def test_t111_a_bill_of_one_platform_is_none_of_the_other() -> None:
    both = (AMD64, ARM64)
    assert "attestation-missing" in codes(SBOM, report("cyclonedx", cyclonedx("a", "b")), platforms=both)


def test_t112_provenance_with_any_field_swapped_is_refused() -> None:
    good: dict[str, Any] = {"target": "prod"}
    assert passes(BUILD, report("slsa", provenance(**good)))
    swapped: list[dict[str, Any]] = [
        {"builder": "https://builder.example/two"},
        {"repository": "https://github.com/evil/shop"},
        {"ref": "refs/heads/evil"},
        {"target": "dev"},
        {"extra": "x"},
    ]
    for change in swapped:
        assert codes(BUILD, report("slsa", provenance(**{**good, **change}))) == {"provenance-mismatch"}, change
    elsewhere = changed(
        provenance(**good), lambda it: it["buildDefinition"]["externalParameters"]["workflow"].update(path="evil.yml")
    )
    assert codes(BUILD, report("slsa", elsewhere)) == {"provenance-mismatch"}


_DEEP = 100_000
_ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%s]><testsuite><testcase name="&z;"/></testsuite>' % b"".join(
    b'<!ENTITY %c "%s">' % (98 + number, b"&%c;" % (97 + number) * 10) for number in range(24)
)


@pytest.mark.parametrize("kind", sorted(REPORTS))
@pytest.mark.parametrize(
    ("bomb", "refusals"),
    [
        (b" " * (REPORT_BYTES + 1), {"size-limit"}),
        (b'{"runs":' + b"[" * _DEEP + b"]" * _DEEP + b"}", {"evidence-malformed"}),
        (b'{"a":' * _DEEP + b"1" + b"}" * _DEEP, {"evidence-malformed"}),
        (b'{"version": ' + b"9" * _DEEP + b"}", {"evidence-malformed"}),
        (_ENTITIES, {"evidence-malformed"}),
        (b"<testsuite>" * _DEEP, {"evidence-malformed"}),
    ],
    ids=["too-large", "deep-list", "deep-object", "long-number", "entities", "deep-xml"],
)
def test_t113_a_report_that_is_a_bomb_is_refused_in_little_memory(kind: str, bomb: bytes, refusals: set[str]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ContentError) as error:
            REPORTS[kind](bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.value.code in refusals
    assert peak < 64 * MIB


class Failing:
    """Evidence that fails when it is looked at for the time `at`, the first being 0."""

    def __init__(self, evidence: Evidence, at: int) -> None:
        self.evidence, self.left = evidence, at

    def __getattr__(self, name: str) -> Any:
        self.left -= 1
        if self.left == -1:
            raise OSError(f"no {name}")
        return getattr(self.evidence, name)


@dataclass(frozen=True)
class Interrupted:
    """A gate that fails at the step `at` of its way through the evidence."""

    gate: Gate
    at: int

    def judge(self, evidence: Evidence) -> Verdict:
        return self.gate.judge(cast("Evidence", Failing(evidence, self.at)))


@pytest.mark.parametrize(
    ("gate", "enough"),
    [
        (SAST, report("sarif", sarif(about=[AMD64.config]))),
        (SBOM, report("cyclonedx", cyclonedx("a", "b"))),
        (TESTS, report("junit", junit(9))),
        (
            BuildProvenance(builder=BUILDER, source=Repository(REPOSITORY), any_value=("workflow.path",)),
            report("slsa", provenance()),
        ),
    ],
)
def test_t115_a_gate_that_fails_at_any_step_lets_nothing_in(gate: Gate, enough: Report) -> None:
    def refusal(at: int) -> tuple[str, str]:
        asked = Stage(
            name="prod",
            after=("test",),
            any_of=False,
            places=("registry.example/prod",),
            admit=Role(name="admit", signers=()),
            gates=(("interrupted", Interrupted(gate, at)),),
            steps=(),
            tags=(),
        )
        try:
            decide(asked, evidence(enough)).permit()
        except PromotionBlocked as error:
            return error.code, error.reasons[0].where
        return "", ""

    said = [refusal(at) for at in range(100)]
    steps = said.index(("", ""))
    assert steps > 0
    assert set(said[:steps]) == {("gate-error", "gate interrupted")}
    assert set(said[steps:]) == {("", "")}
