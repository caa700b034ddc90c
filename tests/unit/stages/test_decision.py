from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from attestations.identity import Role
from registries.errors import Reason
from stages.decision import PromotionBlocked, decide
from stages.evidence import Evidence
from stages.gate import Gate, Outcome, Verdict
from stages.stage import Stage
from tests.evidence import NOW, SUBJECT, evidence

ROOT = Path(__file__).parents[3]
PACKAGES = ("pipeline", "stages", "attestations", "registries")


@dataclass(frozen=True)
class Says:
    outcome: Outcome
    reasons: tuple[Reason, ...] = ()

    def judge(self, evidence: Evidence) -> Verdict:
        return Verdict(gate="says", outcome=self.outcome, reasons=self.reasons)


@dataclass(frozen=True)
class Breaks:
    error: Exception

    def judge(self, evidence: Evidence) -> Verdict:
        raise self.error


def stage(*gates: tuple[str, Gate]) -> Stage:
    return Stage(
        name="prod",
        after=("test",),
        any_of=False,
        places=("registry.example/prod",),
        admit=Role(name="admit", signers=()),
        gates=gates,
        steps=(),
        tags=(),
    )


YES = Says(Outcome.PASSED)
NO = Says(Outcome.BLOCKED, (Reason("vulnerability-found", "one"), Reason("vulnerability-found", "two")))


def test_a_decision_without_a_no_hands_out_a_permit_for_this_stage_and_image() -> None:
    permit = decide(stage(("a", YES), ("b", YES)), evidence()).permit()
    assert (permit.stage, permit.subject, len(permit.verdicts)) == ("prod", SUBJECT, 2)


def test_no_gates_leave_the_chain_alone_to_decide() -> None:
    assert decide(stage(), evidence()).permit().verdicts == ()


def test_every_gate_is_asked_and_every_reason_kept() -> None:
    decision = decide(stage(("a", NO), ("b", Breaks(ValueError("x"))), ("c", YES), ("d", NO)), evidence())
    assert len(decision.verdicts) == 4
    with pytest.raises(PromotionBlocked) as error:
        decision.permit()
    assert [reason.code for reason in error.value.reasons] == [
        "vulnerability-found",
        "vulnerability-found",
        "gate-error",
        "vulnerability-found",
        "vulnerability-found",
    ]


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), MemoryError(), AssertionError(), StopIteration()])
def test_a_gate_that_raises_says_no_with_its_name(error: Exception) -> None:
    decision = decide(stage(("vulnerabilities", Breaks(error))), evidence())
    with pytest.raises(PromotionBlocked) as blocked:
        decision.permit()
    assert blocked.value.code == "gate-error"
    assert blocked.value.reasons[0].where == "gate vulnerabilities"
    assert decision.verdicts[0].outcome is Outcome.NOT_CHECKED


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.PASSED])
def test_a_no_without_a_reason_is_a_no(outcome: Outcome) -> None:
    with pytest.raises(PromotionBlocked) as error:
        decide(stage(("a", Says(outcome))), evidence()).permit()
    assert error.value.code == "gate-error"


@pytest.mark.parametrize(
    ("name", "doors"),
    [
        ("Permit", {"stages/decision.py"}),
        ("Chain", {"attestations/chain.py"}),
        ("Verified", {"attestations/verify.py", "attestations/signers/identities.py"}),
        ("Pipeline", {"pipeline/definition.py"}),
    ],
)
def test_what_stands_for_a_check_is_made_only_where_the_check_is(name: str, doors: set[str]) -> None:
    assert set(makers(name)) <= doors


def makers(name: str) -> list[str]:
    """The source files that call something of this name."""
    return [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and name in (getattr(node.func, "id", None), getattr(node.func, "attr", None))
    ]


def test_the_search_for_makers_finds_the_one_maker_of_permits() -> None:
    assert set(makers("Permit")) == {"stages/decision.py"}


def effective(day: str, *gates: tuple[str, Gate]) -> Stage:
    return replace(stage(*gates), effective_on=((gates[0][0], datetime.fromisoformat(day)),))


def test_before_its_day_a_gate_warns_and_from_that_day_on_it_blocks() -> None:
    day = NOW.date().isoformat() + "T12:00:00+00:00"
    before = decide(effective(day, ("a", NO)), evidence(now=NOW - timedelta(seconds=1)))
    assert before.permit().verdicts[0].outcome is Outcome.WARNED
    assert [reason.code for reason in before.warnings] == ["vulnerability-found", "vulnerability-found"]
    assert before.warnings[0].message.startswith(f"blocks from {NOW.date()} on: ")
    with pytest.raises(PromotionBlocked):
        decide(effective(day, ("a", NO)), evidence(now=NOW)).permit()


def test_the_day_of_one_gate_is_none_of_another() -> None:
    with pytest.raises(PromotionBlocked):
        decide(effective("2099-01-01T00:00:00+00:00", ("a", YES), ("b", NO)), evidence()).permit()


def test_a_gate_that_fails_blocks_also_before_its_day() -> None:
    with pytest.raises(PromotionBlocked) as error:
        decide(effective("2099-01-01T00:00:00+00:00", ("a", Breaks(ValueError("x")))), evidence()).permit()
    assert error.value.code == "gate-error"
