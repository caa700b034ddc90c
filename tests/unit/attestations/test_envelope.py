"""Envelopes: the signed bytes are exact, base64 has one form, and there is exactly one signature."""

from __future__ import annotations

from typing import Any

import pytest

from attestations.envelope import PAYLOAD_TYPE, Envelope, from_base64, pae, to_base64
from attestations.errors import AttestationError


def envelope(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {"payload": "aGk=", "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": "c2ln"}]}
    return {name: item for name, item in (value | changes).items() if item is not ...}


def refused(value: Any) -> str:
    with pytest.raises(AttestationError) as error:
        Envelope.read(value)
    return error.value.code


@pytest.mark.parametrize(
    ("payload_type", "payload", "expected"),
    [
        ("http://example.com/HelloWorld", b"hello world", b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
        ("", b"", b"DSSEv1 0  0 "),
        ("ü", "h€".encode(), b"DSSEv1 2 \xc3\xbc 4 h\xe2\x82\xac"),
        (PAYLOAD_TYPE, b"{}", b"DSSEv1 28 application/vnd.in-toto+json 2 {}"),
        ("a 1", b"b", b"DSSEv1 3 a 1 1 b"),
    ],
)
def test_the_signed_bytes_count_bytes_not_characters(payload_type: str, payload: bytes, expected: bytes) -> None:
    assert pae(payload_type, payload) == expected


def test_an_envelope_is_read_and_written_without_a_key_id() -> None:
    found = Envelope.read(envelope())
    assert (found.payload, found.signature) == (b"hi", b"sig")
    assert found.signed_bytes == pae(PAYLOAD_TYPE, b"hi")
    assert found.json() == {"payload": "aGk=", "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": "c2ln"}]}


def test_an_empty_key_id_is_read() -> None:
    assert Envelope.read(envelope(signatures=[{"sig": "c2ln", "keyid": ""}])).signature == b"sig"


@pytest.mark.parametrize("keyid", ["", "abc", "SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA"])
def test_a_key_that_an_envelope_names_is_left_aside(keyid: str) -> None:
    assert Envelope.read(envelope(signatures=[{"sig": "c2ln", "keyid": keyid}])) == Envelope.read(envelope())


@pytest.mark.parametrize("keyid", [None, 0, []])
def test_a_name_of_a_key_that_is_no_text_is_refused(keyid: Any) -> None:
    assert refused(envelope(signatures=[{"sig": "c2ln", "keyid": keyid}])) == "bundle-malformed"


@pytest.mark.parametrize("signatures", [[], [{"sig": "c2ln"}, {"sig": "YmFk"}], [{"sig": "c2ln"}] * 100_000])
def test_there_is_exactly_one_signature(signatures: list[Any]) -> None:
    assert refused(envelope(signatures=signatures)) == "signature-count"


@pytest.mark.parametrize(
    "payload_type",
    [
        "application/json",
        "application/vnd.in-toto+json ",
        "application/vnd.in-toto.slsa+json",
        "Application/vnd.in-toto+json",
        "",
        None,
        1,
        ...,
    ],
)
def test_another_payload_type_is_refused(payload_type: Any) -> None:
    assert refused(envelope(payloadType=payload_type)) == "payload-type-mismatch"


@pytest.mark.parametrize(
    "text",
    ["aGk", "aGk==", "aGk=\n", " aGk=", "aG!k=", "aGl=", "aGk=aGk=", "-_-_", "a", "=", "äGk=", "aG\u200bk="],
)
def test_base64_in_any_other_form_is_refused(text: str) -> None:
    assert refused(envelope(payload=text)) == "payload-encoding"
    assert refused(envelope(signatures=[{"sig": text}])) == "payload-encoding"


@pytest.mark.parametrize("content", [b"", b"\xff" * 5, b"hi", bytes(range(256))])
def test_base64_comes_back_as_it_went(content: bytes) -> None:
    assert from_base64(to_base64(content), "the content") == content


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        envelope(signatures={}),
        envelope(signatures=...),
        envelope(signatures=["text"]),
        envelope(signatures=[{}]),
        envelope(signatures=[{"sig": 1}]),
        envelope(payload=...),
        envelope(payload=None),
        envelope(payload=["aGk="]),
    ],
)
def test_an_envelope_of_another_shape_is_refused(value: Any) -> None:
    assert refused(value) == "bundle-malformed"


@pytest.mark.parametrize("value", [envelope(Payload="aGk="), envelope(signatures=[{"sig": "c2ln", "cert": ""}])])
def test_an_unknown_field_is_refused(value: Any) -> None:
    assert refused(value) == "field-unknown"
