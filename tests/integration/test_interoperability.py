"""What others read of samebits' records and what samebits reads of theirs: the cells of docs/interoperability.md.

Everything is asked of the real programs, on a real registry without the referrers API.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sigstore.models import Bundle as TheirBundle
from sigstore.models import TrustedRoot as TheirRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from attestations import store
from attestations.bundle import Bundle
from attestations.records.admission import ADMISSION, admission_statement
from attestations.summary import SUMMARY, VERIFIER_ID, stage_level
from pipeline import rewrap as room
from pipeline.audit import Story
from pipeline.rewrap import Rewrapped
from registries.kinds.http import http_registry
from registries.registry import Location
from tests import peers
from tests.images import Image
from tests.sigstore import IDENTITY, ISSUER, Sigstore, as_bytes
from tests.unit.attestations.samples import ADMITTED, IMAGE
from tests.world import World, world_on

pytestmark = pytest.mark.peer

REVIEW = "https://example.test/review/v1"
SCRIPT = Path(__file__).parents[1] / "npm" / "verify.mjs"
OFFLINE = ("--allow-http-registry", "--insecure-ignore-tlog")


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with peers.docker_registry() as running:
        yield running


@pytest.fixture(scope="module")
def shop(host: str) -> tuple[World, Image]:
    """An image that is admitted to `prod`, which tests only read."""
    world = world_on(host, host, "read-by-others")
    return world, world.in_prod()


def key_file(world: World, name: str, folder: Path) -> str:
    path = folder / f"{name}.pub"
    path.write_bytes(world.keys[name][1])
    return str(path)


def admission(world: World, image: Image) -> Bundle:
    """The record of the admission to `prod`, beside those of the stages before."""
    found = store.fetch((world.place("prod"),), image.digest).bundles
    said = ((json.loads(bundle.envelope.payload), bundle) for bundle in found)
    return next(it for says, it in said if says["predicateType"] == ADMISSION and says["predicate"]["stage"] == "prod")


def summary(world: World, image: Image) -> Bundle:
    """The summary of the admission to `prod`."""
    found = store.fetch((world.place("prod"),), image.digest).bundles
    return next(it for it in found if stage_level("prod").encode() in it.envelope.payload)


# what others read


@pytest.mark.parametrize(
    ("language", "rule", "exits"),
    [
        ("cue", 'predicate: verificationResult: "PASSED"', 0),
        ("cue", 'predicate: verificationResult: "FAILED"', 1),
        ("rego", 'allow { startswith(input.predicate.verifiedLevels[_], "SAMEBITS_STAGE_") }', 0),
        ("rego", 'allow { input.predicate.verifiedLevels[_] == "SLSA_BUILD_LEVEL_3" }', 1),
    ],
)
def test_cosign_judges_a_summary_by_rules_as_policy_controller_does(
    shop: tuple[World, Image], tmp_path: Path, language: str, rule: str, exits: int
) -> None:
    world, image = shop
    policy = tmp_path / f"rule.{language}"
    text = f"package signature\n\ndefault allow = false\n\n{rule}\n" if language == "rego" else f"{rule}\n"
    policy.write_text(text)
    where = f"{world.place('prod')}@{image.digest}"
    done = peers.attempt(
        "cosign", "verify-attestation", *OFFLINE, "--type", SUMMARY, "--policy", str(policy),
        "--key", key_file(world, "ci-promote", tmp_path), where,
    )  # fmt: skip
    assert done.returncode == exits, done.stderr


@pytest.mark.parametrize(
    ("change", "exits"),
    [
        ({}, 0),
        ({"--verifier-id": "https://example.test/verifier"}, 1),
        ({"--resource-uri": "oci://example.test/other"}, 1),
        ({"--verified-level": "SAMEBITS_STAGE_QA"}, 1),
        ({"--subject-digest": f"sha256:{'0' * 64}"}, 1),
        ({"--public-key-path": "ci-build"}, 1),
    ],
)
def test_slsa_verifier_checks_a_summary(
    shop: tuple[World, Image], tmp_path: Path, change: dict[str, str], exits: int
) -> None:
    """It takes the bare envelope and a key, and no bundle."""
    world, image = shop
    envelope = tmp_path / "envelope.json"
    envelope.write_text(json.dumps(json.loads(summary(world, image).content)["dsseEnvelope"]))
    options = {
        "--attestation-path": str(envelope),
        "--subject-digest": str(image.digest),
        "--verifier-id": VERIFIER_ID,
        "--resource-uri": f"oci://{world.place('prod')}",
        "--verified-level": stage_level("prod"),
        "--public-key-path": "ci-promote",
        **change,
    }
    options["--public-key-path"] = key_file(world, options["--public-key-path"], tmp_path)
    words = [word for pair in options.items() for word in pair]
    done = peers.attempt("slsa-verifier", "verify-vsa", *words)
    assert done.returncode == exits, done.stderr


def test_oras_regctl_and_crane_list_and_fetch_the_records(shop: tuple[World, Image]) -> None:
    world, image = shop
    where = f"{world.place('prod')}@{image.digest}"
    expected = {
        entry.digest for entry in world.place("prod").registry.referrers("prod/read-by-others/api", image.digest)
    }
    bundles = {str(it) for it in expected}

    discovered = json.loads(peers.run("oras", "discover", "--plain-http", "--format", "json", where))
    assert {one["digest"] for one in discovered["referrers"]} == bundles
    host = world.place("prod").registry.name
    env = {"REGCTL_CONFIG": "/nonexistent"}
    listed = json.loads(
        peers.run(
            "regctl", "--host", f"reg={host},tls=disabled", "artifact", "list", "--format", "{{json .}}", where, env=env
        )
    )
    assert {one["digest"] for one in listed["descriptors"]} == bundles
    record = admission(world, image)
    assert peers.run("crane", "blob", f"{world.place('prod')}@{record.record}").encode() == record.content


def test_sigstore_python_reads_no_bundle_of_a_key(shop: tuple[World, Image]) -> None:
    content = admission(*shop).content
    with pytest.raises(Exception, match=r"(?i)certificate|tlog"):
        TheirBundle.from_json(content)


def test_sigstore_verify_from_npm_verifies_a_record_of_a_key(shop: tuple[World, Image], tmp_path: Path) -> None:
    world, image = shop
    record = admission(world, image)
    signer = key_file(world, "ci-promote", tmp_path)
    done = node(Sigstore().root(), record.content, tmp_path, signer)
    assert (done.returncode, done.stdout.encode()) == (0, record.envelope.payload), done.stderr
    assert node(Sigstore().root(), record.content, tmp_path, key_file(world, "owner", tmp_path)).returncode == 1


def node(root: Any, bundle: bytes, folder: Path, *signer: str) -> subprocess.CompletedProcess[str]:
    """`@sigstore/verify` on these files."""
    (folder / "root.json").write_bytes(as_bytes(root))
    (folder / "bundle.json").write_bytes(bundle)
    files = (str(peers.node_modules()), str(folder / "root.json"), str(folder / "bundle.json"))
    return peers.attempt("node", str(SCRIPT), *files, *signer)


@pytest.mark.parametrize("form", ["hashedrekord 0.0.2", "dsse 0.0.1"])
def test_sigstore_verify_from_npm_and_sigstore_python_verify_a_keyless_record(tmp_path: Path, form: str) -> None:
    sigstore = Sigstore()
    statement = admission_statement(ADMITTED, IMAGE)
    content = as_bytes(sigstore.sign(statement.content, form=form))
    done = node(sigstore.root(), content, tmp_path, IDENTITY, ISSUER)
    assert (done.returncode, done.stdout.encode()) == (0, statement.content), done.stderr

    theirs = Verifier(trusted_root=TheirRoot.from_file(str(tmp_path / "root.json")))
    policy = Identity(identity=IDENTITY, issuer=ISSUER)
    assert theirs.verify_dsse(TheirBundle.from_json(content), policy)[1] == statement.content


@pytest.mark.parametrize(
    ("subject", "issuer", "trusted"),
    [("someone@example.test", ISSUER, "ours"), (IDENTITY, "https://example.test", "ours"), (IDENTITY, ISSUER, "other")],
)
def test_sigstore_verify_from_npm_refuses_what_samebits_refuses(
    tmp_path: Path, subject: str, issuer: str, trusted: str
) -> None:
    sigstore = Sigstore()
    root = sigstore.root() if trusted == "ours" else Sigstore().root()
    content = as_bytes(sigstore.sign(admission_statement(ADMITTED, IMAGE).content))
    assert node(root, content, tmp_path, subject, issuer).returncode == 1


# what samebits reads


def cosign_in(world: World, image_: Image, folder: Path, *command: str) -> None:
    """A cosign command in its older format with the scanner's key, without a log."""
    key = folder / "scanner.key"
    key.write_bytes(world.keys["scanner"][0])
    silent = {"COSIGN_PASSWORD": ""}
    if not (folder / "imported.key").exists():
        prefix = str(folder / "imported")
        peers.run("cosign", "import-key-pair", "--key", str(key), "--output-key-prefix", prefix, env=silent)
    old = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--yes")
    where = f"{world.place('build')}@{image_.digest}"
    peers.run(
        "cosign", *command, *old, "--allow-http-registry", "--key", f"{folder / 'imported.key'}", where, env=silent
    )


