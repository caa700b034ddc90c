"""The whole rule on registries that others wrote, and cosign reading and writing beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from attestations import store
from attestations.identity import KeyIdentity
from attestations.keys import load_public_key
from attestations.records.admission import ADMISSION
from attestations.records.step import STEP
from attestations.signers.identities import IdentityVerifier
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from attestations.summary import SUMMARY
from attestations.verify import Verified, sift
from registries.digest import Digest
from registries.errors import Refusal
from registries.registry import Location
from registries.server import serve_in_thread
from tests import peers
from tests.world import World, world_on

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module", params=["samebits", "distribution-registry", "docker-registry", "ggcr"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        match request.param:
            case "samebits":
                yield stack.enter_context(serve_in_thread(tmp_path_factory.mktemp("registry")))
            case "ggcr":
                yield stack.enter_context(peers.ggcr_registry())
            case program:
                yield stack.enter_context(peers.distribution(program)).host


def test_an_image_goes_from_build_to_prod_with_every_record(host: str) -> None:
    world = world_on(host, host, "journey")
    image = world.in_prod()
    assert world.tag("prod", "1.0") == world.tag("prod", "stable") == image.digest
    story = world.audit("1.0")
    assert [stage.standing for stage in story.stages] == ["admitted", "admitted", "admitted"]
    assert story.faults == ()
    first = world.verify("1.0", "prod").link.record
    assert world.promote("1.0", "prod").record == first


def test_an_image_crosses_from_any_registry_to_the_embedded_one(host: str, tmp_path: Path) -> None:
    with serve_in_thread(tmp_path / "prod") as prod:
        world = world_on(host, prod, "crossing")
        image = world.in_prod()
        place = world.place("prod")
        assert place.registry.manifest(place.repository, image.digest).content == image.manifest.content
        types = {item.statement.predicate_type for item in _believed(world, place, image.digest)}
        assert types == {ADMISSION, STEP, SUMMARY}


def test_a_forgery_is_refused_on_every_registry(host: str) -> None:
    world = world_on(host, host, "forgery")
    image = world.in_build()
    with pytest.raises(Refusal) as error:
        world.promote("1.0", "prod")
    assert error.value.code == "image-not-found"
    with pytest.raises(Refusal) as error:
        world.promote(f"{world.place('build')}@{image.digest}", "prod")
    assert error.value.code == "repository-mismatch"
    assert world.tag("prod", "1.0") is None


def _believed(world: World, place: Location, image: Digest) -> list[Verified]:
    bundles = store.fetch((place,), image).bundles
    verified, rejected = sift(IdentityVerifier(world.pipeline.identities, world.now), bundles, image)
    assert rejected == ()
    return list(verified)


@pytest.mark.parametrize("predicate_type", [ADMISSION, SUMMARY, STEP])
def test_cosign_verifies_what_samebits_writes(host: str, tmp_path: Path, predicate_type: str) -> None:
    world = world_on(host, host, "read-by-cosign")
    image = world.in_test()
    signer = "ci-promote"
    key = tmp_path / "signer.pub"
    key.write_bytes(world.keys[signer][1])
    where = f"{world.place('test')}@{image.digest}"
    verify = ("verify-attestation", "--allow-http-registry", "--insecure-ignore-tlog", "--type", predicate_type)
    said = peers.run("cosign", *verify, "--key", str(key), where)
    statement = json.loads(said.splitlines()[0])
    assert statement["payloadType"] == "application/vnd.in-toto+json"

    key.write_bytes(world.keys["owner"][1])
    refused = peers.attempt("cosign", *verify, "--key", str(key), where)
    assert refused.returncode != 0


def test_samebits_believes_what_cosign_attests(host: str, tmp_path: Path) -> None:
    world = world_on(host, host, "written-by-cosign")
    image = world.in_build()
    place = world.place("build")
    key, offline, predicate = tmp_path / "signer", tmp_path / "offline.json", tmp_path / "predicate.json"
    offline.write_text(json.dumps(peers.NO_SERVICES))
    predicate.write_text('{"reviewed": true}')
    silent = {"COSIGN_PASSWORD": ""}
    peers.run("cosign", "generate-key-pair", "--output-key-prefix", str(key), env=silent)
    peers.run(
        "cosign",
        "attest",
        "--yes",
        "--allow-http-registry",
        "--signing-config",
        str(offline),
        "--key",
        f"{key}.key",
        "--type",
        "https://example.test/review/v1",
        "--predicate",
        str(predicate),
        f"{place}@{image.digest}",
        env=silent,
    )
    cosign = KeyIdentity(name="cosign", public_key=load_public_key(Path(f"{key}.pub").read_bytes()))
    verifier = IdentityVerifier((*world.pipeline.identities, cosign), world.now)
    verified, rejected = sift(verifier, store.fetch((place,), image.digest).bundles, image.digest)
    assert rejected == ()
    reviews = [item for item in verified if item.statement.predicate_type == "https://example.test/review/v1"]
    assert [item.signer for item in reviews] == [cosign]
    assert reviews[0].statement.predicate == {"reviewed": True}

    world.promote("1.0", "test")
    after = store.fetch((world.place("test"),), image.digest).bundles
    assert reviews[0].record in {bundle.record for bundle in after}


@pytest.mark.parametrize("password", ["", "correct horse"])
def test_cosign_verifies_what_is_signed_with_a_key_that_it_made(host: str, tmp_path: Path, password: str) -> None:
    world = world_on(host, host, f"signed-with-cosign-key-{len(password)}")
    image = world.in_build()
    place = world.place("build")
    key, review = tmp_path / "signer", "https://example.test/review/v1"
    peers.run("cosign", "generate-key-pair", "--output-key-prefix", str(key), env={"COSIGN_PASSWORD": password})
    signer = KeySigner.from_pem(Path(f"{key}.key").read_bytes(), password.encode())
    bundle = signer.sign(Statement.about(image.digest, predicate_type=review, predicate={"reviewed": True}))
    store.attach(place, image.manifest.descriptor, (bundle,), created=world.now)
    verify = ("verify-attestation", "--allow-http-registry", "--insecure-ignore-tlog", "--type", review)
    peers.run("cosign", *verify, "--key", f"{key}.pub", f"{place}@{image.digest}")


def test_crane_and_oras_read_the_promoted_image_with_the_same_digest(host: str) -> None:
    world = world_on(host, host, "read-by-others")
    image = world.in_test()
    where = f"{world.place('test')}"
    assert peers.run("crane", "digest", "--insecure", f"{where}:1.0").strip() == str(image.digest)
    for platform in image.platforms:
        assert peers.run("crane", "validate", "--insecure", "--remote", f"{where}@{platform.manifest}").startswith(
            "PASS"
        )
    found = json.loads(peers.run("oras", "discover", "--plain-http", "--format", "json", f"{where}@{image.digest}"))
    listed = found.get("referrers", found.get("manifests"))
    assert len(listed) == len(world.place("test").registry.referrers(world.place("test").repository, image.digest))
