"""What cosign wrote is read, verified and, where samebits writes the same, written again byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from attestations.bundle import Bundle
from attestations.envelope import Envelope
from attestations.errors import AttestationError
from attestations.identity import KeyIdentity
from attestations.keys import load_public_key
from attestations.signers.identities import IdentityVerifier
from attestations.statement import Statement
from attestations.store import attach, fetch
from registries.digest import Digest
from registries.manifest import Manifest
from registries.registry import Location
from registries.strict_json import loads_object
from tests.unit.attestations.shelf import Shelf

SAMPLES = Path(__file__).parents[1] / "assets" / "wire-samples"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


IMAGE = Digest.of(sample("image-manifest.json"))
SIGNED_IMAGE = Digest.parse("sha256:59af7cad44e2e76daa05c88c300d883197d302e6a9198dbaf750d300088e1fc0")
COSIGN = KeyIdentity(name="cosign", public_key=load_public_key(sample("cosign.pub")))
VERIFIER = IdentityVerifier((COSIGN,), NOW)


def test_the_samples_are_the_bytes_that_stood_in_the_registry() -> None:
    assert str(IMAGE) == "sha256:a7627e6d8d6a8b92252bf838e9f27ceff9191d90f8eae5d6efd4d2370d92d53a"
    bundle = Digest.parse("sha256:465a4064763100c8b13ed6f36a246b225a86fe39c82cf9118a93f6518303a30a")
    assert bundle.check(sample("bundle.json"))


def test_an_attestation_by_cosign_is_believed() -> None:
    found = VERIFIER.verify(Bundle.from_bytes(sample("bundle.json")), IMAGE)
    assert found.signer == COSIGN
    assert found.statement.type == "https://in-toto.io/Statement/v0.1"
    assert found.statement.predicate_type == "https://slsa.dev/verification_summary/v1"
    assert found.statement.predicate["verificationResult"] == "PASSED"
    assert found.claim is None


def test_a_plain_signature_by_cosign_is_believed_and_claims_nothing() -> None:
    found = VERIFIER.verify(Bundle.from_bytes(sample("sign-bundle.json")), SIGNED_IMAGE)
    assert found.statement.predicate_type == "https://sigstore.dev/cosign/sign/v1"
    assert found.statement.subjects[0].name is None
    assert found.claim is None


@pytest.mark.parametrize(("name", "image"), [("bundle.json", SIGNED_IMAGE), ("sign-bundle.json", IMAGE)])
def test_an_attestation_by_cosign_is_not_believed_about_another_image(name: str, image: Digest) -> None:
    with pytest.raises(AttestationError) as error:
        VERIFIER.verify(Bundle.from_bytes(sample(name)), image)
    assert error.value.code == "subject-mismatch"


@pytest.mark.parametrize("name", ["bundle.json", "sign-bundle.json"])
def test_a_bundle_is_written_as_cosign_writes_it(name: str) -> None:
    bundle = Bundle.from_bytes(sample(name))
    assert bundle.material.hint is not None
    assert Bundle.signed(bundle.envelope, bundle.material.hint).content == sample(name)


def test_an_older_attestation_is_an_envelope_that_the_same_key_signed() -> None:
    envelope = Envelope.read(loads_object(sample("legacy-att-layer.json"), limit=1024))
    found = VERIFIER.verify(Bundle.signed(envelope, ""), SIGNED_IMAGE)
    assert found.statement == Statement.from_bytes(envelope.payload)
    assert found.statement.predicate_type == "https://cyclonedx.org/bom"


@pytest.mark.parametrize("name", ["bundle.json", "sign-bundle.json"])
def test_any_changed_byte_of_what_cosign_signed_is_refused(name: str) -> None:
    bundle = Bundle.from_bytes(sample(name))
    content, hint = bundle.content, (bundle.material.hint or "").encode()
    image = IMAGE if name == "bundle.json" else SIGNED_IMAGE
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x01
        try:
            VERIFIER.verify(Bundle.from_bytes(bytes(changed)), image)
        except AttestationError:
            continue
        assert content.index(hint) <= position < content.index(hint) + len(hint)


def test_a_bundle_is_found_in_the_referrer_that_cosign_pushed() -> None:
    shelf = Shelf()
    manifest = Manifest.from_bytes(sample("bundle-manifest.json"))
    shelf.manifests[manifest.digest] = manifest
    shelf.blobs[Digest.of(sample("bundle.json"))] = sample("bundle.json")
    (found,) = fetch((Location(shelf, "dev/app"),), IMAGE).bundles
    assert found.content == sample("bundle.json")
    listed = Manifest.from_bytes(sample("fallback-tag.json")).children
    assert [entry.digest for entry in listed] == [manifest.digest]


@pytest.mark.parametrize(
    ("name", "created"),
    [("", datetime(2026, 11, 23, 22, 40, 30, tzinfo=UTC)), ("sign-", datetime(2026, 11, 23, 22, 41, 33, tzinfo=UTC))],
)
def test_a_referrer_says_what_the_one_by_cosign_says(name: str, created: datetime) -> None:
    """cosign repeats the artifact type in the config's descriptor; that is the one difference."""
    theirs = loads_object(sample(f"{name}bundle-manifest.json"), limit=2048)
    subject = Manifest.from_bytes(sample(f"{name}bundle-manifest.json")).subject
    shelf = Shelf()
    assert subject is not None
    attach(Location(shelf, "dev/app"), subject, (Bundle.from_bytes(sample(f"{name}bundle.json")),), created=created)
    (ours,) = shelf.manifests.values()
    del theirs["config"]["artifactType"]
    assert loads_object(ours.content, limit=2048) == theirs
