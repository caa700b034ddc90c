"""A second run of the same promotion: nothing is written, little is asked, and damage is seen all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.promote import Promotion, promote
from registries.registry import Location
from registries.shelf import Shelf
from tests.faults import FaultRegistry
from tests.images import Image, image, referrer
from tests.over_http import builder, reopen, world_over
from tests.world import World


@pytest.fixture
def builders() -> Iterator[FaultRegistry]:
    with FaultRegistry() as registry:
        yield registry


@pytest.fixture(params=[True, False], ids=["with the referrers API", "with the fallback tag"])
def registry(request: pytest.FixtureRequest) -> Iterator[FaultRegistry]:
    with FaultRegistry(referrers_api=request.param, oci_subject=request.param) as registry:
        yield registry


def entered(world: World, folder: Path | None = None) -> Promotion:
    """The image of the builder's tag, admitted to `build` by a command of its own."""
    reopen(world)
    tools = replace(world.tools("ci-build"), shelf=Shelf(folder))
    found = tools.places.incoming("source.test:5000/builder/api:1.0", "build", world.pipeline)
    return promote(found, "build", pipeline=world.pipeline, tools=tools, now=world.now)


def built(world: World, made: Image) -> Image:
    """An image of one platform and one layer, at the builder's."""
    made.push(builder(world), "1.0")
    return made


def test_an_unchanged_run_writes_nothing_and_asks_eight_questions(
    builders: FaultRegistry, registry: FaultRegistry, tmp_path: Path
) -> None:
    world = world_over(source=builders, dev=registry)
    built(world, image(("linux/amd64",), layers=1))
    first = entered(world, tmp_path)
    for faults in (builders, registry):
        faults.requests.clear()
    again = entered(world, tmp_path)
    assert (again.record, again.moved.manifests, again.moved.blobs) == (first.record, 0, 0)
    assert builders.writes() == registry.writes() == []
    assert len(builders.requests) + len(registry.requests) == 8


def test_without_a_folder_the_records_are_read_and_nothing_else(
    builders: FaultRegistry, registry: FaultRegistry
) -> None:
    world = world_over(source=builders, dev=registry)
    built(world, image(("linux/amd64",), layers=1))
    entered(world)
    for faults in (builders, registry):
        faults.requests.clear()
    entered(world)
    assert len(builders.requests) + len(registry.requests) == 8 + 2 * 2  # a manifest and a bundle of each record


def test_a_blob_that_is_gone_is_brought_again(builders: FaultRegistry, registry: FaultRegistry, tmp_path: Path) -> None:
    world = world_over(source=builders, dev=registry)
    made = built(world, image())
    first = entered(world, tmp_path)
    gone = {("dev/shop/api", str(descriptor.digest)) for descriptor, _ in made.blobs[:2]}
    for key in gone:
        del registry.blobs[key]
    again = entered(world, tmp_path)
    assert (again.record, again.moved.blobs) == (first.record, 2)
    assert gone <= registry.blobs.keys()


def test_what_was_attached_at_the_source_meanwhile_is_brought_too(
    builders: FaultRegistry, registry: FaultRegistry, tmp_path: Path
) -> None:
    world = world_over(source=builders, dev=registry)
    made = built(world, image(("linux/amd64",)))
    entered(world, tmp_path)
    note = referrer(made.manifest).push(builder(world))
    assert entered(world, tmp_path).moved.manifests == 1
    there = Location(world.registries[registry.host], "dev/shop/api")
    assert note.digest in {entry.digest for entry in there.registry.referrers(there.repository, made.digest)}


def test_t086_a_record_that_is_listed_no_more_is_attached_again(
    builders: FaultRegistry, registry: FaultRegistry, tmp_path: Path
) -> None:
    """What is kept from the run before stands in for nothing that a registry has to say."""
    world = world_over(source=builders, dev=registry)
    made = built(world, image(("linux/amd64",)))
    entered(world, tmp_path)
    listed = "dev/shop/api", f"sha256-{made.digest.hex}"
    registry.tags.pop(listed, None)
    for key in [key for key, (_, content) in registry.manifests.items() if b'"subject"' in content]:
        del registry.manifests[key]
    for key in [key for key in registry.tags if key[1].startswith("sha256-")]:
        del registry.tags[key]
    entered(world, tmp_path)
    there = Location(world.registries[registry.host], "dev/shop/api")
    assert len(there.registry.referrers(there.repository, made.digest)) == 2
    assert world.verify("1.0", "build").link.admission.stage == "build"