def attested(world: World, image_: Image, folder: Path) -> None:
    """An attestation in cosign's older format, by the scanner."""
    (folder / "predicate.json").write_text('{"reviewed": true}')
    cosign_in(world, image_, folder, "attest", "--type", REVIEW, "--predicate", str(folder / "predicate.json"))


def found_by_cosign(world: World, image_: Image, folder: Path) -> bool:
    where = f"{world.place('build')}@{image_.digest}"
    key = key_file(world, "scanner", folder)
    done = peers.attempt("cosign", "verify-attestation", *OFFLINE, "--type", REVIEW, "--key", key, where)
    return done.returncode == 0


def standings(story: Story) -> dict[str, str]:
    return {str(one.what): str(one.standing) for one in story.attached}


def test_what_cosign_2_wrote_is_evidence_is_hidden_by_the_first_bundle_and_carried_over(
    host: str, tmp_path: Path
) -> None:
    world = world_on(host, host, "older")
    made = world.built()
    place = Location(http_registry(host, environment={}), world.place("build").repository)
    made.push(place)
    attested(world, made, tmp_path)
    cosign_in(world, made, tmp_path, "sign")
    assert found_by_cosign(world, made, tmp_path)

    world.enter()
    story = world.audit(str(made.digest))
    assert standings(story) == {"attestation": "counts", "signature": "shown"}
    assert not found_by_cosign(world, made, tmp_path)

    first = rewrapped(world, made)
    assert [(str(it.outcome), it.left) for it in first.items] == [("carried", ())]
    assert found_by_cosign(world, made, tmp_path)
    assert [str(it.outcome) for it in rewrapped(world, made).items] == ["there"]


def rewrapped(world: World, made: Image) -> Rewrapped:
    found = world.tools(None).places.admitted(str(made.digest), "build", world.pipeline)
    return room.rewrap(found, tools=world.tools(None), now=world.now, dry_run=False)
