from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from attestations.chain import CLOCK_TOLERANCE
from attestations.verify import Verified
from registries.digest import Digest
from registries.errors import UsageError
from stages.duration import Duration
from stages.gate import Outcome, Verdict
from stages.gates.tests import PassingTests
from tests.evidence import AMD64, ARM64, HOUR, NOW, SUBJECT, attested, evidence, junit, report, trivy

SECOND = timedelta(seconds=1)
GATE = PassingTests()


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_passed_tests_pass_and_are_named() -> None:
    unit, load = report("junit", junit(5, skipped=1), step="unit"), report("junit", junit(2), step="load")
    verdict = GATE.judge(evidence(unit, load))
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASSED, ())
    assert verdict.counts == (("tests", 8), ("failures", 0), ("errors", 0), ("skipped", 1))
    assert set(verdict.evidence) == {unit.record, unit.digest, load.record, load.digest}


def test_no_report_is_a_no_that_says_how_to_record_one() -> None:
    verdict = GATE.judge(evidence(report("trivy", trivy())))
    assert (verdict.outcome, codes(verdict)) == (Outcome.NOT_CHECKED, ["attestation-missing"])
    assert verdict.reasons[0].message == "no step of the chain has a test report"
    assert verdict.reasons[0].hint == f"samebits step test STEP {SUBJECT} --report junit=FILE"


@pytest.mark.parametrize("content", [junit(2, failed=1), junit(2, errors=1)])
def test_one_failed_test_blocks_whatever_others_say(content: bytes) -> None:
    verdict = GATE.judge(evidence(report("junit", content), report("junit", junit(100), step="other")))
    assert (verdict.outcome, codes(verdict)) == (Outcome.BLOCKED, ["tests-failed"])
    assert verdict.reasons[0].message.startswith("1 of 3 tests failed: ")
    assert f"samebits step test scan {SUBJECT} --report junit=FILE" in verdict.reasons[0].hint


def test_ten_failed_cases_are_named_and_the_others_counted() -> None:
    [ten] = GATE.judge(evidence(report("junit", junit(failed=10)))).reasons
    assert ten.message.endswith("fails-8, fails-9")
    [twelve] = GATE.judge(evidence(report("junit", junit(failed=12)))).reasons
    assert twelve.message.endswith("fails-9 and 2 more")
    assert "fails-10" not in twelve.message


def test_tests_that_were_skipped_did_not_run() -> None:
    assert codes(GATE.judge(evidence(report("junit", junit(0, skipped=3))))) == ["evidence-empty"]


def test_as_many_tests_as_asked_for_must_run() -> None:
    gate = PassingTests(min_tests=3)
    assert gate.judge(evidence(report("junit", junit(3, skipped=2)))).outcome is Outcome.PASSED
    assert codes(gate.judge(evidence(report("junit", junit(2, skipped=2))))) == ["evidence-empty"]
    two = (report("junit", junit(2)), report("junit", junit(1), step="other"))
    assert gate.judge(evidence(*two)).outcome is Outcome.PASSED


@pytest.mark.parametrize("number", [0, -1])
def test_a_gate_that_asks_for_no_test_is_no_gate(number: int) -> None:
    with pytest.raises(UsageError) as error:
        PassingTests(min_tests=number)
    assert error.value.code == "definition-invalid"


def test_only_reports_by_the_named_signers_count() -> None:
    gate = PassingTests(by=("ci",))
    mine, foreign = report("junit", junit(), signer="ci"), report("junit", junit(failed=1), signer="someone")
    assert gate.judge(evidence(mine, foreign)).outcome is Outcome.PASSED
    verdict = gate.judge(evidence(foreign))
    assert codes(verdict) == ["attestation-missing"]
    assert "no step of the chain has a test report signed by ci; " in verdict.reasons[0].message


def test_only_the_named_steps_count_and_each_must_have_a_report() -> None:
    gate = PassingTests(steps=("unit", "load"))
    unit, load = report("junit", junit(), step="unit"), report("junit", junit(), step="load", stage="build")
    broken = report("junit", junit(failed=1), step="flaky")
    assert gate.judge(evidence(unit, load, broken)).outcome is Outcome.PASSED
    verdict = gate.judge(evidence(unit, report("trivy", trivy(), step="load", stage="build")))
    assert codes(verdict) == ["attestation-missing"]
    assert verdict.reasons[0].message == "the step load has no test report"
    assert verdict.reasons[0].hint == f"samebits step build load {SUBJECT} --report junit=FILE"


