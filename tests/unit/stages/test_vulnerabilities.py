from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from attestations.chain import CLOCK_TOLERANCE
from registries.digest import Digest
from registries.errors import Reason, UsageError
from stages.duration import Duration
from stages.evidence import Evidence, Platform
from stages.finding import Severity
from stages.gate import Outcome, Verdict
from stages.gates.vulnerabilities import Vulnerabilities
from tests.evidence import (
    AMD64,
    ARM64,
    HOUR,
    NOW,
    STRANGER,
    SUBJECT,
    attested,
    evidence,
    flaw,
    grype,
    match,
    report,
    trivy,
)

SECOND = timedelta(seconds=1)
DAY = Duration.parse("24h")
GATE = Vulnerabilities(none_at_or_above=Severity.MEDIUM, max_age=DAY, by=("scanner",))
BOTH = (AMD64, ARM64)


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def only(verdict: Verdict) -> Reason:
    [reason] = verdict.reasons
    return reason


def test_unknown_is_no_threshold_since_it_would_let_critical_in() -> None:
    with pytest.raises(UsageError) as error:
        Vulnerabilities(none_at_or_above=Severity.UNKNOWN, max_age=DAY)
    assert error.value.code == "definition-invalid"


# passes, fails, absent


def test_a_clean_scan_passes_and_is_named() -> None:
    scan = report("trivy", trivy())
    verdict = GATE.judge(evidence(scan))
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASSED, ())
    assert verdict.evidence == (scan.record, scan.digest)
    assert verdict.counts == (
        ("unknown", 0),
        ("critical", 0),
        ("high", 0),
        ("medium", 0),
        ("low", 0),
        ("negligible", 0),
    )


@pytest.mark.parametrize("severity", ["LOW", "NEGLIGIBLE"])
def test_a_finding_below_the_severity_is_counted_and_passes(severity: str) -> None:
    verdict = GATE.judge(evidence(report("trivy", trivy(flaw("CVE-1", severity)))))
    assert verdict.outcome is Outcome.PASSED
    assert dict(verdict.counts)[severity.lower()] == 1


@pytest.mark.parametrize("severity", ["MEDIUM", "HIGH", "CRITICAL", "UNKNOWN", "", "Important"])
def test_a_finding_at_or_above_the_severity_blocks(severity: str) -> None:
    verdict = GATE.judge(evidence(report("trivy", trivy(flaw("CVE-1", severity)))))
    assert verdict.outcome is Outcome.BLOCKED
    assert codes(verdict) == ["vulnerability-found"]


def test_every_blocking_finding_is_a_reason_the_worst_first() -> None:
    flaws = (flaw("CVE-3", "MEDIUM"), flaw("CVE-2", "CRITICAL"), flaw("CVE-1", "CRITICAL"), flaw("CVE-4", "LOW"))
    verdict = GATE.judge(evidence(report("trivy", trivy(*flaws))))
    assert [reason.message.split()[1] for reason in verdict.reasons] == ["CVE-1", "CVE-2", "CVE-3"]


def test_a_reason_names_package_platform_and_fix() -> None:
    content = grype(match("GHSA-1", also=["CVE-1"], fixed_in=["3.0.16"]))
    reason = only(GATE.judge(evidence(report("grype", content))))
    assert reason.message == "high CVE-1 in libssl3 3.0.15, fixed in 3.0.16 (also GHSA-1), on linux/amd64"
    assert reason.hint == "update libssl3 to 3.0.16, and build again"
    assert reason.where == "gate vulnerabilities"


def test_where_no_fix_is_known_the_reason_says_so() -> None:
    reason = only(GATE.judge(evidence(report("trivy", trivy(flaw("CVE-1"))))))
    assert reason.message == "high CVE-1 in libssl3 3.0.15, no fix known, on linux/amd64"
    assert reason.hint == ""


