from __future__ import annotations

import json
from typing import Any

import pytest

from registries.errors import ContentError
from stages.finding import Severity
from stages.report import Alert, Analysis
from stages.reports import sarif
from stages.source import Repository, Source
from tests.evidence import AMD64, STRANGER

COMMIT = "a1" * 20


def run(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    rules = more.pop("rules", [{"id": "R1"}])
    driver = {"name": "Finder", "version": "1.0", "rules": rules, **more.pop("driver", {})}
    tool = {"driver": driver, **more.pop("tool", {})}
    return {"tool": tool, "invocations": [{"executionSuccessful": True}], "results": list(results), **more}


def result(rule: str = "R1", **more: Any) -> dict[str, Any]:
    return {"ruleId": rule, "message": {"text": "bad"}, **more}


def read(*runs: Any, **more: Any) -> tuple[Analysis, ...]:
    return sarif.read(json.dumps({"version": "2.1.0", "runs": list(runs), **more}).encode()).runs


def refusal(*runs: Any, **more: Any) -> str:
    with pytest.raises(ContentError) as error:
        read(*runs, **more)
    return error.value.code


def alerts(*results: dict[str, Any], **more: Any) -> tuple[Alert, ...]:
    (found,) = read(run(*results, **more))
    return found.alerts


def severity(given: dict[str, Any], **more: Any) -> Severity:
    (alert,) = alerts(given, **more)
    return alert.severity


def test_an_alert_has_rule_place_and_words() -> None:
    where = {"physicalLocation": {"artifactLocation": {"uri": "shop.py"}, "region": {"startLine": 6}}}
    (alert,) = alerts(result(locations=[where], level="error"))
    assert str(alert) == "high R1 at shop.py:6: bad"
    assert alerts(result(locations=[{}]))[0].place == ""


@pytest.mark.parametrize(
    ("level", "expected"),
    [("error", Severity.HIGH), ("warning", Severity.MEDIUM), ("note", Severity.LOW), ("none", Severity.NEGLIGIBLE)],
)
def test_a_level_is_a_severity(level: str, expected: Severity) -> None:
    assert severity(result(level=level)) is expected
    assert severity(result(), rules=[{"id": "R1", "defaultConfiguration": {"level": level}}]) is expected


def test_a_level_that_nobody_knows_is_unknown_and_without_any_it_is_a_warning() -> None:
    assert severity(result(level="harmless")) is Severity.UNKNOWN
    assert severity(result()) is Severity.MEDIUM
    assert severity(result("nobody knows this rule")) is Severity.MEDIUM


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("10.0", Severity.CRITICAL),
        ("9.0", Severity.CRITICAL),
        ("8.9", Severity.HIGH),
        ("7", Severity.HIGH),
        (6.9, Severity.MEDIUM),
        (4, Severity.MEDIUM),
        ("3.9", Severity.LOW),
        ("0.0", Severity.NEGLIGIBLE),
        ("10.1", Severity.UNKNOWN),
        ("-1", Severity.UNKNOWN),
        ("low", Severity.UNKNOWN),
        (None, Severity.UNKNOWN),
        (True, Severity.UNKNOWN),
        ([], Severity.UNKNOWN),
        ("٩", Severity.UNKNOWN),
    ],
)
def test_a_security_severity_goes_before_a_level(score: Any, expected: Severity) -> None:
    rules = [{"id": "R1", "properties": {"security-severity": score}}]
    assert severity(result(level="none"), rules=rules) is expected
    assert severity(result(level="none", properties={"security-severity": score})) is expected


def test_the_worst_score_counts() -> None:
    rules = [{"id": "R1", "properties": {"security-severity": "2.0"}}]
    assert severity(result(properties={"security-severity": "9.5"}), rules=rules) is Severity.CRITICAL
    rules[0]["properties"] = {"security-severity": "9.5"}
    assert severity(result(properties={"security-severity": "2.0"}), rules=rules) is Severity.CRITICAL


def test_a_rule_is_found_by_its_id_its_place_or_in_an_extension() -> None:
    bad = {"properties": {"security-severity": "9.1"}}
    rules = [{"id": "R1"}, {"id": "R2", **bad}]
    assert severity({"ruleIndex": 1}, rules=rules) is Severity.CRITICAL
    assert severity({"rule": {"index": 1}}, rules=rules) is Severity.CRITICAL
    assert severity({"rule": {"id": "R2"}}, rules=rules) is Severity.CRITICAL
    assert severity(result("R2/sub"), rules=rules) is Severity.CRITICAL
    assert severity(result("R22"), rules=rules) is Severity.MEDIUM
    for place in (-1, 2, 10**6, True, "1"):
        assert severity({"ruleIndex": place}, rules=rules) is Severity.MEDIUM
    tool = {"extensions": [{"name": "more", "rules": [{"id": "E1", **bad}]}]}
    assert severity({"rule": {"index": 0, "toolComponent": {"index": 0}}}, tool=tool) is Severity.CRITICAL
    assert severity(result("E1"), tool=tool) is Severity.CRITICAL


