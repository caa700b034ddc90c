"""What is believed: a configured key's signature over a statement about exactly this image, and nothing less."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from attestations.bundle import Bundle
from attestations.envelope import PAYLOAD_TYPE, Envelope, pae, to_base64
from attestations.errors import AttestationError
from attestations.identity import Identity, KeylessIdentity, Role, Validity
from attestations.keys import KeyKind, key_hint, load_private_key, new_key, sign
from attestations.records import RECORDS
from attestations.records.admission import ADMISSION, admission_statement
from attestations.records.definition import definition_statement
from attestations.records.step import STEP, step_statement
from attestations.signers.identities import IdentityVerifier
from attestations.signers.key import KeySigner
from attestations.verify import Rejected, Verified, sift
from registries.digest import Digest
from registries.errors import UsageError
from tests.unit.attestations.samples import (
    ADMITTED,
    DEFINED,
    IMAGE,
    NOW,
    OTHER,
    PRIVATE,
    SIGNER,
    STEPPED,
    STRANGER,
    as_bytes,
    bundle_json,
    identity,
    sealed,
    statement,
    statement_json,
)

KEYLESS = KeylessIdentity(name="ci", issuer="https://issuer.example", subject="https://ci.example/job")
RECORD = SIGNER.sign(admission_statement(ADMITTED, IMAGE))


def verify(bundle: Bundle, *identities: Identity, subject: Digest = IMAGE) -> Verified:
    return IdentityVerifier(identities or (identity(),), NOW).verify(bundle, subject)


def refused(bundle: Bundle, *identities: Identity, subject: Digest = IMAGE) -> str:
    with pytest.raises(AttestationError) as error:
        verify(bundle, *identities, subject=subject)
    return error.value.code


def changed(bundle: Bundle, **material: Any) -> Bundle:
    return Bundle.from_bytes(as_bytes(bundle_json(bundle) | {"verificationMaterial": material}))


def test_what_a_configured_key_signed_is_believed() -> None:
    found = verify(RECORD)
    assert found.statement.content == RECORD.envelope.payload
    assert (found.signer, found.record, found.proved_time) == (identity(), Digest.of(RECORD.content), None)
    assert found.claim == ADMITTED


@pytest.mark.parametrize("kind", KeyKind)
def test_every_kind_of_signer_is_believed_by_its_key(kind: KeyKind) -> None:
    private, _ = new_key(kind, passphrase=b"open")
    signer = KeySigner.from_pem(private, b"open")
    assert verify(signer.sign(statement()), identity(signer)).claim is None
    assert refused(signer.sign(statement()), identity(STRANGER)) == "signer-unknown"


def test_every_own_record_becomes_a_claim() -> None:
    assert verify(SIGNER.sign(step_statement(STEPPED, IMAGE))).claim == STEPPED
    assert verify(SIGNER.sign(definition_statement(DEFINED, IMAGE))).claim == DEFINED


@pytest.mark.parametrize(
    "hint", ["", "nonsense", key_hint(STRANGER.public_key)], ids=["empty", "nonsense", "a stranger"]
)
def test_the_hint_is_never_needed(hint: str) -> None:
    assert verify(changed(RECORD, publicKey={"hint": hint}), identity(STRANGER, name="other"), identity()).claim


def test_nobody_is_believed_when_nobody_is_configured() -> None:
    with pytest.raises(AttestationError) as error:
        IdentityVerifier((), NOW).verify(RECORD, IMAGE)
    assert error.value.code == "signer-unknown"


def test_a_key_that_is_not_configured_is_not_believed() -> None:
    assert refused(STRANGER.sign(admission_statement(ADMITTED, IMAGE))) == "signer-unknown"


def test_a_hint_of_a_configured_key_makes_a_stranger_no_friend() -> None:
    forged = changed(STRANGER.sign(statement()), publicKey={"hint": key_hint(SIGNER.public_key)})
    assert refused(forged) == "signature-invalid"


def test_another_payload_under_the_same_signature_is_refused() -> None:
    payload = admission_statement(ADMITTED, OTHER).content
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=RECORD.envelope.signature)
    assert refused(Bundle.signed(envelope, key_hint(SIGNER.public_key)), subject=OTHER) == "signature-invalid"


def test_no_signature_is_no_signature() -> None:
    envelope = Envelope(payload=RECORD.envelope.payload, payload_type=PAYLOAD_TYPE, signature=b"")
    assert refused(Bundle.signed(envelope, key_hint(SIGNER.public_key))) == "signature-invalid"


def test_a_signature_without_the_pre_authentication_encoding_is_refused() -> None:
    payload = statement().content
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=sign(load_private_key(PRIVATE), payload))
    assert refused(Bundle.signed(envelope, key_hint(SIGNER.public_key))) == "signature-invalid"


@pytest.mark.parametrize("payload_type", ["application/json", "application/vnd.in-toto+json;v=1", ""])
def test_a_signature_for_another_payload_type_is_refused(payload_type: str) -> None:
    assert refused(sealed(statement().content, payload_type=payload_type)) == "signature-invalid"


def test_a_configured_key_with_another_hash_is_refused_by_name() -> None:
    key = load_private_key(PRIVATE)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    payload = statement().content
    signature = key.sign(pae(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA512()))
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
    assert refused(Bundle.signed(envelope, key_hint(SIGNER.public_key))) == "algorithm-not-allowed"


@pytest.mark.parametrize(
    ("start", "end", "is_valid"),
    [
        (None, None, True),
        (NOW, NOW, True),
        (NOW - timedelta(days=1), None, True),
        (None, NOW - timedelta(seconds=1), False),
        (NOW + timedelta(seconds=1), None, False),
    ],
)
def test_a_key_counts_while_it_is_valid_both_ends_included(start: Any, end: Any, is_valid: bool) -> None:  # noqa: FBT001
    signer = identity(valid=Validity(start=start, end=end))
    if is_valid:
        assert verify(RECORD, signer).signer == signer
    else:
        assert refused(RECORD, signer) == "key-not-valid-at-time"


def test_of_one_key_under_two_names_the_one_that_is_valid_signed() -> None:
    past = identity(name="alice", valid=Validity(end=NOW - timedelta(days=1)))
    assert verify(RECORD, past, identity(name="bob")).signer.name == "bob"


def certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "attacker")])
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def raw(content: bytes) -> dict[str, str]:
    return {"rawBytes": to_base64(content)}


def test_a_certificate_is_not_believed_without_a_trusted_root() -> None:
    signed = changed(RECORD, certificate=raw(certificate()))
    assert refused(signed, KEYLESS) == "chain-untrusted"
    assert refused(signed, identity(), KEYLESS) == "chain-untrusted"


def test_a_root_that_comes_with_the_bundle_is_not_believed() -> None:
    chain = {"certificates": [raw(certificate()), raw(certificate())]}
    assert refused(changed(RECORD, x509CertificateChain=chain)) == "chain-untrusted"


def test_a_certificate_is_no_key() -> None:
    assert refused(changed(RECORD, certificate=raw(certificate()))) == "key-material-mismatch"


@pytest.mark.parametrize(
    "content",
    [SIGNER.public_key, b"-----BEGIN PUBLIC KEY-----\n", b"", b"\x30\x00"],
    ids=["key", "pem", "empty", "der"],
)
@pytest.mark.parametrize("who", [identity(), KEYLESS], ids=["key", "keyless"])
def test_a_key_in_the_place_of_a_certificate_is_refused(content: bytes, who: Identity) -> None:
    assert refused(changed(RECORD, certificate=raw(content)), who) == "key-material-mismatch"


def test_a_key_is_not_believed_where_only_keyless_signers_are_configured() -> None:
    assert refused(RECORD, KEYLESS) == "key-material-mismatch"


def test_a_configured_key_that_is_none_is_a_usage_error() -> None:
    broken = identity()
    with pytest.raises(UsageError) as error:
        IdentityVerifier((type(broken)(name="ci", public_key=b"no key"),), NOW)
    assert error.value.code == "key-malformed"
    assert error.value.reasons[0].where == "ci"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"not json", "payload-malformed"),
        (b"[]", "payload-malformed"),
        (b"{}", "payload-malformed"),
        (as_bytes(statement_json(_type=None)), "statement-version"),
        (as_bytes(statement_json(Subject=[])), "field-unknown"),
        (b'{"subject":[],' + as_bytes(statement_json())[1:], "json-ambiguous"),
        (as_bytes(statement_json(subject=[{"digest": {"sha256": "00"}}] * 1025)), "limit-exceeded"),
    ],
)
def test_a_signed_payload_is_still_read_strictly(payload: bytes, code: str) -> None:
    assert refused(sealed(payload)) == code


def test_a_statement_about_another_image_is_refused() -> None:
    assert refused(RECORD, subject=OTHER) == "subject-mismatch"
    named = statement(subject=[{"name": str(IMAGE), "digest": {"sha256": OTHER.hex}}])
    assert refused(SIGNER.sign(named)) == "subject-mismatch"


@pytest.mark.parametrize("digests", [{"sha1": "00"}, {"md5": "00", "gitCommit": "00"}, {"none": ""}])
def test_a_statement_that_names_nothing_by_a_strong_digest_is_refused(digests: dict[str, str]) -> None:
    assert refused(SIGNER.sign(statement(subject=[{"digest": digests}]))) == "algorithm-not-allowed"


@pytest.mark.parametrize("order", [(IMAGE, OTHER), (OTHER, IMAGE)])
def test_a_foreign_statement_may_be_about_several_and_a_record_may_not(order: Sequence[Digest]) -> None:
    subjects = [{"digest": {"sha256": digest.hex}} for digest in order]
    assert verify(SIGNER.sign(statement(subject=subjects))).claim is None
    value = json.loads(RECORD.envelope.payload) | {"subject": subjects}
    assert refused(sealed(as_bytes(value))) == "subject-count"


@pytest.mark.parametrize(
    "predicate_type",
    [
        f"{ADMISSION}/",
        f"{ADMISSION}.1",
        f"{ADMISSION}0",
        f"{ADMISSION}\n",
        f" {ADMISSION}",
        ADMISSION.upper(),
        ADMISSION.replace("https", "http"),
        ADMISSION.replace("/v1", "/v2"),
        ADMISSION.replace("admission", "Admission"),
        ADMISSION.replace("attestation", "attestations"),
        "https://samebits.dev/attestation/",
    ],
)
def test_a_type_that_only_looks_like_ours_is_refused(predicate_type: str) -> None:
    value = json.loads(RECORD.envelope.payload) | {"predicateType": predicate_type}
    assert refused(sealed(as_bytes(value))) == "predicate-type-mismatch"


@pytest.mark.parametrize("predicate_type", RECORDS)
def test_a_record_with_an_empty_predicate_is_refused(predicate_type: str) -> None:
    assert refused(SIGNER.sign(statement(predicateType=predicate_type))) == "predicate-incomplete"


def test_a_record_with_a_field_more_is_refused() -> None:
    value = json.loads(RECORD.envelope.payload)
    value["predicate"]["Stage"] = "prod"
    assert refused(sealed(as_bytes(value))) == "field-unknown"


@pytest.mark.parametrize(
    "bundle", [sealed(b"not json"), STRANGER.sign(statement()), SIGNER.sign(statement(predicateType=ADMISSION))]
)
def test_a_refusal_names_the_record(bundle: Bundle) -> None:
    with pytest.raises(AttestationError) as error:
        verify(bundle)
    assert error.value.reasons[0].where == str(bundle.record)


def test_a_changed_byte_is_refused_or_is_part_of_the_hint_alone() -> None:
    """A sweep over every byte of a bundle; the hint, which orders keys, is the only part neither signed nor checked."""
    content = RECORD.content
    hint = key_hint(SIGNER.public_key).encode()
    unsigned = range(content.index(hint), content.index(hint) + len(hint))
    verifier = IdentityVerifier((identity(),), NOW)
    accepted = []
    for position in range(len(content)):
        for flip in (0x01, 0x02, 0x20, 0x80):
            changed_content = bytearray(content)
            changed_content[position] ^= flip
            try:
                found = verifier.verify(Bundle.from_bytes(bytes(changed_content)), IMAGE)
            except AttestationError:
                continue
            assert found.statement.content == RECORD.envelope.payload
            assert found.record != RECORD.record
            accepted.append(position)
    assert set(accepted) <= set(unsigned)


def test_every_byte_of_a_signed_payload_counts() -> None:
    payload = RECORD.envelope.payload
    for position in range(len(payload)):
        envelope = Envelope(
            payload=payload[:position] + bytes([payload[position] ^ 0x01]) + payload[position + 1 :],
            payload_type=PAYLOAD_TYPE,
            signature=RECORD.envelope.signature,
        )
        assert refused(Bundle.signed(envelope, key_hint(SIGNER.public_key))) == "signature-invalid"


def test_a_signer_knows_its_roles_by_its_key() -> None:
    role = Role(name="admit", signers=(KEYLESS, identity(name="whatever")))
    assert SIGNER.is_one_of(role)
    assert not STRANGER.is_one_of(role)
    assert not STRANGER.is_one_of(Role(name="admit", signers=(KEYLESS,)))


def test_a_signer_is_named_by_its_fingerprint_and_shows_no_secret() -> None:
    assert SIGNER.public_name == f"key {identity().fingerprint}"
    assert PRIVATE.splitlines()[1].decode() not in repr(SIGNER) + str(vars(SIGNER))


def test_sift_keeps_what_is_not_believed_with_its_reason_and_its_words() -> None:
    step = step_statement(STEPPED, IMAGE)
    bundles = (RECORD, STRANGER.sign(step), sealed(b"not json"), SIGNER.sign(admission_statement(ADMITTED, OTHER)))
    verified, rejected = sift(IdentityVerifier((identity(),), NOW), bundles, IMAGE)
    assert [found.record for found in verified] == [RECORD.record]
    assert [(found.record, found.reason.code, found.says) for found in rejected] == [
        (bundles[1].record, "signer-unknown", (STEP, "test", "integration")),
        (bundles[2].record, "payload-malformed", ("", "", "")),
        (bundles[3].record, "subject-mismatch", (ADMISSION, "test", "")),
    ]


@pytest.mark.parametrize(
    "payload", [b'{"predicateType":1,"predicate":{"stage":[],"step":{}}}', b'{"predicate":[]}', b"[]", b"{}"]
)
def test_what_a_rejected_bundle_says_is_text_or_nothing(payload: bytes) -> None:
    _, (rejected,) = sift(IdentityVerifier((identity(),), NOW), (sealed(payload),), IMAGE)
    assert isinstance(rejected, Rejected)
    assert rejected.says == ("", "", "")


def test_sift_of_nothing_is_nothing() -> None:
    assert sift(IdentityVerifier((identity(),), NOW), (), IMAGE) == ((), ())