def test_no_scan_is_a_no_that_says_how_to_record_one() -> None:
    verdict = GATE.judge(evidence())
    assert verdict.outcome is Outcome.NOT_CHECKED
    assert only(verdict).code == "attestation-missing"
    assert only(verdict).hint.endswith(f"samebits step test STEP {SUBJECT} --report trivy=FILE")


def test_at_the_entry_the_missing_scan_has_no_stage_yet() -> None:
    assert f"samebits step STAGE STEP {SUBJECT}" in only(GATE.judge(evidence(stages=()))).hint


def test_a_report_of_another_format_is_no_scan() -> None:
    assert codes(GATE.judge(evidence(report("junit", b"<testsuite/>"), report("sarif", b"{}")))) == [
        "attestation-missing"
    ]


def test_an_image_without_platforms_is_not_checked() -> None:
    about = trivy(about=[SUBJECT])
    assert codes(GATE.judge(evidence(platforms=()))) == ["attestation-missing"]
    assert "subject-mismatch" in codes(GATE.judge(evidence(report("trivy", about), platforms=())))


# signers


def test_a_scan_by_another_signer_does_not_count() -> None:
    verdict = GATE.judge(evidence(report("trivy", trivy(), signer="ci")))
    assert codes(verdict) == ["attestation-missing"]
    assert "by ci, and only scanner is believed here" in only(verdict).message
    assert only(verdict).hint.endswith(f"samebits step test STEP {SUBJECT} --report trivy=FILE")


def test_only_those_that_do_not_count_are_said_not_to() -> None:
    mine, foreign = report("trivy", trivy(), step="mine"), report("grype", grype(), signer="ci", step="a")
    verdict = GATE.judge(evidence(mine, foreign, platforms=BOTH))
    assert "by ci, and only scanner is believed here" in only(verdict).message
    assert only(verdict).hint.endswith(f"samebits step test mine {SUBJECT} --report trivy=FILE")


def test_findings_by_another_signer_do_not_count_either() -> None:
    scans = (report("trivy", trivy()), report("trivy", trivy(flaw("CVE-1")), signer="ci", step="other"))
    assert GATE.judge(evidence(*scans)).outcome is Outcome.PASSED


def test_without_named_signers_the_role_of_the_step_is_enough() -> None:
    anyone = Vulnerabilities(none_at_or_above=Severity.MEDIUM, max_age=DAY)
    assert anyone.judge(evidence(report("trivy", trivy(), signer="ci"))).outcome is Outcome.PASSED


# the image


@pytest.mark.parametrize("digest", [AMD64.manifest, AMD64.config, SUBJECT])
def test_a_report_names_the_image_by_manifest_config_or_the_digest_of_the_whole(digest: Digest) -> None:
    assert GATE.judge(evidence(report("trivy", trivy(about=[digest])))).outcome is Outcome.PASSED


@pytest.mark.parametrize("about", [(), (STRANGER,)])
def test_a_report_about_no_image_or_another_one_does_not_count(about: tuple[Digest, ...]) -> None:
    verdict = GATE.judge(evidence(report("trivy", trivy(about=about))))
    assert verdict.outcome is Outcome.NOT_CHECKED
    assert codes(verdict) == ["subject-mismatch", "attestation-missing"]
    named = str(STRANGER) if about else "no digest"
    assert verdict.reasons[0].message == f"the report names {named}, and no platform of {SUBJECT}"


def test_a_report_about_another_image_is_a_no_beside_one_about_this() -> None:
    scans = (report("trivy", trivy()), report("grype", grype(about=[STRANGER])))
    assert codes(GATE.judge(evidence(*scans))) == ["subject-mismatch"]


def test_an_index_needs_a_scan_of_every_platform() -> None:
    amd64, arm64 = report("trivy", trivy()), report("trivy", trivy(about=[ARM64.config]))
    assert GATE.judge(evidence(amd64, arm64, platforms=BOTH)).outcome is Outcome.PASSED
    verdict = GATE.judge(evidence(amd64, platforms=BOTH))
    assert only(verdict).code == "attestation-missing"
    assert only(verdict).message == f"no scan of linux/arm64 ({ARM64.manifest}) is recorded"
    assert f"samebits step test scan {SUBJECT} --report trivy=FILE" in only(verdict).hint