def test_where_id_and_place_disagree_the_worse_rule_counts() -> None:
    rules = [
        {"id": "R1", "defaultConfiguration": {"level": "none"}},
        {"id": "R2", "defaultConfiguration": {"level": "error"}},
    ]
    assert severity(result("R1", ruleIndex=1), rules=rules) is Severity.HIGH
    assert severity(result("R2", ruleIndex=0), rules=rules) is Severity.HIGH


def test_an_override_makes_a_rule_worse_and_never_better() -> None:
    def overridden(level: str, **descriptor: Any) -> list[dict[str, Any]]:
        override = {"descriptor": descriptor, "configuration": {"level": level}}
        return [{"executionSuccessful": True, "ruleConfigurationOverrides": [override]}]

    assert severity(result(), invocations=overridden("error", id="R1")) is Severity.HIGH
    assert severity(result(), invocations=overridden("error", index=0)) is Severity.HIGH
    assert severity(result(), invocations=overridden("error", id="R2")) is Severity.MEDIUM
    assert severity(result(), invocations=overridden("none", id="R1")) is Severity.MEDIUM


def test_what_passed_or_is_gone_is_no_alert_and_what_was_not_decided_is_unknown() -> None:
    for good in ("pass", "notApplicable", "informational"):
        assert alerts(result(kind=good, level="error")) == ()
    assert alerts(result(baselineState="absent")) == ()
    for state in ("new", "unchanged", "updated", "whatever"):
        assert len(alerts(result(baselineState=state))) == 1
    for undecided in ("open", "review", "whatever"):
        assert severity(result(kind=undecided, level="none")) is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("suppressions", "expected"),
    [
        ([{"kind": "inSource"}], True),
        ([{"kind": "external", "status": "accepted"}], True),
        ([{"kind": "external", "status": "underReview"}], False),
        ([{"kind": "inSource"}, {"kind": "external", "status": "rejected"}], False),
        ([], False),
        (None, False),
    ],
)
def test_a_suppression_counts_as_one_unless_somebody_objects(suppressions: Any, *, expected: bool) -> None:
    assert alerts(result(suppressions=suppressions))[0].suppressed is expected


def test_a_run_that_shows_nothing_is_refused() -> None:
    failed = {"executionSuccessful": False}
    crashed = {
        "executionSuccessful": True,
        "toolExecutionNotifications": [{"level": "error", "message": {"text": "oops"}}],
    }
    assert refusal() == "evidence-empty"
    assert refusal(run(), run(results=None)) == "evidence-empty"
    assert refusal(run(invocations=[failed])) == "evidence-empty"
    assert refusal(run(invocations=[{"executionSuccessful": True}, failed])) == "evidence-empty"
    assert refusal(run(invocations=[{}])) == "evidence-empty"
    assert refusal(run(invocations=[{"executionSuccessful": "true"}])) == "evidence-empty"
    assert refusal(run(invocations=[crashed])) == "evidence-empty"
    assert refusal(run(rules=[], invocations=[])) == "evidence-empty"
    assert refusal(run(driver={"name": ""})) == "evidence-empty"
    assert refusal(run(driver={"version": ""})) == "evidence-empty"


def test_a_clean_run_says_that_it_ran_or_what_it_looked_for() -> None:
    assert read(run(rules=[]))[0].alerts == ()
    assert read(run(invocations=[]))[0].alerts == ()
    warned = {"executionSuccessful": True, "toolExecutionNotifications": [{"level": "warning"}]}
    assert read(run(invocations=[warned]))[0].tool == "Finder"
    assert read(run(driver={"version": None, "semanticVersion": "2.0"}))[0].tool_version == "2.0"


def test_another_version_or_a_report_in_parts_is_refused() -> None:
    assert refusal(run(), version="2.0.0") == "evidence-malformed"
    assert refusal(run(), inlineExternalProperties=[{"results": [result()]}]) == "evidence-malformed"
    elsewhere = {"results": [{"location": {"uri": "more.sarif-external-properties"}}]}
    assert refusal(run(externalPropertyFileReferences=elsewhere)) == "evidence-malformed"


def test_it_says_what_it_was_made_of_and_when() -> None:
    provenance = [
        {"repositoryUri": "https://github.com/acme/shop.git", "revisionId": COMMIT, "branch": "main"},
        {"repositoryUri": "file:///x"},
    ]
    ends = [{"executionSuccessful": True, "endTimeUtc": f"2026-11-25T08:0{minute}:00Z"} for minute in (2, 1)]
    properties = {"imageID": str(AMD64.config), "repoDigests": [f"shop/api@{STRANGER}", 3, "shop/api"]}
    (found,) = read(run(versionControlProvenance=provenance, invocations=ends, properties=properties))
    assert found.sources == (Source(repository=Repository("github.com/acme/shop"), ref="main", commit=COMMIT),)
    assert found.about == (AMD64.config, STRANGER)
    assert str(found.ended_at) == "2026-11-25 08:02:00+00:00"
