"""Bundles: strict, bounded, never a source of trust; their bytes are their identity."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attestations.bundle import BUNDLE_TYPE, Bundle
from attestations.envelope import PAYLOAD_TYPE, Envelope, to_base64
from attestations.errors import AttestationError
from registries.digest import Digest
from tests.unit.attestations.samples import as_bytes, bundle_json

RAW = {"rawBytes": to_base64(b"DER")}
LOG_ENTRY = {"logIndex": "1"}
TIMESTAMP = {"signedTimestamp": to_base64(b"token")}


def with_material(**material: Any) -> bytes:
    return as_bytes(bundle_json() | {"verificationMaterial": material})


def refused(content: bytes) -> str:
    with pytest.raises(AttestationError) as error:
        Bundle.from_bytes(content, where="registry.example/app@sha256:00")
    assert error.value.reasons[0].where == "registry.example/app@sha256:00"
    return error.value.code


def test_a_bundle_is_known_by_the_digest_of_its_bytes() -> None:
    content = json.dumps(bundle_json(), indent=2).encode()
    assert Bundle.from_bytes(content).record == Digest.of(content)
    assert Bundle.from_bytes(content).content == content


def test_a_new_bundle_is_written_as_cosign_writes_one() -> None:
    made = Bundle.signed(Envelope(payload=b"hi", payload_type=PAYLOAD_TYPE, signature=b"sig"), "the hint")
    assert made.content == (
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",'
        b'"verificationMaterial":{"publicKey":{"hint":"the hint"}},'
        b'"dsseEnvelope":{"payload":"aGk=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"c2ln"}]}}'
    )
    assert (made.material.media_type, made.material.hint, made.material.certificate) == (BUNDLE_TYPE, "the hint", None)


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3"])
def test_older_spellings_of_the_media_type_are_read(version: str) -> None:
    media_type = f"application/vnd.dev.sigstore.bundle+json;version={version}"
    assert Bundle.from_bytes(as_bytes(bundle_json() | {"mediaType": media_type})).material.media_type == media_type


@pytest.mark.parametrize(
    "media_type", ["application/vnd.dev.sigstore.bundle.v0.4+json", "application/json", "", None, ["v0.3"]]
)
def test_another_media_type_is_refused(media_type: Any) -> None:
    assert refused(as_bytes(bundle_json() | {"mediaType": media_type})) == "bundle-version"


@pytest.mark.parametrize("hint", [{}, {"hint": ""}, {"hint": "anything"}])
def test_a_hint_may_be_missing_or_wrong(hint: dict[str, str]) -> None:
    assert Bundle.from_bytes(with_material(publicKey=hint)).material.hint == hint.get("hint", "")


def test_a_certificate_and_a_chain_are_carried() -> None:
    found = Bundle.from_bytes(with_material(certificate=RAW)).material
    assert (found.hint, found.certificate, found.chain) == (None, b"DER", ())
    found = Bundle.from_bytes(with_material(x509CertificateChain={"certificates": [RAW, RAW]})).material
    assert (found.hint, found.certificate, found.chain) == (None, b"DER", (b"DER",))


@pytest.mark.parametrize(
    "material",
    [
        {"publicKey": {}, "certificate": RAW},
        {"publicKey": {}, "x509CertificateChain": {"certificates": [RAW]}},
        {"certificate": RAW, "x509CertificateChain": {"certificates": [RAW]}},
    ],
)
def test_a_key_beside_a_certificate_is_refused(material: dict[str, Any]) -> None:
    assert refused(with_material(**material)) == "key-material-mismatch"


@pytest.mark.parametrize(
    "material",
    [
        {},
        {"tlogEntries": []},
        {"publicKey": None},
        {"publicKey": "key"},
        {"publicKey": {"hint": 1}},
        {"publicKey": {"hint": None}},
        {"certificate": {}},
        {"certificate": {"rawBytes": 1}},
        {"x509CertificateChain": {}},
        {"x509CertificateChain": {"certificates": []}},
        {"x509CertificateChain": {"certificates": ["text"]}},
        {"publicKey": {}, "tlogEntries": {}},
        {"publicKey": {}, "tlogEntries": [1]},
        {"publicKey": {}, "timestampVerificationData": []},
        {"publicKey": {}, "timestampVerificationData": {"rfc3161Timestamps": {}}},
        {"publicKey": {}, "timestampVerificationData": {"rfc3161Timestamps": [{}]}},
    ],
)
def test_verification_material_of_another_shape_is_refused(material: dict[str, Any]) -> None:
    assert refused(with_material(**material)) == "bundle-malformed"


@pytest.mark.parametrize(
    "material",
    [
        {"publicKey": {}, "public_key": {}},
        {"publicKey": {"rawBytes": ""}},
        {"publicKey": {}, "tlog_entries": []},
        {"certificate": {**RAW, "trusted": True}},
        {"x509CertificateChain": {"certificates": [RAW], "root": RAW}},
        {"publicKey": {}, "timestampVerificationData": {"timestamps": []}},
        {"publicKey": {}, "timestampVerificationData": {"rfc3161Timestamps": [{**TIMESTAMP, "time": ""}]}},
    ],
)
def test_an_unknown_field_in_the_material_is_refused(material: dict[str, Any]) -> None:
    assert refused(with_material(**material)) == "field-unknown"


def test_an_unknown_field_in_the_bundle_is_refused() -> None:
    assert refused(as_bytes(bundle_json() | {"DsseEnvelope": {}})) == "field-unknown"


@pytest.mark.parametrize("encoded", ["RE VS", "REVS=", "REV\n", "RE-_"])
def test_certificates_and_time_stamps_are_decoded_strictly(encoded: str) -> None:
    assert refused(with_material(certificate={"rawBytes": encoded})) == "payload-encoding"
    stamps = {"rfc3161Timestamps": [{"signedTimestamp": encoded}]}
    assert refused(with_material(publicKey={}, timestampVerificationData=stamps)) == "payload-encoding"


def test_a_signature_over_a_message_is_no_statement() -> None:
    content = bundle_json()
    del content["dsseEnvelope"]
    assert refused(as_bytes(content | {"messageSignature": {}})) == "bundle-malformed"
    assert refused(as_bytes(bundle_json() | {"messageSignature": {}})) == "bundle-malformed"


@pytest.mark.parametrize("member", ["verificationMaterial", "dsseEnvelope"])
def test_a_missing_member_is_refused(member: str) -> None:
    content = bundle_json()
    del content[member]
    assert refused(as_bytes(content)) == "bundle-malformed"


@pytest.mark.parametrize("content", [b"", b"not json", b"[]"])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    assert refused(content) == "bundle-malformed"


def test_two_envelopes_in_one_object_are_refused() -> None:
    content = as_bytes(bundle_json())
    assert refused(content[:-1] + b',"dsseEnvelope":{}}') == "json-ambiguous"


def test_32_log_entries_and_time_stamps_are_carried_and_33_are_refused() -> None:
    def material(entries: int, stamps: int) -> bytes:
        data = {"rfc3161Timestamps": [TIMESTAMP] * stamps}
        return with_material(publicKey={}, tlogEntries=[LOG_ENTRY] * entries, timestampVerificationData=data)

    found = Bundle.from_bytes(material(32, 32)).material
    assert (len(found.log_entries), found.timestamps) == (32, (b"token",) * 32)
    assert refused(material(33, 0)) == "limit-exceeded"
    assert refused(material(0, 33)) == "limit-exceeded"


def test_32_certificates_are_carried_and_33_are_refused() -> None:
    assert len(Bundle.from_bytes(with_material(x509CertificateChain={"certificates": [RAW] * 32})).material.chain) == 31
    assert refused(with_material(x509CertificateChain={"certificates": [RAW] * 33})) == "limit-exceeded"


def test_a_bundle_of_16_mib_is_read_and_one_byte_more_is_refused() -> None:
    content = as_bytes(bundle_json())
    full = content + b" " * (16 * 1024 * 1024 - len(content))
    assert len(Bundle.from_bytes(full).content) == 16 * 1024 * 1024
    assert refused(full + b" ") == "size-limit"
