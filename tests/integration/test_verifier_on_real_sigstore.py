"""samebits' own verifier and real programs: Fulcio, Rekor v2 and a timestamp authority; each refusal by its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from attestations.bundle import Bundle
from attestations.bundle_verifier import Requirements
from attestations.bundle_verifier import Sigstore as Pinned
from attestations.errors import AttestationError
from attestations.identity import KeylessIdentity
from attestations.signers.identities import IdentityVerifier
from attestations.signers.keyless import KeylessSigner
from attestations.signers.tokens import TokenSource
from attestations.signers.trust_config import TrustConfig
from attestations.statement import Statement
from attestations.trusted_root import TrustedRoot
from attestations.verify import Verified
from pipeline.cli import run
from registries.digest import Digest
from scripts.private_sigstore.stack import PrivateSigstore
from tests import peers
from tests.e2e.shop import now
from tests.private_sigstore import BUILD, PROMOTE
from tests.sigstore import as_bytes

pytestmark = pytest.mark.peer

FILE = b"what is signed here"
SUBJECT = Digest.of(FILE)
REVIEW = "https://example.test/review/v1"


@pytest.fixture(scope="module")
def signed(stack: PrivateSigstore) -> Bundle:
    return sign(stack, SUBJECT)


def sign(stack: PrivateSigstore, about: Digest) -> Bundle:
    token = stack.token(BUILD)
    signer = KeylessSigner(
        config=TrustConfig.of([("trust_config.json", stack.trust_config.read_bytes())]),
        tokens=TokenSource(name="the test", fetch=lambda: token),
        clock=now,
    )
    return signer.sign(Statement.about(about, predicate_type=REVIEW, predicate={}, name="file"))


def root(stack: PrivateSigstore, **changes: Any) -> bytes:
    return as_bytes(json.loads(stack.trusted_root.read_text()) | changes)


def verify(
    stack: PrivateSigstore,
    bundle: Bundle,
    *,
    subject: str = BUILD,
    issuer: str | None = None,
    content: bytes | None = None,
    asked: Requirements | None = None,
) -> Verified:
    who = KeylessIdentity(name="ci", issuer=issuer or stack.issuer(), subject=subject)
    pinned = Pinned(root=TrustedRoot.from_bytes(content or root(stack)), requirements=asked or Requirements())
    return IdentityVerifier((who,), now() + timedelta(days=365), pinned).verify(bundle, SUBJECT)


def code(action: Callable[[], object]) -> str:
    with pytest.raises(AttestationError) as error:
        action()
    return error.value.code


def changed(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> Bundle:
    value = json.loads(bundle.content)
    change(value)
    return Bundle.from_bytes(as_bytes(value))


def test_what_the_real_programs_made_is_verified_a_year_later(stack: PrivateSigstore, signed: Bundle) -> None:
    found = verify(stack, signed, asked=Requirements(logs=1, timestamps=1, certificate_logs=1))
    assert found.signer.name == "ci"
    assert found.proved_time is not None
    assert abs(found.proved_time - now()) < timedelta(hours=1)


def test_another_subject_or_issuer_is_refused(stack: PrivateSigstore, signed: Bundle) -> None:
    assert code(lambda: verify(stack, signed, subject=PROMOTE)) == "identity-mismatch"
    assert code(lambda: verify(stack, signed, issuer="https://evil.test")) == "issuer-mismatch"


def test_another_log_authority_or_timestamp_authority_is_refused(stack: PrivateSigstore, signed: Bundle) -> None:
    for empty, expected in (
        ("tlogs", "log-entry-invalid"),
        ("ctlogs", "threshold-not-met"),
        ("certificateAuthorities", "chain-untrusted"),
        ("timestampAuthorities", "timestamp-untrusted"),
    ):
        content = root(stack, **{empty: []})
        assert code(partial(verify, stack, signed, content=content)) == expected


def test_a_bundle_without_its_time_stamp_proves_no_time(stack: PrivateSigstore, signed: Bundle) -> None:
    bare = changed(signed, lambda value: value["verificationMaterial"].pop("timestampVerificationData"))
    assert code(lambda: verify(stack, bare)) == "time-unproven"


def test_a_bundle_without_its_log_entry_is_refused(stack: PrivateSigstore, signed: Bundle) -> None:
    bare = changed(signed, lambda value: value["verificationMaterial"].pop("tlogEntries"))
    assert code(lambda: verify(stack, bare)) == "threshold-not-met"


def test_the_entry_of_another_artifact_is_refused(stack: PrivateSigstore, signed: Bundle) -> None:
    other = json.loads(sign(stack, Digest.of(b"another")).content)["verificationMaterial"]["tlogEntries"]
    mixed = changed(signed, lambda value: value["verificationMaterial"].update(tlogEntries=other))
    assert code(lambda: verify(stack, mixed)) == "log-entry-mismatch"


def test_a_bundle_about_another_file_is_refused(stack: PrivateSigstore) -> None:
    assert code(lambda: verify(stack, sign(stack, Digest.of(b"another")))) == "subject-mismatch"


def test_what_cosign_signed_there_is_verified_by_the_command(
    stack: PrivateSigstore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(FILE)
    bundle = str(tmp_path / "bundle.json")
    trust = ("--signing-config", str(stack.signing_config), "--trusted-root", str(stack.trusted_root))
    named = ("--identity-token", stack.token(BUILD), "--bundle", bundle, "--yes", str(tmp_path / "file"))
    peers.run("cosign", "sign-blob", *trust, *named)
    who = ["--certificate-identity", BUILD, "--certificate-oidc-issuer", stack.issuer()]
    verified = ["attest", "verify-bundle", "--bundle", bundle, *who, "--trusted-root", str(stack.trusted_root)]
    assert run([*verified, str(tmp_path / "file")]) == 0, capsys.readouterr().err
    assert run([*verified, str(SUBJECT)]) == 0
    assert run([*verified, str(Digest.of(b"another"))]) == 5
