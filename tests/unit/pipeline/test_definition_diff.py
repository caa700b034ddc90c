"""Every kind of change of a definition is told, and what lets in more than before is told as that."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from pipeline.decode import decode
from pipeline.definition_diff import Effect, differences
from pipeline.schema import DefinitionFile, GateEntry, StageEntry, StepEntry
from pipeline.yaml_nodes import parse
from stages.gates import GATES

STAGE = {"name", "after", "registry", "admit", "gates", "steps", "break_glass", "tags"}
STEP = {
    "name",
    "by",
    "run",
    "evidence",
    "env",
    "timeout",
    "produces",
    "exit_codes",
    "in_image",
    "attested",
    "on",
    "builders",
}
"""When a key comes, think of what it lets in; until then a change of it loosens."""

TEXT = """\
samebits: 1
pipeline: shop
version: 1
image: shop/api
owners: {threshold: 2, signers: [alice, bob, carol]}
signers:
  alice: {key: keys/alice.pub, valid: {from: 2026-01-01, until: 2027-01-01}}
  bob: {key: keys/bob.pub}
  carol: {key: keys/carol.pub}
  ci: {issuer: https://issuer.example, subject: https://ci.example/build@refs/heads/main}
stages:
  - name: build
    registry: dev.example/dev
    admit: [ci]
    steps:
      - {name: unit, by: [ci], evidence: junit}
      - {name: lint, by: [ci], run: "make lint"}
  - name: test
    registry: dev.example/test
    after: [build]
    admit: [ci]
    gates:
      vulnerabilities: {none-at-or-above: medium, max-age: 24h, by: [ci]}
      tests: {min-tests: 10}
      soak: {time: 24h}
      freeze: {zone: Europe/Berlin, days: [sat, sun], except: [bob]}
      image-config: {user: numeric, labels: [team]}
  - name: prod
    registry: prod.example/prod
    after: {any-of: [test, build]}
    admit: [ci, bob]
    gates:
      approvals: {from: [alice, bob, carol], count: 2, max-age: 72h}
      sast: {on: image, max: 3, at-or-above: high, effective-on: 2027-01-01}
    break-glass: {from: [alice, bob, carol], repair-within: 24h}
"""


def read(text: str) -> DefinitionFile:
    return decode(parse(text.encode(), path="samebits.yaml"), DefinitionFile)


def told(before: str, after: str) -> list[tuple[str, str]]:
    """Effect and place of each change when this is replaced by that."""
    assert len(re.findall(re.escape(before), TEXT)) == 1, before
    return [(str(change.effect), change.where) for change in differences(read(TEXT), read(TEXT.replace(before, after)))]


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("threshold: 2", "threshold: 1", "owners.threshold"),
        ("keys/bob.pub", "keys/eve.pub", "signers.bob.key"),
        ("keys/bob.pub}", "keys/bob.pub, kms: 'awskms:///x'}", "signers.bob"),
        ("build@refs/heads/main", "build@refs/heads/x", "signers.ci.subject"),
        ("until: 2027-01-01", "until: 2028-01-01", "signers.alice.valid.until"),
        ("from: 2026-01-01", "from: 2025-01-01", "signers.alice.valid.from"),
        ("{from: 2026-01-01, until: 2027-01-01}", "{from: 2026-01-01}", "signers.alice.valid.until"),
        ("image: shop/api", "image: shop/web", "image"),
        ("registry: dev.example/test", "registry: dev.example/other", "stages.test.registry"),
        ("after: [build]", "after: {any-of: [build]}", "stages.test.after"),
        ("admit: [ci, bob]", "admit: [ci, bob, carol]", "stages.prod.admit"),
        ("      soak: {time: 24h}\n", "", "stages.test.gates.soak"),
        ("time: 24h", "time: 1h", "stages.test.gates.soak.time"),
        ("none-at-or-above: medium", "none-at-or-above: high", "stages.test.gates.vulnerabilities.none-at-or-above"),
        ("max-age: 24h", "max-age: 2d", "stages.test.gates.vulnerabilities.max-age"),
        (", by: [ci]}\n      tests", "}\n      tests", "stages.test.gates.vulnerabilities.by"),
        ("24h, by: [ci]", "24h, by: [ci, bob]", "stages.test.gates.vulnerabilities.by"),
        ("min-tests: 10", "min-tests: 1", "stages.test.gates.tests.min-tests"),
        ("days: [sat, sun]", "days: [sun]", "stages.test.gates.freeze.days"),
        ("zone: Europe/Berlin", "zone: UTC", "stages.test.gates.freeze.zone"),
        ("except: [bob]", "except: [bob, carol]", "stages.test.gates.freeze.except"),
        ("user: numeric", "user: any", "stages.test.gates.image-config.user"),
        ("count: 2", "count: 1", "stages.prod.gates.approvals.count"),
        ("count: 2", "count: 2, not: [builder]", "stages.prod.gates.approvals.not"),
        ("max: 3", "max: 4", "stages.prod.gates.sast.max"),
        ("effective-on: 2027-01-01", "effective-on: 2028-01-01", "stages.prod.gates.sast.effective-on"),
        (
            "tests: {min-tests: 10}",
            "tests: {min-tests: 10, effective-on: 2028-01-01}",
            "stages.test.gates.tests.effective-on",
        ),
        ('run: "make lint"', 'run: "true"', "stages.build.steps.lint.run"),
        ("evidence: junit", "evidence: sarif", "stages.build.steps.unit.evidence"),
        ('      - {name: lint, by: [ci], run: "make lint"}\n', "", "stages.build.steps.lint"),
        ("repair-within: 24h", "repair-within: 7d", "stages.prod.break-glass.repair-within"),
        ("[alice, bob, carol], repair", "[alice, bob, carol, ci], repair", "stages.prod.break-glass.from"),
    ],
)
def test_what_lets_in_more_is_told(before: str, after: str, where: str) -> None:
    assert told(before, after) == [("loosens", where)]
    (back,) = differences(read(TEXT.replace(before, after)), read(TEXT))
    assert back.where == where


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("threshold: 2", "threshold: 3", [("tightens", "owners.threshold")]),
        ("  ci: {issuer", "  eve: {key: keys/eve.pub}\n  ci: {issuer", [("neither", "signers.eve")]),
        ("until: 2027-01-01", "until: 2026-12-01", [("tightens", "signers.alice.valid.until")]),
        (
            "bob: {key: keys/bob.pub}",
            "bob: {key: keys/bob.pub, valid: {until: 2027-01-01}}",
            [("tightens", "signers.bob.valid.until")],
        ),
        ("max-age: 24h", "max-age: 1d", [("neither", "stages.test.gates.vulnerabilities.max-age")]),
        ("max-age: 24h", "max-age: 1h", [("tightens", "stages.test.gates.vulnerabilities.max-age")]),
        (
            "24h, by: [ci]",
            "24h, max-data-age: 5d, by: [ci]",
            [("tightens", "stages.test.gates.vulnerabilities.max-data-age")],
        ),
        ("labels: [team]", "labels: [other, team]", [("tightens", "stages.test.gates.image-config.labels")]),
        ("max: 3", "max: none", [("tightens", "stages.prod.gates.sast.max")]),
        (", effective-on: 2027-01-01", "", [("tightens", "stages.prod.gates.sast.effective-on")]),
        ("after: {any-of: [test, build]}", "after: {any-of: [test]}", [("tightens", "stages.prod.after")]),
        ("admit: [ci, bob]", "admit: [bob]", [("tightens", "stages.prod.admit")]),
        (
            "      soak: {time: 24h}\n",
            "      soak: {time: 24h}\n      sbom: {}\n",
            [("tightens", "stages.test.gates.sbom")],
        ),
        (
            "    break-glass: {from: [alice, bob, carol], repair-within: 24h}\n",
            "",
            [("tightens", "stages.prod.break-glass")],
        ),
        (
            'by: [ci], run: "make lint"',
            'by: [ci], run: "make lint", evidence: sarif',
            [("tightens", "stages.build.steps.lint.evidence")],
        ),
        ("version: 1", "version: 2\nprevious: sha256:" + "a" * 64, [("neither", "version")]),
    ],
)
def test_what_is_stricter_or_harmless_is_told_as_that(before: str, after: str, expected: list[tuple[str, str]]) -> None:
    assert told(before, after) == expected


def test_nothing_is_nothing_and_order_of_names_is_nothing() -> None:
    assert differences(read(TEXT), read(TEXT)) == ()
    assert told("signers: [alice, bob, carol]", "signers: [carol, bob, alice]") == []


def test_a_stage_that_comes_or_goes_loosens() -> None:
    head, prod, tail = TEXT.partition("  - name: prod\n")
    more = TEXT + (prod + tail).replace("name: prod", "name: us").replace("prod.example/prod", "prod.example/us")
    assert [(c.effect, c.where) for c in differences(read(TEXT), read(more))] == [(Effect.LOOSENS, "stages.us")]
    assert [(c.effect, c.where) for c in differences(read(TEXT), read(head))] == [(Effect.LOOSENS, "stages.prod")]


def test_what_loosens_comes_first() -> None:
    text = TEXT.replace("threshold: 2", "threshold: 3").replace("time: 24h", "time: 1h")
    assert [str(change.effect) for change in differences(read(TEXT), read(text))] == ["loosens", "tightens"]


@pytest.mark.parametrize(
    ("gate", "option"),
    [(name, field.name) for name, gate in GATES.items() for field in dataclasses.fields(gate)],  # type: ignore[arg-type]
)
def test_a_change_of_any_option_of_any_gate_is_told(gate: str, option: str) -> None:
    """Also of one that no rule knows, with values that no rule knows."""
    stage = read(TEXT).stages[1]
    old, new = (dataclasses.replace(stage, gates={gate: odd(GATES[gate], option, number)}) for number in (1, 2))
    file = read(TEXT)
    (change,) = differences(dataclasses.replace(file, stages=(old,)), dataclasses.replace(file, stages=(new,)))
    assert change.where == f"stages.test.gates.{gate}.{option.rstrip('_').replace('_', '-')}"
    assert change.effect is Effect.LOOSENS


def odd(kind: Any, option: str, number: int) -> GateEntry:
    """A gate with a value in one option that is like none that a definition could hold."""
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(made, field.name, {"odd": number} if field.name == option else ())
    return GateEntry(gate=made)


@pytest.mark.parametrize(("kind", "known"), [(StageEntry, STAGE), (StepEntry, STEP)])
def test_every_key_of_a_stage_and_of_a_step_has_a_rule(kind: type, known: set[str]) -> None:
    assert {field.name for field in dataclasses.fields(kind)} - known == set()
