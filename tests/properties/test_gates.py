from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.duration import Duration
from stages.evidence import Report
from stages.finding import Severity
from stages.gate import Outcome
from stages.gates.tests import PassingTests
from stages.gates.vulnerabilities import Vulnerabilities
from tests.evidence import (
    AMD64,
    ARM64,
    HOUR,
    NOW,
    STRANGER,
    SUBJECT,
    evidence,
    flaw,
    grype,
    junit,
    match,
    report,
    trivy,
)

DAY = Duration.parse("24h")
GATE = Vulnerabilities(none_at_or_above=Severity.MEDIUM, max_age=DAY, by=("scanner",))
TESTS = PassingTests(max_age=DAY)
BOTH = (AMD64, ARM64)

names = st.sampled_from(["CVE-1", "CVE-2", "GHSA-1", "GHSA-2", "RHSA-1"])
packages = st.sampled_from(["zlib", "libssl3"])
severities = st.sampled_from(["Unknown", "Critical", "High", "Medium", "Low", "Negligible", "Odd"])
ages = st.integers(-1, 30).map(lambda hours: NOW - hours * HOUR)
abouts = st.lists(
    st.sampled_from([AMD64.manifest, AMD64.config, ARM64.manifest, ARM64.config, SUBJECT, STRANGER]), max_size=2
)

flaws = st.builds(flaw, names, severities, packages)
matches = st.builds(match, names, severities, packages, also=st.lists(names, max_size=2))
contents = st.one_of(
    st.builds(lambda found, about: ("trivy", trivy(*found, about=about)), st.lists(flaws, max_size=3), abouts),
    st.builds(lambda found, about: ("grype", grype(*found, about=about)), st.lists(matches, max_size=3), abouts),
    st.builds(lambda *numbers: ("junit", junit(*numbers)), *[st.integers(0, 2)] * 4),
    st.sampled_from([("trivy", b"{}"), ("grype", b"["), ("junit", b"<testsuites/>"), ("sarif", b"")]),
)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    kind, content = draw(contents)
    return report(
        kind,
        content,
        signer=draw(st.sampled_from(["scanner", "scanner", "ci"])),
        stage=draw(st.sampled_from(["build", "test"])),
        step=draw(st.sampled_from(["scan", "unit"])),
        finished_at=draw(ages),
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(reports(), max_size=5), st.randoms(use_true_random=False))
def test_a_verdict_does_not_depend_on_the_order_in_which_reports_arrive(given: list[Report], random: Any) -> None:
    shuffled = random.sample(given, len(given))
    for gate in (GATE, TESTS):
        assert gate.judge(evidence(*given, platforms=BOTH)) == gate.judge(evidence(*shuffled, platforms=BOTH))


@settings(max_examples=50, deadline=None)
@given(st.lists(reports(), max_size=4), reports())
def test_a_report_by_a_stranger_or_about_another_image_never_turns_a_no_into_a_yes(
    given: list[Report], more: Report
) -> None:
    foreign = [report("trivy", trivy(about=[STRANGER])), report(more.format, more.content, signer="stranger")]
    if GATE.judge(evidence(*given)).outcome is not Outcome.PASSED:
        assert GATE.judge(evidence(*given, *foreign)).outcome is not Outcome.PASSED


@settings(max_examples=50, deadline=None)
@given(st.lists(matches, max_size=5), st.lists(flaws, max_size=5), matches)
def test_a_finding_more_never_turns_a_no_into_a_yes(
    found: list[dict[str, Any]], others: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    beside = report("trivy", trivy(*others))
    fewer = GATE.judge(evidence(report("grype", grype(*found)), beside))
    greater = GATE.judge(evidence(report("grype", grype(*found, more)), beside))
    assert fewer.outcome is Outcome.PASSED or greater.outcome is Outcome.BLOCKED


@settings(max_examples=50, deadline=None)
@given(st.lists(matches, max_size=5), st.lists(flaws, max_size=5), st.sampled_from(list(Severity)[1:]))
def test_an_image_passes_only_when_no_tool_has_a_finding_at_or_above_the_severity(
    found: list[dict[str, Any]], others: list[dict[str, Any]], threshold: Severity
) -> None:
    said = [item["vulnerability"]["severity"] for item in found] + [item["Severity"] for item in others]
    bad = any(Severity.told(word).rank >= threshold.rank for word in said)
    gate = Vulnerabilities(none_at_or_above=threshold, max_age=DAY)
    verdict = gate.judge(evidence(report("grype", grype(*found)), report("trivy", trivy(*others))))
    assert (verdict.outcome is Outcome.BLOCKED) == bad


@settings(max_examples=50, deadline=None)
@given(st.lists(matches, max_size=6))
def test_merging_findings_keeps_every_name_and_every_package(found: list[dict[str, Any]]) -> None:
    gate = Vulnerabilities(none_at_or_above=Severity.NEGLIGIBLE, max_age=DAY)
    reasons = gate.judge(evidence(report("grype", grype(*found)))).reasons
    for item in found:
        name, package = item["vulnerability"]["id"], item["artifact"]["name"]
        assert any(name in reason.message and f" in {package} " in reason.message for reason in reasons)
    assert len(reasons) <= len(found)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=4))
def test_tests_pass_only_when_some_ran_and_none_failed(runs: list[tuple[int, int, int]]) -> None:
    runs = [(passed, failed, skipped) for passed, failed, skipped in runs if passed + failed + skipped]
    given = [report("junit", junit(*run), step=f"step-{number}") for number, run in enumerate(runs)]
    verdict = TESTS.judge(evidence(*given))
    fine = sum(passed for passed, _, _ in runs) > 0 and not any(failed for _, failed, _ in runs)
    assert (verdict.outcome is Outcome.PASSED) == fine
