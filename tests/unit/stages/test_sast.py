from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from attestations.records.admission import PipelineReference
from attestations.records.waivers import Scope, Waiver, WaiverKind, WaiversRecord, waivers_statement
from attestations.verify import Verified
from registries.digest import Digest
from registries.errors import UsageError
from stages.alerts import NAMED, On
from stages.duration import Duration
from stages.evidence import Asked, Report
from stages.finding import Severity
from stages.gate import Gate, Outcome, Verdict
from stages.gates.policy_report import PolicyReport
from stages.gates.sast import StaticAnalysis
from tests.evidence import (
    AMD64,
    ARM64,
    COMMIT,
    HOUR,
    NOW,
    STRANGER,
    SUBJECT,
    alert,
    attested,
    evidence,
    identity,
    provenance,
    rejected,
    report,
    sarif,
    slsa,
)

OTHER = "b2" * 20
DAY = Duration.parse("24h")
SLSA, SARIF = "https://slsa.dev/provenance/v1", "https://json.schemastore.org/sarif-2.1.0.json"
BUILT = attested(SLSA, slsa())
GATE = StaticAnalysis(at_or_above=Severity.MEDIUM, by=("scanner",), provenance_by=("builder",), max_age=DAY)
IMAGE = StaticAnalysis(on=On.IMAGE, by=("scanner",))


def scan(
    *results: dict[str, Any], step: str = "scan", stage: str = "test", at: Any = NOW - HOUR, **said: Any
) -> Report:
    return report("sarif", sarif(*results, **said), step=step, stage=stage, finished_at=at)


def judge(*reports: Report, gate: Gate = GATE, built: tuple[Verified, ...] = (BUILT,), **more: Any) -> Verdict:
    return gate.judge(evidence(*reports, statements=(*built, *more.pop("statements", ())), **more))


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_a_clean_run_on_the_commit_that_was_built_passes_and_the_provenance_is_evidence_too() -> None:
    clean = scan(alert(level="note"))
    verdict = judge(clean)
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASSED, ())
    assert set(verdict.evidence) == {clean.record, clean.digest, BUILT.record}
    assert dict(verdict.counts)["low"] == 1
    assert verdict.newest_data == NOW - HOUR


def test_an_alert_at_or_above_the_severity_blocks_and_is_told() -> None:
    verdict = judge(scan(alert(level="warning"), alert("R2", "error"), alert("R3", "note")))
    assert verdict.outcome is Outcome.BLOCKED
    assert [reason.message for reason in verdict.reasons] == [
        "high R2 at shop.py:6: bad",
        "medium R1 at shop.py:6: bad",
    ]
    assert codes(verdict) == ["alert-found"] * 2


def test_every_alert_counts_unless_the_gate_says_less() -> None:
    strict = StaticAnalysis(provenance_by=("builder",))
    assert codes(judge(scan(alert(level="none")), gate=strict)) == ["alert-found"]
    assert (strict.max, strict.on, strict.accept_suppressions) == ("none", On.SOURCE, False)


def test_some_may_be_allowed_and_one_more_blocks() -> None:
    gate = StaticAnalysis(max=2, provenance_by=("builder",))
    assert judge(scan(alert("A"), alert("B")), gate=gate).outcome is Outcome.PASSED
    verdict = judge(scan(alert("A"), alert("B"), alert("C")), gate=gate)
    assert codes(verdict) == ["alert-found"] * 3
    assert verdict.reasons[0].message.endswith("; 3 are more than 2")


def test_very_many_alerts_are_counted_after_some() -> None:
    verdict = judge(scan(*(alert(f"R{number}") for number in range(NAMED + 7))))
    assert len(verdict.reasons) == NAMED + 1
    assert verdict.reasons[-1].message == "and 7 more"


