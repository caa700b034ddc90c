"""How people name an image, and where it is then looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.places import Image, Places
from registries.digest import Digest
from registries.errors import Refusal
from registries.kinds.memory import MemoryRegistry
from registries.registry import Location
from tests.world import World


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    made.in_prod(tag="1.0")
    return made


@pytest.fixture
def places(world: World) -> Places:
    return world.tools(None).places


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def test_a_registry_is_opened_once_for_the_whole_run() -> None:
    opened: list[str] = []

    def open_registry(host: str) -> MemoryRegistry:
        opened.append(host)
        return MemoryRegistry(host)

    places = Places(open_registry, pytest.fail)
    assert places.registry("a.test:1") is places.registry("a.test:1")
    assert opened == ["a.test:1"]


@pytest.mark.parametrize("text", ["oci:dir", "oci-archive:file.tar", "docker:shop"])
def test_only_an_entry_stage_takes_images_from_outside_registries(world: World, places: Places, text: str) -> None:
    wanted = Image(digest=Digest.of(b"it"), tag=None, place=Location(MemoryRegistry(), ""))
    asked: list[str] = []

    def open_source(source: str) -> Image:
        asked.append(source)
        return wanted

    outside = replace(places, open_source=open_source)
    assert outside.incoming(text, "build", world.pipeline) is wanted
    assert asked == [text]
    assert code(lambda: outside.incoming(text, "test", world.pipeline)) == "reference-malformed"


def test_a_tag_a_digest_and_both_are_looked_up_in_the_stage(world: World, places: Places) -> None:
    digest = world.tag("prod", "1.0")
    for text in ("1.0", str(digest), f"1.0@{digest}", f"{world.place('prod')}:1.0", f"{world.place('prod')}@{digest}"):
        found = places.admitted(text, "prod", world.pipeline)
        assert (found.digest, found.place) == (digest, world.place("prod"))
    assert places.admitted(f"1.0@{digest}", "prod", world.pipeline).tag == "1.0"
    assert places.admitted(str(digest), "prod", world.pipeline).tag is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("never", "image-not-found"),
        ("no tag", "reference-malformed"),
        ("-x", "reference-malformed"),
        ("sha256:abc", "reference-malformed"),
        ("no tag@sha256:" + "0" * 64, "reference-malformed"),
        ("1.0@sha256:" + "0" * 64, "image-not-found"),
        ("md5:" + "0" * 32, "reference-malformed"),
        ("prod.test:5000/prod/shop/api", "reference-malformed"),
        ("dev.test:5000/test/shop/api:1.0", "repository-mismatch"),
    ],
)
def test_what_names_no_image_of_the_stage_is_refused(world: World, places: Places, text: str, expected: str) -> None:
    assert code(lambda: places.admitted(text, "prod", world.pipeline)) == expected


def test_an_audit_looks_in_the_last_stage_that_has_the_image_unless_one_is_named(world: World, places: Places) -> None:
    assert places.anywhere("1.0", None, world.pipeline).place == world.place("prod")
    assert places.anywhere("1.0", "build", world.pipeline).place == world.place("build")
    assert code(lambda: places.anywhere("stable", "build", world.pipeline)) == "image-not-found"
