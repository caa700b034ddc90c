"""Gates that look at the chain's own times: `soak` and `freshness`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from attestations.chain import Chain
from registries.errors import UsageError
from stages.duration import Duration
from stages.evidence import Evidence
from stages.gate import Outcome
from stages.gates.freshness import Freshness
from stages.gates.soak import Soak
from tests.evidence import NOW, evidence

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def chain_of(shown: Evidence, *ages: timedelta, proved: datetime | None = None) -> Evidence:
    """The same chain, its admissions made so long ago; `proved` is when the last one is proven to have been signed."""
    links = []
    for number, (link, age) in enumerate(zip(shown.chain.links, ages, strict=True), start=1):
        last = number == len(ages)
        verified = replace(link.verified, proved_time=proved if last else None)
        links.append(replace(link, verified=verified, admission=replace(link.admission, decided_at=NOW - age)))
    return replace(shown, chain=Chain(subject=shown.subject, links=tuple(links)))


@pytest.mark.parametrize(
    ("age", "proved", "outcome"),
    [
        (DAY, None, Outcome.PASSED),
        (DAY - SECOND, None, Outcome.WAITING),
        (30 * DAY, NOW - DAY, Outcome.PASSED),
        (30 * DAY, NOW - DAY + SECOND, Outcome.WAITING),
        (SECOND, NOW - 30 * DAY, Outcome.WAITING),
    ],
)
def test_a_soak_counts_from_the_latest_admission_and_a_proved_time_only_makes_it_later(
    age: timedelta, proved: datetime | None, outcome: Outcome
) -> None:
    verdict = Soak(time=Duration.parse("24h")).judge(chain_of(evidence(), 60 * DAY, age, proved=proved))
    assert verdict.outcome is outcome
    assert [reason.code for reason in verdict.reasons] == ([] if outcome is Outcome.PASSED else ["soak-too-short"])


def test_a_soak_in_a_named_stage_counts_from_the_admission_there() -> None:
    shown = chain_of(evidence(), 2 * DAY, SECOND)
    assert Soak(time=Duration.parse("24h"), in_="build").judge(shown).outcome is Outcome.PASSED
    assert Soak(time=Duration.parse("24h"), in_="test").judge(shown).outcome is Outcome.WAITING
    missing = Soak(time=Duration.parse("24h"), in_="elsewhere").judge(shown)
    assert (missing.outcome, [reason.code for reason in missing.reasons]) == (
        Outcome.NOT_CHECKED,
        ["attestation-missing"],
    )


def test_without_a_stage_before_nothing_soaks_and_nothing_is_fresh() -> None:
    nowhere = replace(evidence(), chain=Chain(subject=evidence().subject, links=()))
    for gate in (Soak(time=Duration.parse("1h")), Freshness(max_age=Duration.parse("1h"))):
        verdict = gate.judge(nowhere)
        assert (verdict.outcome, [reason.code for reason in verdict.reasons]) == (
            Outcome.NOT_CHECKED,
            ["attestation-missing"],
        )


@pytest.mark.parametrize(
    ("ages", "blocked"),
    [
        ((7 * DAY, SECOND), False),
        ((7 * DAY + SECOND, SECOND), True),
    ],
)
def test_an_image_is_as_old_as_its_entry(ages: tuple[timedelta, timedelta], *, blocked: bool) -> None:
    verdict = Freshness(max_age=Duration.parse("7d")).judge(chain_of(evidence(), *ages))
    assert [reason.code for reason in verdict.reasons] == (["attestation-too-old"] if blocked else [])
    assert verdict.outcome is (Outcome.BLOCKED if blocked else Outcome.PASSED)


def test_t090_each_record_of_the_chain_may_be_too_old() -> None:
    shown = chain_of(evidence(), 2 * DAY, 9 * DAY)
    verdict = Freshness(max_record_age=Duration.parse("7d")).judge(shown)
    assert [(reason.code, "test" in reason.message) for reason in verdict.reasons] == [("attestation-too-old", True)]


def test_t090_a_proved_time_makes_a_record_older_and_never_younger() -> None:
    gate = Freshness(max_record_age=Duration.parse("7d"))
    assert gate.judge(chain_of(evidence(), DAY, DAY, proved=NOW - 8 * DAY)).outcome is Outcome.BLOCKED
    assert gate.judge(chain_of(evidence(), DAY, 8 * DAY, proved=NOW)).outcome is Outcome.BLOCKED


def test_freshness_without_an_age_is_refused() -> None:
    with pytest.raises(UsageError):
        Freshness()
