"""T023: every byte of a bundle, its certificate, its log entry and its time stamp, changed one at a time.

Nothing is accepted but for bytes that are shown to be outside of what is signed and used: each test says which.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from attestations.bundle import read_bundle
from attestations.bundle_verifier import CERTIFIED, Requirements
from attestations.bundle_verifier import Sigstore as Pinned
from attestations.certificates import load_certificate
from attestations.envelope import to_base64
from attestations.errors import AttestationError
from attestations.identity import KeyIdentity, KeylessIdentity
from attestations.signers.identities import IdentityVerifier
from attestations.trusted_root import TrustedRoot
from pipeline.reasons import REASONS
from registries.digest import Digest
from tests.sigstore import FORMS, IDENTITY, ISSUER, START, CertificateAuthority, Sigstore, as_bytes, der, spki

IMAGE = Digest.of(b"the image")
NOW = START + timedelta(days=300)
PAYLOAD = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": IMAGE.hex}}],
        "predicateType": "https://example.com/scan/v1",
        "predicate": {},
    }
).encode()
LOWEST, BOTH = (0x01,), (0x01, 0x80)
PRIVATE = Requirements().unsafe_without_log().unsafe_without_certificate_log()


@pytest.fixture(scope="module")
def world() -> Sigstore:
    return Sigstore()


def verifier(world: Sigstore, asked: Requirements = CERTIFIED) -> Callable[[bytes], str | None]:
    """Whether these bytes are believed (None), or the code of why not; anything but a refusal fails the test."""
    identities = (
        KeylessIdentity(name="ci", issuer=ISSUER, subject=IDENTITY),
        KeyIdentity(name="key", public_key=spki(world.signing_key)),
    )
    pinned = Pinned(root=TrustedRoot.from_bytes(as_bytes(world.root())), requirements=asked)
    believes = IdentityVerifier(identities, NOW, pinned)

    def verify(content: bytes) -> str | None:
        try:
            believes.verify(read_bundle(content), IMAGE)  # type: ignore[arg-type]
        except AttestationError as error:
            return error.code if error.code in REASONS else pytest.fail(error.code)
        return None

    return verify


def changed(content: bytes, changes: tuple[int, ...] = LOWEST) -> Iterator[tuple[int, bytes]]:
    for position, byte in enumerate(content):
        for change in changes:
            yield position, content[:position] + bytes([byte ^ change]) + content[position + 1 :]


def within(value: dict[str, Any], *path: str | int) -> Callable[[bytes], bytes]:
    """The bundle with other bytes where base64 stands at `path`."""
    changed = copy.deepcopy(value)
    inner: Any = changed
    for step in path[:-1]:
        inner = inner[step]

    def put(content: bytes) -> bytes:
        inner[path[-1]] = to_base64(content)
        return json.dumps(changed).encode()

    return put


def at(value: dict[str, Any], *path: str | int) -> bytes:
    inner: Any = value
    for step in path:
        inner = inner[step]
    return base64.b64decode(inner)


ENTRY: tuple[str | int, ...] = ("verificationMaterial", "tlogEntries", 0)
STAMP: tuple[str | int, ...] = (
    "verificationMaterial",
    "timestampVerificationData",
    "rfc3161Timestamps",
    0,
    "signedTimestamp",
)
CERTIFICATE: tuple[str | int, ...] = ("verificationMaterial", "certificate", "rawBytes")


@pytest.mark.parametrize("form", ["hashedrekord 0.0.2", "dsse 0.0.1"])
def test_t023_no_byte_of_a_bundle_may_change(world: Sigstore, form: str) -> None:
    """With a certificate there is no byte in it that is not covered."""
    content = as_bytes(world.sign(PAYLOAD, form=form))
    verify = verifier(world)
    assert verify(content) is None
    accepted = [position for position, bytes_ in changed(content) if verify(bytes_) is None]
    assert accepted == []


def test_t023_of_a_bundle_with_a_key_only_the_hint_may_change(world: Sigstore) -> None:
    """The hint is opaque and decides only which configured key is tried first."""
    bundle = world.sign(PAYLOAD, keyed=True, form="", stamps=0)
    content = as_bytes(bundle)
    hint = bundle["verificationMaterial"]["publicKey"]["hint"].encode()
    start = content.index(hint)
    verify = verifier(world)
    assert verify(content) is None
    for position, bytes_ in changed(content):
        if verify(bytes_) is None:
            assert start <= position < start + len(hint)


def test_t023_no_byte_of_a_certificate_may_change_even_where_no_log_has_it(world: Sigstore) -> None:
    """Without log and certificate log, the authority's signature alone covers the certificate, and all of it."""
    private = Sigstore()
    private.ca = CertificateAuthority(private.clock, logs=[])
    bundle = private.sign(PAYLOAD, form="")
    put, verify = within(bundle, *CERTIFICATE), verifier(private, PRIVATE)
    certificate = at(bundle, *CERTIFICATE)
    assert verify(put(certificate)) is None
    assert [position for position, bytes_ in changed(certificate, BOTH) if verify(put(bytes_)) is None] == []


