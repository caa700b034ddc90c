"""Two promotions at once, many times: of two images for one tag one wins, and the other is told `tag-conflict`.

T099, G12; and G11: a watcher that looks every 5 ms never sees the tag without a chain that verifies.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pipeline import promote as promotions
from registries.copy import copy_image, plan_copy
from registries.digest import Digest
from registries.errors import NotFound, Refusal
from registries.kinds.http import http_registry
from registries.server import serve_in_thread
from tests.faults import FaultRegistry
from tests.images import Image
from tests.world import DEFINITION, TRUST, World

PAIRS = {"faults": 50, "embedded": 50 if os.environ.get("SAMEBITS_SWEEP") == "all" else 15}
PROMOTED = "promoted"


@dataclass
class Race:
    """Two images in `test`, both with all that hangs on them at `prod` too, where neither is admitted."""

    world: World
    images: tuple[Image, Image]
    renew: Callable[[], None]
    pairs: int
    seen: list[Digest] = field(default_factory=list)

    def run(self, *tags: str) -> list[str]:
        """Promote these at the same time, each as a process of its own would: how they end."""
        self.renew()
        start, over = threading.Barrier(len(tags)), threading.Event()
        with ThreadPoolExecutor(len(tags) + 1) as pool:
            watching = pool.submit(self._watch, over)
            outcomes = list(pool.map(lambda tag: _promoted(competitor(self.world), tag, start), tags))
            over.set()
            watching.result()
        return outcomes

    def _watch(self, over: threading.Event) -> None:
        """Whoever takes what the tag points at takes something that was admitted."""
        watcher = competitor(self.world)
        while not over.wait(0.005):
            try:
                digest = watcher.verify("stable", "prod").image.digest
            except NotFound:
                continue
            self.seen.append(digest)


def _promoted(world: World, tag: str, start: threading.Barrier) -> str:
    """Both have looked before either writes."""
    tools, pipeline = world.tools("ci-promote"), world.pipeline
    found = tools.places.incoming(tag, "prod", pipeline)
    intended = promotions.plan(found, "prod", pipeline=pipeline, tools=tools, now=world.now)
    start.wait(30)
    try:
        promotions.publish(intended, tools=tools)
    except Refusal as refusal:
        return refusal.code
    return PROMOTED


def competitor(world: World) -> World:
    """The same world with clients of its own."""
    real = {host: registry for host, registry in world.registries.items() if ".test" not in host}
    return replace(world, registries={host: http_registry(host, environment={}) for host in real})


def prepared(dev: str, prod: str) -> tuple[World, tuple[Image, Image]]:
    """Two images in test, each with a tag of its own, and copied to prod."""
    definition = DEFINITION.replace('tags: ["{source_tag}", stable]', "tags: [stable]")
    world = World(
        definition_text=definition.replace("dev.test:5000", dev).replace("prod.test:5000", prod),
        trust_text=TRUST.replace("dev.test:5000", dev).replace("prod.test:5000", prod),
    )
    world.registries.update({host: http_registry(host, environment={}) for host in (dev, prod)})
    images = (world.in_test("a", "a"), world.in_test("b", "b"))
    for image in images:
        copy_image(plan_copy(image.digest, world.place("test"), world.place("prod")))
    world.pass_time(minutes=1)
    return world, images


@contextmanager
def between_fault_registries() -> Iterator[Race]:
    with FaultRegistry() as dev, FaultRegistry(conditions=True) as prod:
        world, images = prepared(dev.host, prod.host)
        copied = prod.stored()
        yield Race(world, images, lambda: prod.restore(copied), PAIRS["faults"])


@contextmanager
def between_embedded_registries(folder: Path) -> Iterator[Race]:
    """Production is started anew for each race, with the same files at the same port."""
    with serve_in_thread(folder / "dev") as dev, ExitStack() as serving:
        prod = serving.enter_context(serve_in_thread(folder / "prod"))
        world, images = prepared(dev, prod)
        serving.close()
        shutil.move(folder / "prod", folder / "copied")

        def renew() -> None:
            serving.close()
            shutil.rmtree(folder / "prod", ignore_errors=True)
            shutil.copytree(folder / "copied", folder / "prod")
            serving.enter_context(serve_in_thread(folder / "prod", int(prod.rpartition(":")[2])))

        yield Race(world, images, renew, PAIRS["embedded"])


@pytest.fixture(scope="module", params=["faults", "embedded"])
def race(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    if request.param == "faults":
        with between_fault_registries() as made:
            yield made
    else:
        with between_embedded_registries(tmp_path_factory.mktemp("race")) as made:
            yield made


def test_t099_of_two_images_for_one_tag_one_wins_and_the_other_is_told(race: Race) -> None:
    winners: set[Digest] = set()
    for _ in range(race.pairs):
        outcomes = race.run("a", "b")
        assert sorted(outcomes) == [PROMOTED, "tag-conflict"]
        winner = race.images[outcomes.index(PROMOTED)].digest
        assert competitor(race.world).verify("stable", "prod").image.digest == winner
        winners.add(winner)
    assert race.seen
    print(f"pairs: {race.pairs}; the tag was looked at {len(race.seen)} times while it stood")
    assert winners <= {image.digest for image in race.images}


def test_t099_one_image_promoted_twice_at_once_is_admitted(race: Race) -> None:
    for _ in range(5):
        outcomes = race.run("a", "a")
        assert set(outcomes) == {PROMOTED}
        world = competitor(race.world)
        assert world.verify("stable", "prod").image.digest == race.images[0].digest
        assert world.promote("a", "prod").moved.blobs == 0
