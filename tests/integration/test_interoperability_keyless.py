"""Keyless attestations between samebits and others, with certificates of a private Sigstore of the real programs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from attestations import store
from attestations.bundle import BUNDLE_TYPE
from attestations.bundle_verifier import Requirements
from attestations.bundle_verifier import Sigstore as Pinned
from attestations.errors import AttestationError
from attestations.foreign.envelopes import wrap
from attestations.foreign.look import legacy_attestations
from attestations.identity import KeylessIdentity
from attestations.records.admission import admission_statement
from attestations.signers.identities import IdentityVerifier
from attestations.signers.keyless import KeylessSigner
from attestations.signers.tokens import TokenSource
from attestations.signers.trust_config import TrustConfig
from attestations.trusted_root import TrustedRoot
from registries.registry import Location
from registries.shelf import Shelf
from scripts.private_sigstore.stack import PrivateSigstore
from tests import peers
from tests.e2e.shop import now
from tests.images import image
from tests.integration.test_interoperability import SCRIPT
from tests.private_sigstore import BUILD
from tests.unit.attestations.samples import ADMITTED, IMAGE

pytestmark = pytest.mark.peer

REVIEW = "https://example.test/review/v1"


def test_what_cosign_2_signs_with_a_certificate_and_a_time_stamp_is_carried_over(
    stack: PrivateSigstore, place: Location, tmp_path: Path
) -> None:
    """Without a log, as the older form has no room for an entry of Rekor v2: the time stamp has to do."""
    made = image(seed="older keyless").push(place)
    where, predicate = f"{place}@{made.digest}", tmp_path / "predicate.json"
    predicate.write_text('{"reviewed": true}')
    services = json.loads(stack.signing_config.read_bytes())
    peers.run(
        "cosign", "attest", "--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--yes",
        "--fulcio-url", services["caUrls"][0]["url"], "--timestamp-server-url", services["tsaUrls"][0]["url"],
        "--trusted-root", str(stack.trusted_root), "--identity-token", stack.token(BUILD),
        "--allow-http-registry", "--type", REVIEW, "--predicate", str(predicate), where,
    )  # fmt: skip
    (found,) = legacy_attestations(place, made.digest, shelf=Shelf())
    assert found.bundle is not None
    root = TrustedRoot.from_bytes(stack.trusted_root.read_bytes())
    signer = KeylessIdentity(name="build", issuer=stack.issuer(), subject=BUILD)
    with pytest.raises(AttestationError) as refusal:
        IdentityVerifier((signer,), now(), Pinned(root=root)).verify(found.bundle, made.digest)
    assert refusal.value.code == "threshold-not-met"

    asked = Requirements(timestamps=1).unsafe_without_log()
    private = IdentityVerifier((signer,), now(), Pinned(root=root, requirements=asked))
    assert private.verify(found.bundle, made.digest).signer == signer
    wrapped = wrap(found.bundle)
    assert (wrapped.bundle.material.media_type, wrapped.left) == (BUNDLE_TYPE, ())
    assert private.verify(wrapped.bundle, made.digest).statement.predicate_type == REVIEW

    store.attach(place, made.manifest.descriptor, (wrapped.bundle,), created=now())
    peers.run(
        "cosign", "verify-attestation", "--allow-http-registry", "--trusted-root", str(stack.trusted_root),
        "--insecure-ignore-tlog", "--use-signed-timestamps", "--type", REVIEW,
        "--certificate-identity", BUILD, "--certificate-oidc-issuer", stack.issuer(), where,
    )  # fmt: skip


def test_sigstore_verify_from_npm_verifies_a_record_of_the_private_sigstore(
    stack: PrivateSigstore, tmp_path: Path
) -> None:
    token = stack.token(BUILD, issued=time.time(), seconds=3600)
    signer = KeylessSigner(
        config=TrustConfig.of([("trust_config.json", stack.trust_config.read_bytes())]),
        tokens=TokenSource(name="the test", fetch=lambda: token),
        clock=now,
    )
    signer.sign(admission_statement(ADMITTED, IMAGE))  # the first entry of a log has the index 0, which some leave out
    bundle = signer.sign(admission_statement(ADMITTED, IMAGE))
    file = tmp_path / "bundle.json"
    file.write_bytes(bundle.content)
    files = (str(SCRIPT), str(peers.node_modules()), str(stack.trusted_root), str(file))
    done = peers.attempt("node", *files, BUILD, stack.issuer())
    assert (done.returncode, done.stdout.encode()) == (0, bundle.envelope.payload), done.stderr
    assert peers.attempt("node", *files, "someone@example.test", stack.issuer()).returncode == 1
