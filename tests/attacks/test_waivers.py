"""What may stand for a while stands by a signed waiver, is on record, and stands no longer than that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from attestations.records.waivers import Scope, Waiver, WaiverKind
from pipeline import waive
from pipeline.audit import Standing
from registries.digest import Digest
from registries.errors import Refusal
from tests.evidence import grype, junit, match
from tests.world import DEFINITION, World

CVE = "CVE-2026-1"


@pytest.fixture
def world() -> World:
    """A shop in whose scan there is one finding; its security office may waive it."""
    text = DEFINITION.replace("stages:\n", "  security: {key: keys/security.pub}\nstages:\n", 1)
    made = World()
    made.signer("security")
    made.definition_text = text.replace(
        "by: [scanner]}\n    steps", "by: [scanner], waivers-by: [security]}\n    steps"
    )
    made.sign_definition()
    return made


def codes(action: Callable[[], object]) -> list[str]:
    with pytest.raises(Refusal) as error:
        action()
    return [reason.code for reason in error.value.reasons]


def scanned(world: World) -> Digest:
    """In build, with a scan that found something."""
    made = world.built()
    world.enter()
    world.step("build", "unit", "1.0", by="ci-build", reports=[("junit", junit(passed=3))])
    reports = [("grype", grype(match(CVE), about=(it.manifest,), scanned_at=world.now)) for it in made.platforms]
    world.step("build", "scan", "1.0", by="scanner", reports=reports)
    return made.digest


def give(world: World, *, by: str = "security", days: int = 30) -> Waiver:
    waiver = Waiver(
        id="W-1",
        gate="vulnerabilities",
        kind=WaiverKind.ALTERNATIVE_SOLUTION,
        findings=(CVE,),
        scope=Scope(package="libssl3"),
        owner="shop",
        reason="no untrusted input",
        evidence=("https://wiki.example/1",),
        expires=world.now + timedelta(days=days),
    )
    world.waivers = [waive.sign(world.pipeline, (waiver,), world.signer(by), now=world.now)]
    return waiver


def test_t106_a_waiver_is_on_record_and_travels_with_the_image(world: World) -> None:
    image = scanned(world)
    assert codes(lambda: world.promote("1.0", "test")) == ["vulnerability-found"]
    waiver = give(world)
    world.promote("1.0", "test")
    gates = {gate.gate: gate for gate in world.verify("1.0", "test").link.admission.gates}
    (used,) = gates["vulnerabilities"].waivers
    assert (used.id, used.record, used.expires) == ("W-1", world.waivers[0].record, waiver.expires)
    place = world.place("test")
    kept = [
        layer.digest
        for entry in place.registry.referrers(place.repository, image)
        for layer in place.registry.manifest(place.repository, entry.digest).layers
    ]
    assert used.record in kept


def test_t106_a_waiver_that_has_ended_stops_applying_also_under_what_is_deployed(world: World) -> None:
    scanned(world)
    give(world, days=30)
    world.promote("1.0", "test")
    world.pass_time(days=31)
    story = world.audit("1.0").stages[1]
    assert (story.standing, [fault.code for fault in story.faults]) == (Standing.ADMITTED, ["waiver-expired"])


def test_t106_an_image_goes_no_further_by_a_waiver_that_has_ended_until_it_is_given_again(world: World) -> None:
    scanned(world)
    give(world, days=30)
    world.promote("1.0", "test")
    world.step("test", "integration", "1.0", by="ci-promote", exit_code=0)
    world.pass_time(days=31)
    assert codes(lambda: world.promote("1.0", "prod")) == ["waiver-expired"]
    give(world, days=30)
    world.promote("1.0", "prod")


@pytest.mark.parametrize("by", ["ci-promote", "scanner", "owner"])
def test_t106_a_waiver_by_anybody_else_does_not_count(world: World, by: str) -> None:
    scanned(world)
    give(world, by=by)
    assert codes(lambda: world.promote("1.0", "test")) == ["vulnerability-found"]


def test_t106_a_waiver_whose_words_were_changed_does_not_count(world: World) -> None:
    scanned(world)
    give(world)
    (bundle,) = world.waivers
    changed = replace(bundle.envelope, payload=bundle.envelope.payload.replace(b"libssl3", b"libssl4"))
    world.waivers = [type(bundle).signed(changed, bundle.material.hint or "")]
    assert codes(lambda: world.promote("1.0", "test")) == ["vulnerability-found"]


def test_nobody_gives_a_waiver_that_would_not_count(world: World) -> None:
    pipeline = world.pipeline
    assert waive.check_owner(pipeline, "vulnerabilities", world.signer("security")) == "security"
    assert codes(lambda: waive.check_owner(pipeline, "vulnerabilities", world.signer("scanner"))) == [
        "signer-not-for-stage"
    ]
    assert codes(lambda: waive.check_owner(pipeline, "tests", world.signer("security"))) == ["waiver-invalid"]