def test_suppressions_count_only_where_the_gate_accepts_them() -> None:
    hidden = alert(suppressions=[{"kind": "inSource"}])
    verdict = judge(scan(hidden))
    assert codes(verdict) == ["alert-found"]
    assert "suppressed in the tool" in verdict.reasons[0].message
    lenient = StaticAnalysis(provenance_by=("builder",), accept_suppressions=True)
    assert judge(scan(hidden), gate=lenient).outcome is Outcome.PASSED
    refused = alert(suppressions=[{"kind": "inSource", "status": "rejected"}])
    assert codes(judge(scan(refused), gate=lenient)) == ["alert-found"]


def test_absent_stale_foreign_and_malformed_reports_are_a_no() -> None:
    assert codes(judge()) == ["attestation-missing"]
    assert codes(judge(scan(at=NOW - 25 * HOUR))) == ["evidence-too-old"]
    assert codes(judge(scan(ended_at=NOW - 25 * HOUR))) == ["evidence-too-old"]
    assert codes(judge(scan(ended_at=NOW + HOUR))) == ["clock-skew", "attestation-missing"]
    stranger = report("sarif", sarif(), signer="stranger")
    verdict = judge(stranger)
    assert codes(verdict) == ["attestation-missing"]
    assert "by stranger, and only scanner is believed here" in verdict.reasons[0].message
    assert codes(judge(report("sarif", b"{"), scan())) == ["evidence-malformed"]


def test_a_run_on_another_commit_or_on_none_is_about_something_else() -> None:
    for said in (
        {"commit": OTHER},
        {"commit": ""},
        {"repository": "https://github.com/acme/other"},
        {"repository": "x"},
    ):
        assert codes(judge(scan(**said))) == ["subject-mismatch", "attestation-missing"]


def test_a_step_on_the_commit_says_itself_which_one_it_was() -> None:
    def on(commit: str) -> Report:
        return replace(report("sarif", sarif(commit="")), commit=commit)

    assert judge(on(COMMIT)).outcome is Outcome.PASSED
    assert codes(judge(on(OTHER))) == ["subject-mismatch", "attestation-missing"]


def test_every_commit_that_provenance_names_needs_a_run() -> None:
    parts = (
        attested(SLSA, slsa(), about=(AMD64.manifest,)),
        attested(SLSA, slsa(commit=OTHER), about=(ARM64.manifest,)),
    )
    both = (AMD64, ARM64)
    verdict = judge(scan(), built=parts, platforms=both)
    assert codes(verdict) == ["attestation-missing"]
    assert OTHER in verdict.reasons[0].message
    assert judge(scan(), scan(commit=OTHER, step="more"), built=parts, platforms=both).outcome is Outcome.PASSED
    verdict = judge(scan(), built=parts[:1], platforms=both)
    assert codes(verdict) == ["attestation-missing"]
    assert "no provenance of linux/arm64" in verdict.reasons[0].message


def test_without_believed_provenance_nobody_knows_the_commit() -> None:
    for built in ((), (attested(SLSA, slsa(), signer="stranger"),)):
        assert codes(judge(scan(), built=built)) == ["attestation-missing", "subject-mismatch"]
    silent = attested(SLSA, slsa(commit="unknown"))
    assert codes(judge(scan(), built=(silent,))) == ["provenance-mismatch", "subject-mismatch"]
    assert codes(judge(scan(), platforms=())) == ["attestation-missing"]


def test_who_admits_to_the_stage_is_believed_about_provenance_where_the_gate_names_nobody() -> None:
    gate = StaticAnalysis(by=("scanner",))
    assert judge(scan(), gate=gate, admitters=("builder",)).outcome is Outcome.PASSED
    assert judge(scan(), gate=gate).outcome is Outcome.NOT_CHECKED


