"""A step that others attest: the record that the next admission names, on the way through all stages."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from attestations import store
from attestations.bundle import Bundle
from attestations.statement import Statement
from registries.digest import Digest
from registries.errors import Refusal, UsageError
from tests.images import Image
from tests.world import World

REVIEW = "https://example.com/review/v1"
UNIT = "- {name: unit, by: [ci-build], evidence: junit}"


@pytest.fixture
def world() -> World:
    world = World()
    world.change_definition(UNIT, f'{UNIT}\n      - {{name: review, by: [scanner], attested: "{REVIEW}"}}')
    return world


def review(world: World, about: Digest, *, by: str = "scanner", predicate_type: str = REVIEW, **said: Any) -> Bundle:
    return world.signer(by).sign(Statement.about(about, predicate_type=predicate_type, predicate={"ok": True, **said}))


def attach(world: World, image: Image, *bundles: Bundle) -> None:
    store.attach(world.place("build"), image.manifest.descriptor, bundles, created=world.now)


def refused(world: World, stage: str = "test") -> list[str]:
    with pytest.raises(Refusal) as error:
        world.promote("1.0", stage)
    return [reason.code for reason in error.value.reasons]


def test_it_carries_the_image_on_and_is_named(world: World) -> None:
    image = world.in_build()
    bundle = review(world, image.digest)
    attach(world, image, bundle)
    world.promote("1.0", "test")
    world.step("test", "integration", "1.0", by="ci-promote", exit_code=0)
    world.promote("1.0", "prod")

    links = {link.stage: link for link in world.verify("1.0", "prod").chain.links}
    assert {step.name: step.record for step in links["test"].admission.predecessors[0].steps}["review"] == bundle.record
    assert [step.name for step in world.audit("1.0").stages[0].steps] == ["unit", "review", "scan"]


def test_t093_another_one_after_the_admission_takes_its_place_nowhere(world: World) -> None:
    image = world.in_build()
    first, later = review(world, image.digest), review(world, image.digest, again=True)
    attach(world, image, first)
    record = world.promote("1.0", "test").record
    attach(world, image, later)
    assert world.promote("1.0", "test").record == record
    links = {link.stage: link for link in world.verify("1.0", "test").chain.links}
    assert [proof.verified.record for proof in links["build"].steps if proof.name == "review"] == [first.record]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_does_not_count_hides_nothing_in_any_order(world: World, order: tuple[int, ...]) -> None:
    image = world.in_build()
    wrong = [
        review(world, image.digest, by="ci-build"),
        review(world, image.digest, predicate_type=f"{REVIEW}0"),
        review(world, image.digest, by="nobody-known"),
    ]
    attach(world, image, *(wrong[number] for number in order))
    assert refused(world) == ["signer-not-for-stage"]
    bundle = review(world, image.digest)
    attach(world, image, bundle)
    assert world.promote("1.0", "test").plan.chain.links[0].steps[1].verified.record == bundle.record


def test_one_about_a_platform_is_not_about_the_image(world: World) -> None:
    image = world.in_build()
    platform = image.platforms[0]
    place = world.place("build")
    attach_to = place.registry.manifest(place.repository, platform.manifest).descriptor
    store.attach(place, attach_to, (review(world, platform.manifest),), created=world.now)
    attach(world, image, review(world, platform.manifest))
    assert refused(world) == ["subject-mismatch", "step-missing"]


def test_nothing_is_recorded_for_it_here(world: World) -> None:
    world.in_build()
    with pytest.raises(UsageError) as error:
        world.step("build", "review", "1.0", by="scanner")
    assert error.value.code == "step-is-attested"


def test_a_step_record_of_its_name_does_not_count_for_it() -> None:
    world = World()
    world.change_definition(UNIT, f"{UNIT}\n      - {{name: review, by: [scanner], evidence: junit}}")
    world.in_build()
    world.step(
        "build", "review", "1.0", by="scanner", reports=[("junit", b'<testsuite><testcase name="a"/></testsuite>')]
    )
    world.change_definition("evidence: junit}\n      - {name: scan", f'attested: "{REVIEW}"}}\n      - {{name: scan')
    assert refused(world) == ["step-missing"]
