"""Expressions over the evidence: a plain yes lets an image in, and nothing else does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from attestations.records.admission import PipelineReference
from registries.digest import Digest
from registries.errors import UsageError
from stages.evidence import Asked, Evidence
from stages.expression import VIEW, Expression, view_of
from stages.gate import Outcome, Verdict
from stages.gates.cel import Cel
from tests.evidence import AMD64, ARM64, SUBJECT, attested, evidence, grype, junit, report

PAGE = Path(__file__).parents[3] / "docs/reference/expressions.md"
PIPELINE = PipelineReference(name="shop", definition=Digest.of(b"definition"), version=7)


def shown() -> Evidence:
    made = evidence(
        report("grype", grype()),
        report("junit", junit(3), step="unit"),
        platforms=(AMD64, ARM64),
        statements=(attested("https://example.com/review/v1", {"score": 4}),),
    )
    return replace(made, asked=Asked(stage="prod", pipeline=PIPELINE))


def judged(*texts: str) -> Verdict:
    rules: Mapping[str, Expression] = {f"rule-{n}": Expression.parse(text) for n, text in enumerate(texts)}
    return Cel(rules=rules).judge(shown())


@pytest.mark.parametrize(
    "text",
    [
        "true",
        f'image == "{SUBJECT}" && stage == "prod" && pipeline == "shop" && version == 7',
        'platforms.all(p, p.name.startsWith("linux/")) && size(platforms) == 2',
        'chain[0].stage == "build" && chain.exists(l, l.stage == "test" && l.kind == "promotion")',
        'now - timestamp(chain[0].decidedAt) < duration("48h")',
        'steps.exists(s, s.step == "unit")',
        'reports.exists(r, r.format == "grype" && size(r.content.matches) == 0 && r.signer == "scanner")',
        'reports.exists(r, r.format == "junit" && r.content == null)',
        'statements.exists(s, s.type == "https://example.com/review/v1" && s.predicate.score >= 4)',
    ],
)
def test_a_plain_yes_passes(text: str) -> None:
    verdict = judged(text)
    assert (verdict.outcome, verdict.reasons, verdict.counts) == (Outcome.PASSED, (), (("rules", 1),))


@pytest.mark.parametrize(
    ("text", "outcome", "code"),
    [
        ("false", Outcome.BLOCKED, "rule-broken"),
        ('statements.exists(s, s.type == "nothing")', Outcome.BLOCKED, "rule-broken"),
        ("1 / 0 == 1", Outcome.NOT_CHECKED, "gate-error"),
        ("chain[9].stage == stage", Outcome.NOT_CHECKED, "gate-error"),
        ("statements[0].predicate.nothing == 1", Outcome.NOT_CHECKED, "gate-error"),
        ("statements[0].predicate.score", Outcome.NOT_CHECKED, ""),
        ('timestamp("some day") < now', Outcome.NOT_CHECKED, "gate-error"),
    ],
)
def test_anything_else_does_not(text: str, outcome: Outcome, code: str) -> None:
    if not code:
        with pytest.raises(UsageError):
            judged(text)
        return
    verdict = judged("true", text)
    assert (verdict.outcome, [reason.code for reason in verdict.reasons]) == (outcome, [code])
    assert verdict.reasons[0].where == "gate cel, rule rule-1"


def test_every_rule_is_asked() -> None:
    verdict = judged("false", "1 / 0 == 1", "true", "false")
    assert [reason.code for reason in verdict.reasons] == ["gate-error", "rule-broken", "rule-broken"]
    assert verdict.outcome is Outcome.BLOCKED


def test_an_expression_that_would_never_end_gives_no_answer() -> None:
    deep = "platforms.all(a, " * 16 + "true" + ")" * 16
    many = replace(shown(), platforms=tuple(replace(AMD64, name=f"p{number}") for number in range(100)))
    verdict = Cel(rules={"deep": Expression.parse(deep)}).judge(many)
    assert [reason.code for reason in verdict.reasons] == ["gate-error"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("imag == stage", "undeclared reference to 'imag'"),
        ("image == 7", "no matching overload"),
        ("version", "no question of yes or no"),
        ("true &&", "column"),
        ("", ""),
        ("true " * 1000, "characters"),
    ],
)
def test_what_can_not_be_asked_is_refused_when_the_definition_is_read(text: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        Expression.parse(text)
    assert error.value.code == "definition-invalid"
    assert says in str(error.value)


def test_no_rule_at_all_is_refused() -> None:
    with pytest.raises(UsageError):
        Cel(rules={})


def test_the_page_says_what_an_expression_may_name() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE))
    assert rows == VIEW
    assert set(view_of(shown())) == set(VIEW)
    json.dumps({name: value for name, value in view_of(shown()).items() if name != "now"})


def test_the_order_of_evidence_never_matters() -> None:
    made = shown()
    turned = replace(made, reports=made.reports[::-1], statements=made.statements[::-1])
    assert view_of(made) == view_of(turned)
