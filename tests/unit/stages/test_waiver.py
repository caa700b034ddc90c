"""A waiver covers what it names, where it says, until it ends, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestations.records.admission import PipelineReference
from attestations.records.waivers import Scope, Waiver, WaiverKind, WaiversRecord, waivers_statement
from attestations.verify import Verified
from registries.digest import Digest
from stages.duration import Duration
from stages.evidence import Asked, Evidence
from stages.finding import Severity
from stages.gate import Outcome, Verdict
from stages.gates.vulnerabilities import Vulnerabilities
from tests.evidence import AMD64, ARM64, NOW, STRANGER, SUBJECT, evidence, flaw, grype, identity, match, report, trivy

DAY = timedelta(days=1)
PIPELINE = PipelineReference(name="shop", definition=Digest.of(b"definition"), version=1)
GATE = Vulnerabilities(
    none_at_or_above=Severity.MEDIUM, max_age=Duration.parse("24h"), waivers_by=("security", "office")
)


def waiver(**changes: Any) -> Waiver:
    made: dict[str, Any] = {
        "id": "W-1",
        "gate": "vulnerabilities",
        "kind": WaiverKind.ALTERNATIVE_SOLUTION,
        "findings": ("CVE-2026-1",),
        "scope": Scope(package="libssl3"),
        "owner": "shop",
        "reason": "the service is not reachable",
        "evidence": ("https://wiki.example/1",),
        "expires": NOW + 90 * DAY,
    }
    return Waiver(**{**made, **changes})


def signed(*waivers: Waiver, by: str = "security", at: datetime = NOW - DAY, pipeline: str = "shop") -> Verified:
    claim = WaiversRecord(pipeline=pipeline, issued_at=at, waivers=waivers)
    statement = waivers_statement(claim)
    record = Digest.of(statement.content + by.encode())
    return Verified(statement=statement, signer=identity(by), record=record, claim=claim)


def shown(
    *findings: dict[str, Any], waivers: Sequence[Verified] = (), both: bool = False, now: datetime = NOW
) -> Evidence:
    platforms = (AMD64, ARM64) if both else (AMD64,)
    reports = [
        report(
            "trivy", trivy(*findings, about=(platform.manifest,), scanned_at=now), step=platform.name, finished_at=now
        )
        for platform in platforms
    ]
    made = evidence(*reports, platforms=platforms, now=now)
    return replace(made, waivers=tuple(waivers), asked=Asked(stage="prod", pipeline=PIPELINE))


def judged(*waivers: Verified, severity: str = "HIGH", **options: Any) -> Verdict:
    finding = flaw("CVE-2026-1", severity) | options.pop("finding", {})
    return GATE.judge(shown(finding, waivers=waivers, **options))


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_a_finding_without_a_fix_stands_by_its_waiver_which_is_named() -> None:
    given = signed(waiver())
    verdict = judged(given)
    assert (verdict.outcome, verdict.reasons, verdict.warnings) == (Outcome.PASSED, (), ())
    (used,) = verdict.waivers
    assert (used.id, used.record, used.expires) == ("W-1", given.record, NOW + 90 * DAY)
    assert dict(verdict.counts)["high"] == 1


@pytest.mark.parametrize("severity", ["CRITICAL", "HIGH", "MEDIUM", "UNKNOWN"])
@pytest.mark.parametrize("kind", list(WaiverKind))
def test_only_an_alternative_solution_covers_what_is_high_or_worse(severity: str, kind: WaiverKind) -> None:
    verdict = judged(signed(waiver(kind=kind)), severity=severity)
    allowed = kind is WaiverKind.ALTERNATIVE_SOLUTION or severity == "MEDIUM"
    assert verdict.outcome is (Outcome.PASSED if allowed else Outcome.BLOCKED)
    assert codes(verdict) == ([] if allowed else ["vulnerability-found", "waiver-invalid"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["vulnerability-found"]),
        ([signed(waiver(findings=("CVE-2026-2",)))], ["vulnerability-found"]),
        ([signed(waiver(gate="sast"))], ["vulnerability-found"]),
        ([signed(waiver(), by="ci")], ["vulnerability-found"]),
        ([signed(waiver(), pipeline="other")], ["vulnerability-found"]),
        ([signed(waiver(), at=NOW + DAY)], ["vulnerability-found"]),
        ([signed(waiver(scope=Scope(package="zlib1g")))], ["vulnerability-found", "waiver-invalid"]),
        ([signed(waiver(scope=Scope(package="libssl3", version="3.0.16")))], ["vulnerability-found", "waiver-invalid"]),
        ([signed(waiver(scope=Scope(image=STRANGER)))], ["vulnerability-found", "waiver-invalid"]),
        ([signed(waiver(), at=NOW - 2 * DAY), signed(at=NOW - DAY)], ["vulnerability-found"]),
    ],
    ids=[
        "none",
        "other id",
        "other gate",
        "not an owner",
        "other pipeline",
        "future",
        "package",
        "version",
        "image",
        "taken back",
    ],
)
def test_t106_a_waiver_covers_nothing_beyond_its_words(given: list[Verified], expected: list[str]) -> None:
    verdict = judged(*given)
    assert codes(verdict) == expected
    assert (verdict.outcome, verdict.waivers) == (Outcome.BLOCKED, ())


@pytest.mark.parametrize(
    "scope",
    [
        Scope(),
        Scope(package="libssl3"),
        Scope(package="libssl3", version="3.0.15"),
        Scope(image=SUBJECT),
        Scope(image=AMD64.manifest),
        Scope(image=SUBJECT, package="libssl3"),
    ],
)
def test_every_part_of_a_scope_that_fits_is_enough(scope: Scope) -> None:
    assert judged(signed(waiver(scope=scope))).outcome is Outcome.PASSED


def test_a_waiver_for_one_platform_is_none_for_another() -> None:
    assert codes(judged(signed(waiver(scope=Scope(image=AMD64.manifest))), both=True)) == [
        "vulnerability-found",
        "waiver-invalid",
    ]


def test_what_has_a_fix_is_updated_and_not_waived() -> None:
    verdict = judged(signed(waiver()), finding={"FixedVersion": "3.0.17"})
    assert codes(verdict) == ["vulnerability-found", "waiver-invalid"]
    assert "there is a fix" in verdict.reasons[1].message


def test_a_waiver_ends_at_its_second() -> None:
    given = signed(waiver(expires=NOW))
    assert judged(given).outcome is Outcome.PASSED
    assert codes(judged(given, now=NOW + timedelta(seconds=1))) == ["vulnerability-found", "waiver-expired"]


def test_one_that_ends_soon_is_told() -> None:
    assert [warning.code for warning in judged(signed(waiver(expires=NOW + 14 * DAY))).warnings] == ["waiver-expiring"]
    assert judged(signed(waiver(expires=NOW + 15 * DAY))).warnings == ()


def test_one_waiver_that_counts_is_enough_whatever_others_say() -> None:
    verdict = judged(signed(waiver(id="W-0", expires=NOW - timedelta(hours=1))), signed(waiver(), by="office"))
    assert (verdict.outcome, [used.id for used in verdict.waivers]) == (Outcome.PASSED, ["W-1"])


def test_without_owners_nothing_is_waived() -> None:
    alone = replace(GATE, waivers_by=())
    assert alone.judge(shown(flaw("CVE-2026-1"), waivers=[signed(waiver())])).outcome is Outcome.BLOCKED


IDS = st.sampled_from(["CVE-2026-1", "CVE-2026-2", "CVE-2026-3"])
PACKAGES = st.sampled_from(["libssl3", "zlib1g"])
WAIVERS = st.builds(
    lambda number, findings, kind, package, days: waiver(
        id=f"W-{number}",
        findings=tuple(sorted(findings)),
        kind=kind,
        scope=Scope(package=package),
        expires=NOW + days * DAY,
    ),
    st.integers(0, 3),
    st.sets(IDS, min_size=1, max_size=2),
    st.sampled_from(list(WaiverKind)),
    PACKAGES,
    st.sampled_from([-0.5, 5, 50]),
)
RECORDS = st.lists(
    st.builds(
        lambda waivers, by, hours: signed(*{one.id: one for one in waivers}.values(), by=by, at=NOW - hours * DAY / 24),
        st.lists(WAIVERS, max_size=3),
        st.sampled_from(["security", "office", "ci"]),
        st.sampled_from([20, 30, 40]),
    ),
    max_size=4,
)
FINDINGS = st.lists(
    st.builds(flaw, IDS, st.sampled_from(["CRITICAL", "HIGH", "MEDIUM"]), PACKAGES), min_size=1, max_size=4
)


@given(findings=FINDINGS, records=RECORDS, seed=st.randoms(use_true_random=False))
def test_no_waiver_widens_beyond_its_words_and_the_order_never_matters(
    findings: list[dict[str, Any]], records: list[Verified], seed: Any
) -> None:
    """What passes is covered, each finding by a live waiver of an owner that names it and its package."""
    verdict = GATE.judge(shown(*findings, waivers=records))
    mixed = list(records)
    seed.shuffle(mixed)
    assert GATE.judge(shown(*findings, waivers=mixed)) == verdict
    if verdict.outcome is not Outcome.PASSED:
        return
    used = {used.record for used in verdict.waivers}
    live = [
        one
        for item in records
        if item.record in used and item.signer.name in GATE.waivers_by and isinstance(item.claim, WaiversRecord)
        for one in item.claim.waivers
        if one.expires >= NOW
    ]
    for found in findings:
        assert any(
            found["VulnerabilityID"] in one.findings
            and one.scope.package == found["PkgName"]
            and (one.kind is WaiverKind.ALTERNATIVE_SOLUTION or found["Severity"] == "MEDIUM")
            for one in live
        )


def test_what_several_cves_have_grown_into_needs_a_waiver_that_names_each() -> None:
    grown = grype(match("GHSA-1", also=["CVE-2026-1"]), match("GHSA-1", also=["CVE-2026-2"]))
    seen = replace(evidence(report("grype", grown, step="scan")), asked=Asked(stage="prod", pipeline=PIPELINE))
    one, both = waiver(), waiver(findings=("CVE-2026-1", "CVE-2026-2"))
    verdict = GATE.judge(replace(seen, waivers=(signed(one),)))
    assert codes(verdict) == ["vulnerability-found", "waiver-invalid"]
    assert GATE.judge(replace(seen, waivers=(signed(both),))).outcome is Outcome.PASSED
