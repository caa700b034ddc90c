"""Stages as a line, a diamond, with a choice, in parallel with mirrors, and five deep: only the defined moves pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain as joined
from itertools import combinations

import pytest

from attestations.chain import ExpectedStage
from attestations.errors import ChainBroken
from tests.chains import PLACES, Pieces, chain, expected

BY = "ci-promote"


def stage(name: str, *after: str, any_of: bool = False, mirror: str = "") -> ExpectedStage:
    made = expected(name, after, BY, (("check", BY),), any_of=any_of)
    return replace(made, repositories=(*made.repositories, mirror)) if mirror else made


GRAPHS: dict[str, tuple[ExpectedStage, ...]] = {
    "line": (stage("build"), stage("test", "build"), stage("prod", "test")),
    "diamond": (stage("build"), stage("eu", "build"), stage("us", "build"), stage("prod", "eu", "us")),
    "any of": (stage("build"), stage("eu", "build"), stage("us", "build"), stage("prod", "eu", "us", any_of=True)),
    "parallel": (
        stage("build", mirror="mirror.test/build"),
        stage("eu", "build", mirror="mirror.test/eu"),
        stage("us", "build", mirror="mirror.test/us"),
    ),
    "deep": (stage("a"), stage("b", "a"), stage("c", "b"), stage("d", "c"), stage("e", "d")),
}
PAIRS = [(graph, start.name, end.name) for graph, stages in GRAPHS.items() for start in stages for end in stages]


def way(stages: Sequence[ExpectedStage], to: str) -> list[str]:
    """The stage and everything before it, in the order of the definition; every branch of a choice."""
    known = {one.name: one for one in stages}
    needed, waiting = set[str](), [to]
    while waiting:
        needed.add(name := waiting.pop())
        waiting.extend(known[name].after)
    return [one.name for one in stages if one.name in needed]


def admitted(stages: Sequence[ExpectedStage], names: Sequence[str], pieces: Pieces | None = None) -> Pieces:
    """The image admitted to these stages in turn, each resting on those that the definition puts before it."""
    pieces = pieces or Pieces()
    for name in names:
        after = next(one.after for one in stages if one.name == name)
        pieces.admit(name, by=BY, rests_on=after)
        pieces.step(name, "check", by=BY)
    return pieces


def refusals(pieces: Pieces, stages: Sequence[ExpectedStage], to: str) -> list[str]:
    """The codes with which the way to this stage is refused; none where the image may go there."""
    target = next(one for one in stages if one.name == to)
    before = set(way(stages, to)) - {to}
    try:
        found = chain(
            list(pieces.bundles.values()),
            after=target.after,
            any_of=target.any_of,
            stages=[one for one in stages if one.name in before],
        )
    except ChainBroken as error:
        return [reason.code for reason in error.reasons]
    assert {link.stage for link in found.links} <= before
    return []


def rests(stages: Sequence[ExpectedStage], to: str, on: Sequence[str]) -> bool:
    target = next(one for one in stages if one.name == to)
    return any(name in on for name in target.after) if target.any_of else set(target.after) <= set(on)


@pytest.mark.parametrize(("graph", "start", "end"), PAIRS)
def test_t087_from_every_stage_the_image_goes_only_where_all_before_was_done(graph: str, start: str, end: str) -> None:
    stages = GRAPHS[graph]
    been = way(stages, start)
    found = refusals(admitted(stages, been), stages, end)
    assert bool(found) != rests(stages, end, been)
    assert set(found) <= {"stage-skipped"}


@pytest.mark.parametrize("graph", GRAPHS)
def test_t087_an_admission_counts_only_on_what_the_definition_puts_before_it(graph: str) -> None:
    """Every stage, resting on every set of stages, signed by somebody who may admit."""
    stages = GRAPHS[graph]
    names = [one.name for one in stages]
    sets = list(joined.from_iterable(combinations(names, size) for size in range(len(names) + 1)))
    base = admitted(stages, names)
    for target in stages:
        end = stage("end", target.name)
        for on in sets:
            pieces = replace(base, bundles=dict(base.bundles))
            before = tuple(base.predecessor(name) for name in on)
            near = next((name for name in target.after if name in on), None)
            source = PLACES.get(near, f"{near}.test/shop") if near else "oci:image"
            pieces.admit(target.name, by=BY, predecessors=before, source=source)
            pieces.step(target.name, "check", by=BY)
            allowed = set(on) <= set(target.after) and rests(stages, target.name, on)
            found = refusals(pieces, (*stages, end), "end")
            assert found[:1] == ([] if allowed else ["stage-skipped"]), (target.name, on)


@pytest.mark.parametrize("graph", GRAPHS)
def test_t086_every_record_on_the_way_is_needed(graph: str) -> None:
    stages = GRAPHS[graph]
    last = stages[-1].name
    end = stage("end", last)
    base = admitted(stages, way(stages, last))
    assert refusals(base, (*stages, end), "end") == []
    for name in base.bundles:
        found = refusals(base.without(name), (*stages, end), "end")
        assert found, name
        assert set(found) <= {"predecessor-missing", "step-missing", "stage-skipped"}, name


@pytest.mark.parametrize("mirror", ["build", "eu"])
def test_t096_a_mirror_of_a_stage_is_a_place_of_that_stage_alone(mirror: str) -> None:
    stages = GRAPHS["parallel"]
    pieces = admitted(stages, ["build"])
    pieces.admit("us", by=BY, rests_on=("build",), source=f"mirror.test/{mirror}", destination="mirror.test/us")
    pieces.step("us", "check", by=BY)
    found = refusals(pieces, (*stages, stage("end", "us")), "end")
    assert found == ([] if mirror == "build" else ["repository-mismatch"])


@pytest.mark.parametrize("graph", ["diamond", "any of"])
@pytest.mark.parametrize("beyond", [False, True])
def test_t088_branches_that_rest_on_different_admissions_do_not_join(graph: str, beyond: bool) -> None:  # noqa: FBT001
    stages = (*GRAPHS[graph], stage("end", "prod"))
    first = admitted(stages, ["build", "eu"])
    kept = {f"first {name}": bundle for name, bundle in first.bundles.items()}
    pieces = Pieces()
    pieces.admit("build", by=BY, source="oci:elsewhere")
    pieces.step("build", "check", by=BY)
    pieces = admitted(stages, ["us"], pieces)
    pieces.bundles |= {"eu": first.bundles["eu"], "eu/check": first.bundles["eu/check"]}
    if beyond:
        pieces.admit("prod", by=BY, rests_on=("eu", "us"))
        pieces.step("prod", "check", by=BY)
    pieces.bundles |= kept
    assert refusals(pieces, stages, "end" if beyond else "prod") == ["chain-branched"]
