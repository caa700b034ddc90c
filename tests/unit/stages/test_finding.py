from __future__ import annotations

import pytest

from stages.finding import Finding, Severity


def finding(name: str, *aliases: str, fixed_in: str = "") -> Finding:
    return Finding(
        id=name, severity=Severity.HIGH, package="zlib", version="1.2", aliases=tuple(aliases), fixed_in=fixed_in
    )


def test_severities_rank_from_unknown_down_to_negligible() -> None:
    order = ["unknown", "critical", "high", "medium", "low", "negligible"]
    assert sorted(Severity, key=lambda severity: -severity.rank) == order


@pytest.mark.parametrize(("word", "severity"), [("Medium", Severity.MEDIUM), ("CRITICAL", Severity.CRITICAL)])
def test_a_severity_is_read_from_a_report_in_any_case(word: str, severity: Severity) -> None:
    assert Severity.told(word) is severity


@pytest.mark.parametrize("word", ["", "moderate", "none", "UNKNOWN", "high\n", "safe"])
def test_a_word_that_nobody_knows_is_an_unknown_severity(word: str) -> None:
    assert Severity.told(word) is Severity.UNKNOWN


def test_an_advisory_over_several_cves_is_another_name_of_none() -> None:
    assert finding("GHSA-1", "CVE-1").names == ("GHSA-1", "CVE-1")
    assert finding("RHSA-1", "CVE-1", "CVE-2").names == ("RHSA-1",)
    assert finding("CVE-1", "CVE-1").names == ("CVE-1", "CVE-1")


def test_a_finding_says_what_fixes_it() -> None:
    assert str(finding("CVE-1", fixed_in="1.3")) == "high CVE-1 in zlib 1.2, fixed in 1.3"
    assert str(finding("CVE-1")) == "high CVE-1 in zlib 1.2, no fix known"
