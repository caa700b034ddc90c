from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from attestations.records.admission import PipelineReference
from registries.errors import UsageError
from stages.evidence import Asked
from stages.gate import Outcome
from stages.gates.freeze import Dates, Freeze, Hours, Weekday, Zone
from tests.evidence import SUBJECT, evidence, identity

BERLIN = Zone.parse("Europe/Berlin")


def frozen(gate: Freeze, at: str) -> bool:
    verdict = gate.judge(evidence(now=datetime.fromisoformat(at).astimezone(UTC)))
    assert (verdict.outcome is Outcome.PASSED) == (verdict.reasons == ())
    assert {reason.code for reason in verdict.reasons} <= {"stage-frozen"}
    return verdict.outcome is Outcome.WAITING


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-12-23T23:59:59+01:00", False),
        ("2026-12-24T00:00:00+01:00", True),
        ("2027-01-01T23:59:59+01:00", True),
        ("2027-01-01T23:30:00Z", False),  # 2027-01-02 in Berlin
        ("2027-01-02T00:00:00+01:00", False),
    ],
)
def test_days_are_those_of_the_zone_and_both_ends_are_in(at: str, *, expected: bool) -> None:
    assert frozen(Freeze(zone=BERLIN, dates=(Dates.parse("2026-12-24/2027-01-01"),)), at) is expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-27T23:59:00+01:00", False),  # a Friday
        ("2026-11-28T00:00:00+01:00", True),
        ("2026-11-29T23:59:00+01:00", True),
        ("2026-11-30T00:00:00+01:00", False),
    ],
)
def test_weekdays_are_those_of_the_zone(at: str, *, expected: bool) -> None:
    assert frozen(Freeze(zone=BERLIN, days=(Weekday.SATURDAY, Weekday.SUNDAY)), at) is expected


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        ("18:00-08:00", "2026-11-25T17:59:59+01:00", False),
        ("18:00-08:00", "2026-11-25T18:00:00+01:00", True),
        ("18:00-08:00", "2026-11-26T07:59:59+01:00", True),
        ("18:00-08:00", "2026-11-26T08:00:00+01:00", False),
        ("12:00-13:00", "2026-11-26T12:30:00+01:00", True),
        ("12:00-13:00", "2026-11-26T13:00:00+01:00", False),
        ("00:00-00:00", "2026-11-26T05:00:00+01:00", True),
        ("02:00-03:00", "2026-10-25T00:30:00Z", True),  # 02:30 in summer time
        ("02:00-03:00", "2026-10-25T01:30:00Z", True),  # 02:30 once more, in winter time
        ("02:00-03:00", "2026-03-29T00:59:59Z", False),  # the hour that is left out
        ("02:00-03:00", "2026-03-29T01:00:00Z", False),
    ],
)
def test_hours_go_over_midnight_and_follow_the_clock_of_the_zone(hours: str, at: str, *, expected: bool) -> None:
    assert frozen(Freeze(zone=BERLIN, hours=(Hours.parse(hours),)), at) is expected


def test_whoever_is_excepted_may_sign_and_nobody_else() -> None:
    gate = Freeze(zone=BERLIN, hours=(Hours.parse("00:00-00:00"),), except_=("on-call",))
    asked = Asked(stage="prod", pipeline=PipelineReference(name="shop", definition=SUBJECT, version=1))
    for name, outcome in (("on-call", Outcome.PASSED), ("ci-promote", Outcome.WAITING)):
        shown = replace(evidence(), asked=replace(asked, promoter=identity(name)))
        assert gate.judge(shown).outcome is outcome
    assert gate.judge(replace(evidence(), asked=asked)).outcome is Outcome.WAITING


def test_the_end_of_a_freeze_is_told_in_the_time_of_the_zone() -> None:
    gate = Freeze(zone=BERLIN, days=(Weekday.SATURDAY, Weekday.SUNDAY), hours=(Hours.parse("18:00-08:00"),))
    (reason,) = gate.judge(evidence(now=datetime(2026, 11, 27, 20, 0, tzinfo=UTC))).reasons
    assert reason.hint.startswith("again from 2026-11-30 08:00 on")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Zone, "Berlin"),
        (Zone, "../Europe/Berlin"),
        (Zone, ""),
        (Hours, "18-8"),
        (Hours, "24:00-08:00"),
        (Dates, "2026-02-30"),
        (Dates, "2026-12-24/2026-12-23"),
        (Dates, "tomorrow"),
    ],
)
def test_what_is_no_time_is_refused(kind: type[Zone | Hours | Dates], text: str) -> None:
    with pytest.raises(UsageError) as error:
        kind.parse(text)
    assert error.value.code == "definition-invalid"


def test_a_freeze_that_never_freezes_is_refused() -> None:
    with pytest.raises(UsageError):
        Freeze(zone=BERLIN)