def test_the_digest_of_an_index_does_not_say_which_platform_was_scanned() -> None:
    verdict = GATE.judge(evidence(report("trivy", trivy(about=[SUBJECT])), platforms=BOTH))
    assert codes(verdict) == ["subject-mismatch", "attestation-missing", "attestation-missing"]


def test_a_report_that_names_two_platforms_is_of_neither() -> None:
    scan = report("trivy", trivy(about=[AMD64.manifest, ARM64.manifest]))
    verdict = GATE.judge(evidence(scan, platforms=BOTH))
    assert codes(verdict) == ["subject-mismatch", "attestation-missing", "attestation-missing"]


def test_one_manifest_listed_as_two_platforms_needs_one_scan() -> None:
    twice = Platform(name="linux/amd64/v2", manifest=AMD64.manifest, config=AMD64.config)
    assert GATE.judge(evidence(report("trivy", trivy()), platforms=(AMD64, twice))).outcome is Outcome.PASSED


def test_a_finding_on_several_platforms_is_one_reason() -> None:
    scans = [report("trivy", trivy(flaw("CVE-1"), about=[digest])) for digest in (AMD64.manifest, ARM64.manifest)]
    assert only(GATE.judge(evidence(*scans, platforms=BOTH))).message.endswith("on linux/amd64, linux/arm64")


# age


def test_a_scan_may_be_as_old_as_the_limit_and_no_older() -> None:
    content = trivy()
    just = evidence(report("trivy", content, finished_at=NOW - 24 * HOUR))
    over = evidence(report("trivy", content, finished_at=NOW - 24 * HOUR - SECOND))
    assert GATE.judge(just).outcome is Outcome.PASSED
    verdict = GATE.judge(over)
    assert (verdict.outcome, only(verdict).code) == (Outcome.NOT_CHECKED, "evidence-too-old")
    assert "2026-11-19T11:59:59+00:00, more than 24h before 2026-11-20T12:00:00+00:00" in only(verdict).message
    assert only(verdict).hint.endswith(f"samebits step test scan {SUBJECT} --report trivy=FILE")


def test_an_old_report_in_a_new_step_is_old() -> None:
    scan = report("trivy", trivy(scanned_at=NOW - 25 * HOUR), finished_at=NOW)
    assert codes(GATE.judge(evidence(scan))) == ["evidence-too-old"]


def test_an_old_step_with_a_report_that_says_it_is_new_is_old() -> None:
    scan = report("trivy", trivy(scanned_at=NOW), finished_at=NOW - 25 * HOUR)
    assert codes(GATE.judge(evidence(scan))) == ["evidence-too-old"]


def test_clocks_may_differ_by_five_minutes_and_no_more() -> None:
    just, over = NOW + CLOCK_TOLERANCE, NOW + CLOCK_TOLERANCE + SECOND
    assert GATE.judge(evidence(report("trivy", trivy(scanned_at=just), finished_at=just))).outcome is Outcome.PASSED
    for scan in (
        report("trivy", trivy(), finished_at=over),
        report("trivy", trivy(scanned_at=over)),
        report("grype", grype(data_date=over)),
    ):
        assert codes(GATE.judge(evidence(scan))) == ["clock-skew", "attestation-missing"]


FRESH_DATA = Vulnerabilities(none_at_or_above=Severity.MEDIUM, max_age=DAY, max_data_age=Duration.parse("2d"))


def test_the_database_may_be_as_old_as_the_limit_and_no_older() -> None:
    just = evidence(report("grype", grype(data_date=NOW - 48 * HOUR)))
    over = evidence(report("grype", grype(data_date=NOW - 48 * HOUR - SECOND)))
    assert FRESH_DATA.judge(just).outcome is Outcome.PASSED
    assert codes(FRESH_DATA.judge(over)) == ["evidence-too-old"]