def test_an_attested_report_counts_as_a_recorded_one() -> None:
    def said(*results: dict[str, Any], signer: str = "scanner", proved_time: Any = NOW - HOUR) -> Verified:
        return attested(SARIF, json.loads(sarif(*results)), signer=signer, proved_time=proved_time)

    assert judge(statements=(said(),)).outcome is Outcome.PASSED
    assert codes(judge(statements=(said(alert()),))) == ["alert-found"]
    assert codes(judge(statements=(said(signer="builder"),))) == ["attestation-missing"]
    assert codes(judge(statements=(said(proved_time=None),))) == ["evidence-too-old"]
    newer = said(proved_time=NOW)
    assert judge(statements=(said(alert(), proved_time=NOW - 2 * HOUR), newer)).outcome is Outcome.PASSED
    assert codes(judge(rejected=(rejected(SARIF),))) == ["attestation-missing"]


def test_of_each_tool_the_newest_run_counts_and_all_tools_together() -> None:
    old = scan(alert(), at=NOW - 5 * HOUR, stage="build")
    assert judge(old, scan()).outcome is Outcome.PASSED
    assert codes(judge(scan(alert()), scan(stage="build", at=NOW - 5 * HOUR))) == ["alert-found"]
    assert codes(judge(old, scan(tool="Other"))) == ["alert-found"]
    assert codes(judge(scan(alert(), at=NOW - 5 * HOUR), scan(step="more"))) == ["alert-found"], "side by side"


def test_the_same_alert_of_two_runs_is_one() -> None:
    verdict = judge(scan(alert()), scan(alert(), step="more"))
    assert codes(verdict) == ["alert-found"]


def test_named_tools_must_each_have_run_and_no_other_counts() -> None:
    gate = StaticAnalysis(tools=("Finder", "Other"), provenance_by=("builder",))
    assert judge(scan(), scan(tool="Other", step="more"), scan(alert(), tool="Third", step="x"), gate=gate).outcome is (
        Outcome.PASSED
    )
    verdict = judge(scan(), gate=gate)
    assert codes(verdict) == ["attestation-missing"]
    assert "no SARIF report of Other" in verdict.reasons[0].message


def test_named_steps_must_each_have_a_report_and_no_other_counts() -> None:
    gate = StaticAnalysis(steps=("sast", "lint"), provenance_by=("builder",))
    sast, lint = scan(step="sast"), scan(step="lint", tool="Lint")
    assert judge(sast, lint, scan(alert(), step="x"), gate=gate).outcome is Outcome.PASSED
    verdict = judge(sast, gate=gate)
    assert codes(verdict) == ["attestation-missing"]
    assert "the step lint has no SARIF report" in verdict.reasons[0].message
    assert "samebits step" in verdict.reasons[0].hint


def test_on_the_image_a_report_must_not_name_another_one() -> None:
    assert judge(scan(commit=""), gate=IMAGE, built=()).outcome is Outcome.PASSED
    for about in (AMD64.manifest, AMD64.config, SUBJECT):
        assert judge(scan(about=[about]), gate=IMAGE, built=()).outcome is Outcome.PASSED
    assert codes(judge(scan(about=[STRANGER]), gate=IMAGE, built=())) == ["subject-mismatch", "attestation-missing"]
    one = judge(scan(about=[AMD64.manifest]), gate=IMAGE, built=(), platforms=(AMD64, ARM64))
    assert codes(one) == ["attestation-missing"]
    assert codes(judge(scan(), gate=IMAGE, built=(), platforms=())) == ["attestation-missing"]


def test_provenance_that_a_step_recorded_counts_by_its_signer() -> None:
    recorded = report("slsa", provenance(), signer="builder", step="provenance")
    assert judge(scan(), recorded, built=()).outcome is Outcome.PASSED


def test_a_policy_report_is_judged_alike_and_names_its_tools() -> None:
    gate = PolicyReport(tools=("Checkov",), on=On.IMAGE, by=("scanner",))
    assert judge(scan(tool="Checkov"), scan(alert(), step="x"), gate=gate, built=()).outcome is Outcome.PASSED
    verdict = judge(scan(alert(), tool="Checkov"), gate=gate, built=())
    assert (verdict.gate, codes(verdict)) == ("policy-report", ["alert-found"])
    assert verdict.reasons[0].where == "gate policy-report"
    assert codes(judge(scan(), gate=gate, built=())) == ["attestation-missing"]
    on_source = PolicyReport(tools=("Checkov",), provenance_by=("builder",))
    assert judge(scan(tool="Checkov"), gate=on_source).outcome is Outcome.PASSED
    assert codes(judge(scan(tool="Checkov", commit=OTHER), gate=on_source)) == [
        "subject-mismatch",
        "attestation-missing",
    ]


