"""A step that somebody attested with the real cosign carries the image on, from one real registry to the next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import rewrap as room
from registries.digest import Digest
from registries.errors import Refusal
from tests import peers
from tests.images import Image
from tests.world import World, world_on

pytestmark = pytest.mark.peer

TESTED = "https://in-toto.io/attestation/test-result/v0.1"
UNIT = "- {name: unit, by: [ci-build], evidence: junit}"
OLD = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false")


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with peers.distribution() as running:
        yield running.host


def shop(host: str, name: str) -> tuple[World, Image]:
    """An image in build, whose one step that is missing has to be attested by the scanner."""
    world = world_on(host, host, name)
    world.change_definition(UNIT, f'{UNIT}\n      - {{name: smoke, by: [scanner], attested: "{TESTED}"}}')
    return world, world.in_build()


def attest(world: World, image: Image, folder: Path, result: str, *how: str, by: str = "scanner") -> None:
    """`cosign attest` a test result about the image, by this key, as a bundle unless it is said otherwise."""
    folder.mkdir(exist_ok=True)
    silent, key, services = {"COSIGN_PASSWORD": ""}, folder / f"{by}.key", folder / "services.json"
    key.write_bytes(world.keys[by][0])
    services.write_text(json.dumps(peers.NO_SERVICES))
    (folder / "predicate.json").write_text(json.dumps({"result": result, "passedTests": ["smoke"]}))
    imported = folder / f"{by}-imported"
    peers.run("cosign", "import-key-pair", "--key", str(key), "--output-key-prefix", str(imported), env=silent)
    signing = how or ("--signing-config", str(services))
    about = ("--type", TESTED, "--predicate", str(folder / "predicate.json"))
    where = f"{world.place('build')}@{image.digest}"
    peers.run(
        "cosign", "attest", "--yes", *signing, *about, "--allow-http-registry", "--key", f"{imported}.key", where,
        env=silent,
    )  # fmt: skip


def codes(world: World) -> list[str]:
    with pytest.raises(Refusal) as refused:
        world.promote("1.0", "test")
    return [reason.code for reason in refused.value.reasons]


def test_what_cosign_attested_is_the_step_and_the_next_admission_names_it(host: str, tmp_path: Path) -> None:
    world, image = shop(host, "attested")
    assert codes(world) == ["step-missing"]
    attest(world, image, tmp_path / "other", "PASSED", by="ci-promote")
    assert codes(world) == ["signer-not-for-stage"]
    attest(world, image, tmp_path / "own", "PASSED")

    world.promote("1.0", "test")
    world.step("test", "integration", "1.0", by="ci-promote", exit_code=0)
    world.promote("1.0", "prod")

    links = {link.stage: link for link in world.verify("1.0", "prod").chain.links}
    named = {step.name: step.record for step in links["test"].admission.predecessors[0].steps}
    shown = {step.name: (step.result, step.record) for step in world.audit("1.0").stages[0].steps}
    assert isinstance(named["smoke"], Digest)
    assert shown["smoke"] == ("passed", named["smoke"])


def test_a_failure_that_cosign_attested_blocks(host: str, tmp_path: Path) -> None:
    world, image = shop(host, "failed")
    attest(world, image, tmp_path, "FAILED")
    assert codes(world) == ["step-failed"]


def test_what_cosign_2_attested_counts_once_it_is_rewrapped(host: str, tmp_path: Path) -> None:
    world, image = shop(host, "older")
    attest(world, image, tmp_path, "PASSED", *OLD)
    assert codes(world) == ["step-missing"]

    found = world.tools(None).places.admitted("1.0", "build", world.pipeline)
    room.rewrap(found, tools=world.tools(None), now=world.now, dry_run=False)
    world.promote("1.0", "test")
