"""Envelopes that are no bundles: verified like bundles, and put into bundles as far as their proof allows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from attestations.bundle import BUNDLE_TYPE, BUNDLE_V01, Bundle
from attestations.bundle_verifier import Requirements
from attestations.bundle_verifier import Sigstore as Pinned
from attestations.envelope import to_base64
from attestations.foreign import notation
from attestations.foreign.envelopes import CERTIFICATE, LOG_BUNDLE, TIMESTAMP, read_loose, wrap
from attestations.identity import KeyIdentity, KeylessIdentity
from attestations.keys import load_public_key
from attestations.signers.identities import IdentityVerifier
from attestations.trusted_root import TrustedRoot
from attestations.verify import Verified
from registries.digest import Digest
from registries.errors import Refusal
from tests.legacy import Layer, log_bundle, notation_jws, signed
from tests.sigstore import IDENTITY, ISSUER, START, Sigstore, as_bytes, der, new_ec, pem, spki
from tests.unit.attestations.conftest import WIRE_SAMPLES
from tests.unit.attestations.samples import IMAGE, OTHER, statement

PAYLOAD = statement().content
KEY = new_ec()
OURS = KeyIdentity(name="ours", public_key=spki(KEY))
PERSON = KeylessIdentity(name="ci", issuer=ISSUER, subject=IDENTITY)
V1_FORMS = ("dsse 0.0.1", "intoto 0.0.1", "intoto 0.0.2")


@pytest.fixture
def sigstore() -> Sigstore:
    return Sigstore()


def verifier(sigstore: Sigstore, requirements: Requirements | None = None) -> IdentityVerifier:
    root = TrustedRoot.from_bytes(as_bytes(sigstore.root()))
    pinned = Pinned(root=root) if requirements is None else Pinned(root=root, requirements=requirements)
    return IdentityVerifier((OURS, PERSON), datetime(2030, 1, 1, tzinfo=UTC), pinned)


def read(layer: Layer) -> Bundle:
    return read_loose(layer.content, layer.annotations)


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        action()
    return refusal.value.code


def test_a_layer_that_cosign_wrote_is_verified_and_known_by_its_own_digest(cosign_key: bytes) -> None:
    content = (WIRE_SAMPLES / "legacy-att-layer.json").read_bytes()
    key = KeyIdentity(name="cosign", public_key=load_public_key(cosign_key))
    about = Digest.parse("sha256:59af7cad44e2e76daa05c88c300d883197d302e6a9198dbaf750d300088e1fc0")
    found = IdentityVerifier((key,), START).verify(read_loose(content, {}), about)
    assert found.record == Digest.of(content)
    assert found.statement.predicate_type == "https://cyclonedx.org/bom"
    assert code(lambda: IdentityVerifier((key,), START).verify(read_loose(content, {}), OTHER)) == "subject-mismatch"


@pytest.mark.parametrize("form", V1_FORMS)
def test_a_certificate_with_a_promise_is_verified_and_fits_version_0_1(sigstore: Sigstore, form: str) -> None:
    certificate = sigstore.ca.certify(KEY)
    layer = signed(PAYLOAD, KEY, sigstore=sigstore, certificate=certificate, form=form)
    assert proven(verifier(sigstore).verify(read(layer), IMAGE)) == (PERSON, START)

    wrapped = wrap(read(layer))
    assert wrapped.bundle.material.media_type == BUNDLE_V01
    assert [reason.code for reason in wrapped.left] == ["proof-not-portable"]
    assert proven(verifier(sigstore).verify(wrapped.bundle, IMAGE)) == (PERSON, START)
    assert wrapped.bundle.signature == read(layer).signature


def test_a_promise_about_another_signature_is_refused(sigstore: Sigstore) -> None:
    certificate = sigstore.ca.certify(KEY)
    mine, other = (
        signed(
            statement(predicate={"is": text}).content,
            KEY,
            sigstore=sigstore,
            certificate=certificate,
            form="dsse 0.0.1",
        )
        for text in ("mine", "other")
    )
    exchanged = Layer(mine.content, other.annotations)
    assert code(lambda: verifier(sigstore).verify(read(exchanged), IMAGE)) == "log-entry-mismatch"


def test_a_key_fits_version_0_3_and_leaves_the_promise_behind(sigstore: Sigstore) -> None:
    layer = signed(PAYLOAD, KEY, sigstore=sigstore, form="dsse 0.0.1")
    assert proven(verifier(sigstore).verify(read(layer), IMAGE)) == (OURS, START)
    wrapped = wrap(read(layer))
    assert wrapped.bundle.material.media_type == BUNDLE_TYPE
    assert (wrapped.bundle.material.log_entries, [it.code for it in wrapped.left]) == ((), ["proof-not-portable"])
    assert proven(verifier(sigstore).verify(wrapped.bundle, IMAGE)) == (OURS, None)


def test_the_time_stamp_of_a_key_is_carried_when_it_is_over_the_signature(sigstore: Sigstore) -> None:
    wrapped = wrap(read(signed(PAYLOAD, KEY, sigstore=sigstore, stamped="signature")))
    assert wrapped.left == ()
    assert proven(verifier(sigstore).verify(wrapped.bundle, IMAGE)) == (OURS, START)


def test_a_time_stamp_over_the_envelope_proves_a_time_and_fits_no_bundle(sigstore: Sigstore) -> None:
    layer = signed(PAYLOAD, KEY, sigstore=sigstore, stamped="envelope")
    assert proven(verifier(sigstore).verify(read(layer), IMAGE)) == (OURS, START)
    wrapped = wrap(read(layer))
    assert [it.code for it in wrapped.left] == ["proof-not-portable"]
    assert proven(verifier(sigstore).verify(wrapped.bundle, IMAGE)) == (OURS, None)


def test_a_private_authority_without_a_log_fits_version_0_3(sigstore: Sigstore) -> None:
    private = Requirements(timestamps=1).unsafe_without_log()
    layer = signed(PAYLOAD, KEY, sigstore=sigstore, certificate=sigstore.ca.certify(KEY), stamped="signature")
    wrapped = wrap(read(layer))
    assert (wrapped.bundle.material.media_type, wrapped.left) == (BUNDLE_TYPE, ())
    assert proven(verifier(sigstore, private).verify(wrapped.bundle, IMAGE)) == (PERSON, START)
    assert code(lambda: verifier(sigstore).verify(read(layer), IMAGE)) == "threshold-not-met"


@pytest.mark.parametrize("stamped", ["", "envelope"])
def test_a_certificate_without_a_time_that_a_bundle_can_hold_is_not_carried(sigstore: Sigstore, stamped: str) -> None:
    layer = signed(PAYLOAD, KEY, sigstore=sigstore, certificate=sigstore.ca.certify(KEY), stamped=stamped)
    assert code(lambda: wrap(read(layer))) == "proof-not-portable"


def test_a_stamp_over_the_envelope_is_no_proof_for_another_envelope(sigstore: Sigstore) -> None:
    mine = signed(PAYLOAD, KEY, sigstore=sigstore, stamped="envelope")
    other = signed(statement(predicate={"is": "other"}).content, KEY)
    exchanged = Layer(other.content, mine.annotations)
    assert code(lambda: verifier(sigstore).verify(read(exchanged), IMAGE)) == "timestamp-untrusted"


def test_an_entry_of_rekor_v2_promises_nothing_and_is_left_out(sigstore: Sigstore) -> None:
    layer = signed(PAYLOAD, KEY, sigstore=sigstore, form="hashedrekord 0.0.2")
    assert read(layer).material.log_entries == ()
    certified = signed(PAYLOAD, KEY, sigstore=sigstore, certificate=sigstore.ca.certify(KEY), form="hashedrekord 0.0.2")
    assert code(lambda: verifier(sigstore).verify(read(certified), IMAGE)) == "threshold-not-met"


def test_the_name_of_a_key_is_not_signed_and_left_out() -> None:
    layer = signed(PAYLOAD, KEY, key_id="SHA256:abc")
    wrapped = wrap(read(layer)).bundle
    assert json.loads(wrapped.content)["dsseEnvelope"]["signatures"] == [{"sig": to_base64(wrapped.signature)}]
    assert IdentityVerifier((OURS,), START).verify(wrapped, IMAGE).signer == OURS


def test_wrapping_twice_makes_the_same_bytes(sigstore: Sigstore) -> None:
    layer = signed(PAYLOAD, KEY, sigstore=sigstore, certificate=sigstore.ca.certify(KEY), form="dsse 0.0.1")
    assert wrap(read(layer)).bundle.content == wrap(read(layer)).bundle.content


ENTRY = Sigstore().log.append(b'{"apiVersion":"0.0.1","kind":"dsse","spec":{}}', proof=False)


def entry(**changes: Any) -> dict[str, str]:
    value = json.loads(log_bundle(ENTRY))
    value["Payload"] |= changes
    return {LOG_BUNDLE: json.dumps(value)}


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({CERTIFICATE: "no certificate"}, "key-material-mismatch"),
        ({CERTIFICATE: pem("CERTIFICATE", b"a") * 2}, "key-material-mismatch"),
        ({CERTIFICATE: pem("PUBLIC KEY", b"a")}, "key-material-mismatch"),
        ({LOG_BUNDLE: "[]"}, "log-entry-invalid"),
        ({LOG_BUNDLE: '{"SignedEntryTimestamp":"AA=="}'}, "log-entry-invalid"),
        ({LOG_BUNDLE: '{"SignedEntryTimestamp":"AA==","Payload":{},"more":1}'}, "field-unknown"),
        (entry(logID="no hex"), "log-entry-invalid"),
        (entry(body=to_base64(b"no json")), "log-entry-invalid"),
        (entry(body="%"), "payload-encoding"),
        (entry(more=1), "field-unknown"),
        ({TIMESTAMP: "{"}, "timestamp-untrusted"),
        ({TIMESTAMP: '{"SignedRFC3161Timestamp":"%"}'}, "payload-encoding"),
        ({TIMESTAMP: '{"SignedRFC3161Timestamp":"AA==","more":1}'}, "field-unknown"),
    ],
)
def test_proof_that_can_not_be_read_is_refused(annotations: dict[str, str], expected: str) -> None:
    assert code(lambda: read(Layer(signed(PAYLOAD, KEY).content, annotations))) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"signatures": []}, "signature-count"),
        ({"signatures": [{"sig": "AA=="}, {"sig": "AA=="}]}, "signature-count"),
        ({"signatures": [{"sig": "AA==", "keyid": 7}]}, "bundle-malformed"),
        ({"signatures": "AA=="}, "bundle-malformed"),
        ({"signatures": ["AA=="]}, "bundle-malformed"),
        ({"payloadType": "text/plain"}, "payload-type-mismatch"),
        ({"more": 1}, "field-unknown"),
    ],
)
def test_an_envelope_that_can_not_be_read_is_refused(changes: dict[str, Any], expected: str) -> None:
    value = {**json.loads(signed(PAYLOAD, KEY).content), **changes}
    assert code(lambda: read_loose(json.dumps(value).encode(), {})) == expected


def test_notation_says_whom_a_signature_is_by(sigstore: Sigstore) -> None:
    content = notation_jws(str(IMAGE), der(sigstore.tsa.certificate))
    assert notation.signed_by(content, IMAGE) == "CN=time stamps,O=tsa.test"
    assert notation.signed_by(notation_jws(str(IMAGE), None), IMAGE) == "nobody by name"
    assert code(lambda: notation.signed_by(content, OTHER)) == "subject-mismatch"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "bundle-malformed"),
        (b"{}", "bundle-malformed"),
        (b'{"payload":7}', "bundle-malformed"),
        (b'{"payload":"W10"}', "bundle-malformed"),
        (b'{"payload":"%"}', "payload-encoding"),
    ],
)
def test_a_signature_of_notation_that_can_not_be_read_is_refused(content: bytes, expected: str) -> None:
    assert code(lambda: notation.signed_by(content, IMAGE)) == expected


def test_a_certificate_of_notation_that_can_not_be_read_is_refused() -> None:
    assert code(lambda: notation.signed_by(notation_jws(str(IMAGE), b"no"), IMAGE)) == "certificate-invalid"


@pytest.mark.parametrize("stamped", ["", "envelope"])
def test_a_changed_byte_of_a_layer_or_its_proof_is_refused_or_changes_nothing(sigstore: Sigstore, stamped: str) -> None:
    certificate = sigstore.ca.certify(KEY)
    layer = signed(PAYLOAD, KEY, sigstore=sigstore, certificate=certificate, form="dsse 0.0.1", stamped=stamped)
    judge = verifier(sigstore)
    accepted, refused = 0, 0
    for number, changed in enumerate(bent(layer)):
        try:
            found = judge.verify(read(changed), IMAGE)
        except Refusal:
            refused += 1
            continue
        accepted += 1  # space around a certificate; a stamp of an authority that nobody knows counts for nothing
        assert (found.signer, found.statement.content) == (PERSON, PAYLOAD), number
        assert (found.proved_time, changed.content) == (START, layer.content), number
    assert refused > 20 * accepted


def bent(layer: Layer) -> Iterator[Layer]:
    """The layer with one byte changed, at every third place of its bytes and of the proof in its annotations."""
    for position in range(0, len(layer.content), 3):
        yield Layer(_bent(layer.content, position), layer.annotations)
    for name in layer.annotations.keys() & {CERTIFICATE, LOG_BUNDLE, TIMESTAMP}:
        text = layer.annotations[name].encode()
        for position in range(0, len(text), 3):
            yield Layer(layer.content, {**layer.annotations, name: _bent(text, position).decode("ascii")})


def _bent(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def proven(found: Verified) -> tuple[object, datetime | None]:
    return found.signer, found.proved_time