@pytest.mark.parametrize(
    "options",
    [{"at_or_above": Severity.UNKNOWN}, {"max": 0}, {"max": -1}, {"on": On.IMAGE, "provenance_by": ("builder",)}],
)
@pytest.mark.parametrize("gate", [StaticAnalysis, PolicyReport])
def test_options_that_can_not_be_meant_are_refused(gate: Any, options: dict[str, Any]) -> None:
    named = {"tools": ("Finder",)} if gate is PolicyReport else {}
    with pytest.raises(UsageError) as error:
        gate(**named, **options)
    assert error.value.code == "definition-invalid"


def test_a_policy_report_without_tools_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        PolicyReport(tools=())
    assert error.value.code == "definition-invalid"


def waiver(**changes: Any) -> Verified:
    made: dict[str, Any] = {
        "id": "W-1",
        "gate": "sast",
        "kind": WaiverKind.ALTERNATIVE_SOLUTION,
        "findings": ("R1",),
        "scope": Scope(package="shop.py"),
        "owner": "shop",
        "reason": "the input is checked before",
        "evidence": ("https://wiki.example/1",),
        "expires": NOW + 90 * 24 * HOUR,
    }
    signer = changes.pop("signer", "security")
    claim = WaiversRecord(pipeline="shop", issued_at=NOW - 2 * HOUR, waivers=(Waiver(**{**made, **changes}),))
    statement = waivers_statement(claim)
    return Verified(statement=statement, signer=identity(signer), record=Digest.of(statement.content), claim=claim)


WAIVABLE = StaticAnalysis(provenance_by=("builder",), waivers_by=("security",))


def waived(*results: dict[str, Any], by: Verified, gate: Gate = WAIVABLE) -> Verdict:
    seen = evidence(scan(*results), statements=(BUILT,))
    pipeline = PipelineReference(name="shop", definition=SUBJECT, version=1)
    return gate.judge(replace(seen, waivers=(by,), asked=Asked(stage="test", pipeline=pipeline)))


def test_a_waiver_lets_an_alert_in_its_file_stand_and_is_named() -> None:
    given = waiver()
    verdict = waived(alert(), by=given)
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASSED, ())
    assert [(used.id, used.record) for used in verdict.waivers] == [("W-1", given.record)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"findings": ("R2",)}, []),
        ({"gate": "policy-report"}, []),
        ({"signer": "stranger"}, []),
        ({"scope": Scope(package="other.py")}, ["waiver-invalid"]),
        ({"scope": Scope(image=STRANGER)}, ["waiver-invalid"]),
        ({"expires": NOW - HOUR}, ["waiver-expired"]),
        ({"kind": WaiverKind.SECURED_BY_PRACTICE}, ["waiver-invalid"]),
    ],
)
def test_a_waiver_covers_nothing_else(changes: dict[str, Any], told: list[str]) -> None:
    verdict = waived(alert(), by=waiver(**changes))
    assert (verdict.outcome, codes(verdict)) == (Outcome.BLOCKED, ["alert-found", *told])
    assert codes(waived(alert(), by=waiver(), gate=StaticAnalysis(provenance_by=("builder",)))) == ["alert-found"]


def test_a_waived_alert_is_none_of_those_that_are_counted() -> None:
    gate = StaticAnalysis(max=1, provenance_by=("builder",), waivers_by=("security",))
    assert waived(alert(), alert("R2"), by=waiver(), gate=gate).outcome is Outcome.PASSED
    assert codes(waived(alert(), alert("R2"), alert("R3"), by=waiver(), gate=gate)) == ["alert-found"] * 2