def test_where_the_age_of_the_database_matters_its_date_is_mandatory() -> None:
    for scan in (report("trivy", trivy()), report("grype", grype(data_date=None))):
        verdict = FRESH_DATA.judge(evidence(scan))
        assert only(verdict).code == "evidence-too-old"
        assert "does not say" in only(verdict).message


def test_the_date_of_the_newest_database_is_named() -> None:
    scans = (
        report("grype", grype(data_date=NOW - 5 * HOUR)),
        report("trivy", trivy(data_date=NOW - 3 * HOUR)),
    )
    assert GATE.judge(evidence(*scans)).newest_data == NOW - 3 * HOUR
    assert GATE.judge(evidence(report("trivy", trivy()))).newest_data is None


# several reports


def test_the_newest_scan_by_a_tool_counts() -> None:
    old = report("trivy", trivy(flaw("CVE-1")), stage="build", finished_at=NOW - 3 * HOUR)
    new = report("trivy", trivy(), stage="test", finished_at=NOW - HOUR)
    verdict = GATE.judge(evidence(old, new))
    assert (verdict.outcome, verdict.evidence) == (Outcome.PASSED, (new.record, new.digest))
    withdrawn = report("trivy", trivy(), stage="build", finished_at=NOW - 3 * HOUR)
    found = report("trivy", trivy(flaw("CVE-1")), stage="test", finished_at=NOW - HOUR)
    assert GATE.judge(evidence(withdrawn, found)).outcome is Outcome.BLOCKED


def test_a_scan_is_not_newer_because_its_report_was_recorded_later() -> None:
    old = report("trivy", trivy(scanned_at=NOW - 5 * HOUR), stage="test", finished_at=NOW - HOUR)
    new = report("trivy", trivy(flaw("CVE-1"), scanned_at=NOW - 3 * HOUR), stage="build", finished_at=NOW - 2 * HOUR)
    assert GATE.judge(evidence(old, new)).outcome is Outcome.BLOCKED


@pytest.mark.parametrize("step", ["scan", "scan-libraries"])
def test_scans_of_parts_in_one_stage_count_together(step: str) -> None:
    system = report("trivy", trivy(flaw("CVE-1"), scanned_at=NOW - 2 * HOUR))
    libraries = report("trivy", trivy(scanned_at=NOW - HOUR), step=step)
    assert GATE.judge(evidence(system, libraries)).outcome is Outcome.BLOCKED


def test_a_finding_of_any_tool_blocks() -> None:
    earlier = report("grype", grype(match("CVE-1")), stage="build", finished_at=NOW - 3 * HOUR)
    scans = (report("trivy", trivy()), earlier)
    assert codes(GATE.judge(evidence(*scans))) == ["vulnerability-found"]


def test_the_newest_scan_of_every_tool_must_be_recent() -> None:
    scans = (report("trivy", trivy()), report("grype", grype(), finished_at=NOW - 25 * HOUR, step="second"))
    assert codes(GATE.judge(evidence(*scans))) == ["evidence-too-old"]


def test_tools_that_name_one_vulnerability_differently_give_one_reason_with_the_worst_severity() -> None:
    scans = (
        report("trivy", trivy(flaw("CVE-1", "LOW"), flaw("CVE-2", "LOW"))),
        report("grype", grype(match("GHSA-1", "Critical", also=["CVE-1"], fixed_in=["3.1"]))),
    )
    verdict = GATE.judge(evidence(*scans))
    assert only(verdict).message == "critical CVE-1 in libssl3 3.0.15, fixed in 3.1 (also GHSA-1), on linux/amd64"
    assert dict(verdict.counts)["critical"] == 1
    assert dict(verdict.counts)["low"] == 1