def test_t023_bits_of_a_certificates_signature_can_not_be_called_unused(world: Sigstore) -> None:
    """A bit string may end in unused bits that are 0; half of all signatures end so, and readers ignore the count."""
    certificate = next(made for _ in range(64) if not (made := world.ca.certify(world.signing_key))[-1] & 1)
    bundle = world.sign(PAYLOAD, certificate=certificate)
    put, verify = within(bundle, *CERTIFICATE), verifier(world)
    signature = load_certificate(certificate).signature
    start = len(certificate) - len(signature) - 1
    assert verify(put(certificate)) is None
    assert verify(put(certificate[:start] + b"\1" + signature)) == "certificate-invalid"


@pytest.mark.parametrize("form", FORMS)
def test_t023_no_byte_of_a_log_entry_may_change(world: Sigstore, form: str) -> None:
    bundle = world.sign(PAYLOAD, form=form)
    put, verify = within(bundle, *ENTRY, "canonicalizedBody"), verifier(world)
    body = at(bundle, *ENTRY, "canonicalizedBody")
    assert verify(put(body)) is None
    assert [position for position, bytes_ in changed(body) if verify(put(bytes_)) is None] == []


def test_t023_no_byte_of_proof_checkpoint_and_promise_may_change(world: Sigstore) -> None:
    bundle = world.sign(PAYLOAD, form="dsse 0.0.1")
    verify = verifier(world)
    for path in (
        (*ENTRY, "logId", "keyId"),
        (*ENTRY, "inclusionPromise", "signedEntryTimestamp"),
        (*ENTRY, "inclusionProof", "rootHash"),
        *((*ENTRY, "inclusionProof", "hashes", number) for number in range(2)),
    ):
        put = within(bundle, *path)
        assert verify(put(at(bundle, *path))) is None
        assert [position for position, bytes_ in changed(at(bundle, *path)) if verify(put(bytes_)) is None] == []
    note = bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]
    text = note["envelope"].encode()
    for _, bytes_ in changed(text, BOTH):
        note["envelope"] = bytes_.decode("utf-8", "replace")
        assert verify(as_bytes(bundle)) is not None


def test_t023_no_byte_of_a_time_stamp_may_change(world: Sigstore) -> None:
    """RFC 5652 leaves versions and the list of digests unsigned; as they have one form here, they can't change."""
    bundle = world.sign(PAYLOAD)
    put, verify = within(bundle, *STAMP), verifier(world)
    token = at(bundle, *STAMP)
    assert verify(put(token)) is None
    assert [position for position, bytes_ in changed(token, BOTH) if verify(put(bytes_)) is None] == []


def test_t023_of_a_time_stamp_with_certificates_only_these_may_change_besides(world: Sigstore) -> None:
    """The certificates that count are those of the trusted root; the ones that a token brings are not looked at."""
    bundle = world.sign(PAYLOAD)
    token = world.tsa.stamp(at(bundle, "dsseEnvelope", "signatures", 0, "sig"), embed=(world.tsa.certificate,))
    put, verify = within(bundle, *STAMP), verifier(world)
    assert verify(put(token)) is None
    brought = der(world.tsa.certificate)
    start = token.index(brought)
    accepted = {position for position, bytes_ in changed(token, BOTH) if verify(put(bytes_)) is None}
    assert accepted
    assert accepted <= {*range(start, start + len(brought))}