def test_a_test_run_may_be_as_old_as_the_limit_and_no_older() -> None:
    gate = PassingTests(max_age=Duration.parse("24h"))
    just = report("junit", junit(), finished_at=NOW - 24 * HOUR)
    over = report("junit", junit(), finished_at=NOW - 24 * HOUR - SECOND)
    assert gate.judge(evidence(just)).outcome is Outcome.PASSED
    assert codes(gate.judge(evidence(over))) == ["evidence-too-old"]
    assert GATE.judge(evidence(over)).outcome is Outcome.PASSED


def test_a_test_run_from_the_future_is_a_no() -> None:
    just = report("junit", junit(), finished_at=NOW + CLOCK_TOLERANCE)
    over = report("junit", junit(), finished_at=NOW + CLOCK_TOLERANCE + SECOND)
    assert GATE.judge(evidence(just)).outcome is Outcome.PASSED
    assert codes(GATE.judge(evidence(over))) == ["clock-skew"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"garbage", "evidence-malformed"),
        (b"<!DOCTYPE x><testsuite/>", "evidence-malformed"),
        (b'<testsuite tests="2"><testcase/></testsuite>', "evidence-malformed"),
        (b"", "evidence-empty"),
        (b"<testsuites/>", "evidence-empty"),
    ],
)
def test_an_unreadable_report_is_a_no_even_beside_a_good_one(content: bytes, code: str) -> None:
    bad, good = report("junit", content, step="second"), report("junit", junit())
    verdict = GATE.judge(evidence(bad, good))
    assert (verdict.outcome, codes(verdict)) == (Outcome.NOT_CHECKED, [code])
    assert verdict.reasons[0].where == f"gate tests, test second, junit report {bad.digest}"
    assert verdict.evidence == (good.record, good.digest)


RESULT = "https://in-toto.io/attestation/test-result/v0.1"


def said(
    result: str = "PASSED", *, about: tuple[Digest, ...] = (SUBJECT,), signer: str = "ci", **lists: Any
) -> Verified:
    predicate = {"result": result, "configuration": [], "passedTests": ["a", "b"], **lists}
    return attested(RESULT, predicate, about=about, signer=signer)


def test_an_attested_test_result_counts_by_a_signer_whom_the_gate_names() -> None:
    gate, made = PassingTests(by=("ci",), min_tests=2), said()
    verdict = gate.judge(evidence(statements=(made,)))
    assert (verdict.outcome, verdict.evidence) == (Outcome.PASSED, (made.record,))
    assert codes(gate.judge(evidence(statements=(said(signer="other"),)))) == ["attestation-missing"]
    assert codes(PassingTests().judge(evidence(statements=(made,)))) == ["attestation-missing"]
    assert PassingTests().judge(evidence(statements=(made,), admitters=("ci",))).outcome is Outcome.PASSED
    assert codes(gate.judge(evidence(statements=(said(passedTests=[]),)))) == ["evidence-empty"]
    assert codes(gate.judge(evidence(statements=(said("FAILED", failedTests=["c"]),)))) == ["tests-failed"]


def test_warnings_are_failures_unless_the_gate_accepts_them() -> None:
    warned = evidence(statements=(said("WARNED", warnedTests=["slow"]),))
    verdict = PassingTests(by=("ci",)).judge(warned)
    assert codes(verdict) == ["tests-failed"]
    assert "1 of 3 tests ended with a warning: slow" in verdict.reasons[0].message
    assert PassingTests(by=("ci",), accept_warnings=True).judge(warned).outcome is Outcome.PASSED


def test_test_results_about_platforms_must_be_about_each() -> None:
    gate, parts = PassingTests(by=("ci",)), (said(about=(AMD64.manifest,)), said(about=(ARM64.manifest,)))
    both = (AMD64, ARM64)
    assert gate.judge(evidence(statements=parts, platforms=both)).outcome is Outcome.PASSED
    assert codes(gate.judge(evidence(statements=parts[:1], platforms=both))) == ["attestation-missing"]


def test_a_gate_that_names_steps_counts_no_attestation() -> None:
    gate = PassingTests(by=("ci",), steps=("unit",))
    assert codes(gate.judge(evidence(statements=(said(),)))) == ["attestation-missing"]
    unit = report("junit", junit(), signer="ci", step="unit")
    assert gate.judge(evidence(unit, statements=(said("FAILED"),))).outcome is Outcome.PASSED