def test_a_chain_of_names_is_one_vulnerability() -> None:
    content = grype(match("GHSA-1", also=["CVE-1"]), match("GHSA-2", also=["CVE-1"]), match("GO-1", also=["GHSA-2"]))
    assert "CVE-1" in only(GATE.judge(evidence(report("grype", content)))).message


def test_one_vulnerability_in_two_packages_or_versions_is_two_findings() -> None:
    flaws = (flaw("CVE-1"), flaw("CVE-1", package="libcrypto3"), flaw("CVE-1", version="1.1"))
    assert len(GATE.judge(evidence(report("trivy", trivy(*flaws)))).reasons) == 3


def test_an_advisory_over_two_cves_does_not_make_them_one() -> None:
    scans = (
        report("trivy", trivy(flaw("CVE-1"), flaw("CVE-2"))),
        report("grype", grype(match("RHSA-1", also=["CVE-1", "CVE-2"]))),
    )
    assert len(GATE.judge(evidence(*scans)).reasons) == 3


# unreadable


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"garbage", "evidence-malformed"),
        (b"", "evidence-empty"),
        (b"{}", "evidence-empty"),
        (b"[]", "evidence-malformed"),
    ],
)
@pytest.mark.parametrize("kind", ["trivy", "grype"])
def test_an_unreadable_report_is_a_no_even_beside_a_good_one(kind: str, content: bytes, code: str) -> None:
    bad, good = report(kind, content, step="second"), report("trivy", trivy())
    verdict = GATE.judge(evidence(bad, good))
    assert (verdict.outcome, codes(verdict)) == (Outcome.NOT_CHECKED, [code])
    assert only(verdict).where == f"gate vulnerabilities, test second, {kind} report {bad.digest}"
    assert verdict.evidence == (good.record, good.digest)


def test_ten_thousand_findings_with_names_in_common_are_one_and_without_are_ten_thousand() -> None:
    chained = [match(f"GHSA-{number}", also=["CVE-1"]) for number in range(10_000)]
    assert len(judged(*chained).reasons) == 1
    linked = [match(f"GHSA-{number}", also=[f"GHSA-{number + 1}"]) for number in range(10_000)]
    assert len(judged(*linked).reasons) == 1
    apart = [match(f"CVE-{number}") for number in range(10_000)]
    assert len(judged(*apart).reasons) == 10_000


def judged(*matches: dict[str, object]) -> Verdict:
    seen: Evidence = evidence(report("grype", grype(*matches)))
    return GATE.judge(seen)


# what others have attested

VULNS = "https://in-toto.io/attestation/vulns/v0.2"


def scanned(at: datetime, *ids: str) -> dict[str, Any]:
    """A vulnerability predicate of a scan that ended then."""
    result = [{"id": one, "severity": [{"method": "nvd", "score": "7.5"}]} for one in ids]
    scanner = {"uri": "pkg:github/example/scanner", "version": "1", "db": {}, "result": result}
    return {"scanner": scanner, "metadata": {"scanStartedOn": at.isoformat(), "scanFinishedOn": at.isoformat()}}


def test_of_the_attested_scans_of_one_tool_the_newest_counts_alone() -> None:
    old = attested(VULNS, scanned(NOW - 30 * HOUR, "CVE-2026-1"), signer="scanner", proved_time=NOW - 30 * HOUR)
    new = attested(VULNS, scanned(NOW - HOUR), signer="scanner", proved_time=NOW - HOUR)
    assert codes(GATE.judge(evidence(statements=(old,)))) == ["evidence-too-old", "vulnerability-found"]
    for statements in ((old, new), (new, old)):
        assert codes(GATE.judge(evidence(statements=statements))) == []


def test_an_attested_scan_by_somebody_else_does_not_count() -> None:
    foreign = attested(VULNS, scanned(NOW - HOUR), signer="ci")
    assert codes(GATE.judge(evidence(statements=(foreign,)))) == ["attestation-missing"]
