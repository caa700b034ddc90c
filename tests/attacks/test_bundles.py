"""Attacks on bundles and on who signed them, named by their rows in the threat catalogue, each with its reason."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from attestations.bundle import read_bundle
from attestations.bundle_verifier import KEYED, Artifact, BundleVerifier, Requirements, check_identity
from attestations.bundle_verifier import Sigstore as Pinned
from attestations.certificates import load_certificate
from attestations.checkpoints import Checkpoint, root_from
from attestations.envelope import PAYLOAD_TYPE, pae, to_base64
from attestations.errors import AttestationError
from attestations.identity import Identity, KeyIdentity, KeylessIdentity, Validity
from attestations.keys import parse_public_key, verify_signature
from attestations.signers.identities import IdentityVerifier
from attestations.subject_pattern import SubjectPattern
from attestations.trusted_root import TrustedRoot
from attestations.verify import Verified
from pipeline.anchors import Revocations
from registries.digest import Digest
from tests.sigstore import (
    BUNDLE_V01,
    BUNDLE_V02,
    BUNDLE_V03,
    FORMS,
    IDENTITY,
    ISSUER,
    START,
    CertificateAuthority,
    CertificateLog,
    Key,
    Sigstore,
    TimestampAuthority,
    TransparencyLog,
    as_bytes,
    audit_path,
    authority_entry,
    authority_extensions,
    canonical,
    der,
    integer,
    issue,
    leaf_hash,
    log_body,
    named,
    new_ec,
    note_line,
    oid,
    other_name,
    pem,
    raw_sign,
    sequence,
    spki,
    tlv,
    tree_hash,
    usage,
)

IMAGE = Digest.of(b"the image")
CI = KeylessIdentity(name="ci", issuer=ISSUER, subject=IDENTITY)
NOW = START + timedelta(days=300)

STRICT = Requirements()
KEYS_LOGGED = Requirements().unsafe_without_certificate_log()
PRIVATE = Requirements().unsafe_without_log().unsafe_without_certificate_log()


def statement(about: Digest = IMAGE, **changes: Any) -> bytes:
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {"sha256": about.hex}}],
        "predicateType": "https://example.com/scan/v1",
        "predicate": {},
    }
    return json.dumps(value | changes).encode()


def verify(
    world: Sigstore,
    bundle: dict[str, Any] | bytes,
    *identities: Identity,
    asked: Requirements = STRICT,
    root: dict[str, Any] | None = None,
) -> Verified:
    pinned = Pinned(root=TrustedRoot.from_bytes(as_bytes(root or world.root())), requirements=asked)
    content = bundle if isinstance(bundle, bytes) else as_bytes(bundle)
    read = read_bundle(content)
    return IdentityVerifier(identities or (CI,), NOW, pinned).verify(read, IMAGE)  # type: ignore[arg-type]


def code(action: Callable[[], object]) -> str:
    with pytest.raises(AttestationError) as error:
        action()
    return error.value.code


def refused(
    world: Sigstore,
    bundle: dict[str, Any] | bytes,
    *identities: Identity,
    asked: Requirements = STRICT,
    root: dict[str, Any] | None = None,
) -> str:
    return code(lambda: verify(world, bundle, *identities, asked=asked, root=root))


def keyed(key: Key, *, valid: Validity | None = None) -> KeyIdentity:
    return KeyIdentity(name="key", public_key=spki(key), valid=valid or Validity())


def entry(bundle: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bundle["verificationMaterial"]["tlogEntries"][0]
    return found


def stamp(bundle: dict[str, Any], *stamps: bytes) -> dict[str, Any]:
    """The bundle with these time stamps instead of its own."""
    changed = copy.deepcopy(bundle)
    changed["verificationMaterial"]["timestampVerificationData"] = {
        "rfc3161Timestamps": [{"signedTimestamp": to_base64(one)} for one in stamps]
    }
    return changed


def signature(bundle: dict[str, Any]) -> bytes:
    return base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])


@pytest.fixture
def world() -> Sigstore:
    return Sigstore()


# what is accepted: the baseline without which no refusal says anything


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        (form, media_type)
        for form in FORMS
        for media_type in (BUNDLE_V03, BUNDLE_V02, BUNDLE_V01)
        if (form, media_type) != ("hashedrekord 0.0.2", BUNDLE_V01)
    ],
)
def test_what_a_certificate_signed_is_believed_in_every_form_and_version(
    world: Sigstore, form: str, media_type: str
) -> None:
    """Rekor v2 promises nothing, and a bundle of version 0.1 needs a promise: that pair does not exist."""
    found = verify(world, world.sign(statement(), form=form, media_type=media_type))
    assert (found.signer, found.proved_time, found.claim) == (CI, START, None)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_key_signed_is_believed_with_its_log_entry(world: Sigstore, form: str) -> None:
    bundle = world.sign(statement(), form=form, keyed=True)
    assert verify(world, bundle, keyed(world.signing_key)).proved_time == START


def test_a_private_authority_without_logs_is_believed_where_that_is_said(world: Sigstore) -> None:
    world.ca = CertificateAuthority(world.clock, logs=[])
    bundle = world.sign(statement(), form="")
    assert refused(world, bundle) == "threshold-not-met"
    assert refused(world, bundle, asked=STRICT.unsafe_without_log()) == "threshold-not-met"
    assert refused(world, bundle, asked=STRICT.unsafe_without_certificate_log()) == "threshold-not-met"
    assert verify(world, bundle, asked=PRIVATE).proved_time == START


@pytest.mark.parametrize(
    "key",
    [new_ec(ec.SECP384R1()), new_ec(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate()],
    ids=["P-384", "P-521", "Ed25519"],
)
def test_other_keys_are_believed(world: Sigstore, key: Key) -> None:
    assert verify(world, world.sign(statement(), form="dsse 0.0.1", key=key)).signer == CI
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        assert verify(world, world.sign(statement(), key=key)).signer == CI


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_rsa_keys_are_believed(world: Sigstore, bits: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    assert verify(world, world.sign(statement(), form="dsse 0.0.1", key=key)).signer == CI


def test_rsa_pss_counts_only_where_that_is_said() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
    made = key.sign(b"message", pss, hashes.SHA256())
    public = parse_public_key(spki(key))
    assert code(lambda: verify_signature(public, made, b"message")) == "signature-invalid"
    verify_signature(public, made, b"message", rsa_pss=True)
    assert code(lambda: verify_signature(public, made, b"another", rsa_pss=True)) == "signature-invalid"


def test_a_bundle_signed_with_rsa_pss_is_believed_where_the_trust_file_says_so(world: Sigstore) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
    bundle = world.sign(statement(), form="", keyed=True, key=key, stamps=0)
    made = key.sign(pae(PAYLOAD_TYPE, statement()), pss, hashes.SHA256())
    bundle["dsseEnvelope"]["signatures"] = [{"sig": to_base64(made)}]
    assert refused(world, bundle, keyed(key)) == "algorithm-not-allowed"
    assert verify(world, bundle, keyed(key), asked=Requirements(rsa_pss=True)).signer == keyed(key)


@pytest.mark.parametrize("identity", ["dev@acme.example", IDENTITY, "other name"])
def test_every_kind_of_name_is_believed(world: Sigstore, identity: str) -> None:
    name = other_name(identity) if identity == "other name" else identity
    bundle = world.sign(statement(), certificate=world.ca.certify(world.signing_key, name))
    who = KeylessIdentity(name="who", issuer=ISSUER, subject=identity)
    assert verify(world, bundle, who).signer == who


@pytest.mark.parametrize("newer", [True, False])
def test_the_issuer_is_read_from_the_newer_and_the_older_extension(world: Sigstore, newer: bool) -> None:  # noqa: FBT001
    older = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), ISSUER.encode())
    key = world.signing_key
    certificate = (
        world.ca.certify(key, old_issuer=False) if newer else world.ca.certify(key, issuer=None, more=[(older, False)])
    )
    assert verify(world, world.sign(statement(), certificate=certificate)).signer == CI


# T001 to T003


def bodies(world: Sigstore, form: str, *, certified: bool) -> dict[str, tuple[str, bytes]]:
    """Entries of which exactly one of content, signature and key belongs to something else."""
    key = world.signing_key
    bundle = world.sign(statement(), form=form, keyed=not certified)
    certificate = None
    if certified:
        certificate = base64.b64decode(bundle["verificationMaterial"]["certificate"]["rawBytes"])
    mine, other = statement(), statement(Digest.of(b"another"))
    other_key = new_ec()
    other_certificate = world.ca.certify(other_key) if certified else None
    made = signature(bundle)
    again = raw_sign(key, pae(PAYLOAD_TYPE, mine))

    def body(payload: bytes, sig: bytes, cert: bytes | None, who: Key) -> bytes:
        signed = pae(PAYLOAD_TYPE, payload)
        return log_body(form, payload, signed=signed, signature=sig, certificate=cert, key=who)

    return {
        "content": (json.dumps(bundle), body(other, made, certificate, key)),
        "signature": (json.dumps(bundle), body(mine, again, certificate, key)),
        "key": (json.dumps(bundle), body(mine, made, other_certificate, other_key)),
    }


@pytest.mark.parametrize("part", ["content", "signature", "key"])
@pytest.mark.parametrize("certified", [True, False], ids=["certificate", "key"])
@pytest.mark.parametrize("form", FORMS)
def test_t001_an_entry_about_something_else_is_refused(
    world: Sigstore,
    form: str,
    part: str,
    *,
    certified: bool,
) -> None:
    text, body = bodies(world, form, certified=certified)[part]
    bundle = json.loads(text)
    log = world.log_v2 if form == "hashedrekord 0.0.2" else world.log
    bundle["verificationMaterial"]["tlogEntries"] = [log.append(body)]
    who = CI if certified else keyed(world.signing_key)
    assert refused(world, bundle, who) == "log-entry-mismatch"


def test_t001_a_certificate_where_the_entry_has_a_key_is_another_key(world: Sigstore) -> None:
    for form in FORMS:
        bundle = world.sign(statement(), form=form)
        body = log_body(
            form,
            statement(),
            signed=pae(PAYLOAD_TYPE, statement()),
            signature=signature(bundle),
            certificate=None,
            key=world.signing_key,
        )
        log = world.log_v2 if form == "hashedrekord 0.0.2" else world.log
        bundle["verificationMaterial"]["tlogEntries"] = [log.append(body)]
        assert refused(world, bundle) == "log-entry-mismatch"


@pytest.mark.parametrize("form", ["dsse 0.0.1", "intoto 0.0.1", "intoto 0.0.2"])
def test_t001_an_entry_about_an_envelope_is_none_about_a_file(world: Sigstore, form: str) -> None:
    bundle = world.sign(b"a file", form=form, as_file=True)
    verifier = BundleVerifier(TrustedRoot.from_bytes(as_bytes(world.root())))
    read = read_bundle(as_bytes(bundle))
    assert code(lambda: verifier.certified(read, Artifact.of(b"a file"))) == "log-entry-mismatch"


def test_t001_the_payload_of_an_intoto_entry_is_compared_besides_its_envelope(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="intoto 0.0.1")
    body = json.loads(base64.b64decode(entry(bundle)["canonicalizedBody"]))
    body["spec"]["content"]["payloadHash"]["value"] = Digest.of(b"another").hex
    bundle["verificationMaterial"]["tlogEntries"] = [world.log.append(canonical(body))]
    assert refused(world, bundle) == "log-entry-mismatch"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"keyDetails": 7}, "log-entry-invalid"),
        ({"publicKey": {"rawBytes": ""}}, "log-entry-mismatch"),
        ({"more": {}}, "log-entry-mismatch"),
    ],
)
def test_t001_the_verifier_of_a_rekor_v2_entry_is_one_key_and_nothing_else(
    world: Sigstore, change: dict[str, Any], expected: str
) -> None:
    bundle = world.sign(statement())
    body = json.loads(base64.b64decode(entry(bundle)["canonicalizedBody"]))
    body["spec"]["hashedRekordV002"]["signature"]["verifier"] |= change
    bundle["verificationMaterial"]["tlogEntries"] = [world.log_v2.append(canonical(body))]
    assert refused(world, bundle) == expected


def test_t001_the_payload_type_of_an_intoto_entry_is_compared(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="intoto 0.0.2")
    body = json.loads(base64.b64decode(entry(bundle)["canonicalizedBody"]))
    body["spec"]["content"]["envelope"]["payloadType"] = "text/plain"
    bundle["verificationMaterial"]["tlogEntries"] = [world.log.append(canonical(body))]
    assert refused(world, bundle) == "log-entry-mismatch"


def without(value: dict[str, Any], *path: str) -> dict[str, Any]:
    changed = copy.deepcopy(value)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return changed


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("logId", "keyId"), to_base64(b"\0" * 32), "log-entry-invalid"),
        (("kindVersion", "kind"), "dsse", "log-entry-invalid"),
        (("kindVersion", "version"), "0.0.2", "log-entry-invalid"),
        (("logIndex",), "7", "log-entry-invalid"),
        (("logIndex",), "-1", "log-entry-invalid"),
        (("integratedTime",), "1", "log-entry-invalid"),
        (("inclusionPromise", "signedEntryTimestamp"), to_base64(b"promise"), "log-entry-invalid"),
        (("inclusionProof", "logIndex"), "0", "log-entry-invalid"),
        (("inclusionProof", "treeSize"), "3", "log-entry-invalid"),
        (("inclusionProof", "treeSize"), "0", "log-entry-invalid"),
        (("inclusionProof", "rootHash"), to_base64(b"\0" * 32), "log-entry-invalid"),
        (("inclusionProof", "hashes"), [], "log-entry-invalid"),
        (("inclusionProof", "hashes"), [to_base64(b"short")], "log-entry-invalid"),
        (("inclusionProof", "checkpoint", "envelope"), "nothing", "checkpoint-invalid"),
        (("inclusionProof",), None, "log-entry-invalid"),
        (("inclusionProof", "checkpoint"), None, "log-entry-invalid"),
        (("canonicalizedBody",), to_base64(b"{}"), "log-entry-invalid"),
        (("canonicalizedBody",), to_base64(b"not json"), "log-entry-invalid"),
        (("canonicalizedBody",), None, "log-entry-invalid"),
    ],
)
def test_t002_a_change_to_any_field_of_an_entry_is_refused(
    world: Sigstore, path: tuple[str, ...], value: Any, expected: str
) -> None:
    bundle = world.sign(statement(), form="hashedrekord 0.0.1", stamps=1)
    inner = entry(bundle)
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    assert refused(world, bundle) == expected


@pytest.mark.parametrize("path", [(), ("kindVersion",), ("logId",), ("inclusionPromise",), ("inclusionProof",)])
def test_t020_an_unknown_field_in_a_log_entry_is_refused(world: Sigstore, path: tuple[str, ...]) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1")
    inner = entry(bundle)
    for name in path:
        inner = inner[name]
    inner["LogIndex"] = "7"
    assert refused(world, bundle) == "field-unknown"


def test_t020_an_unknown_field_in_a_checkpoint_or_in_an_entry_of_rekor_v2_is_refused(world: Sigstore) -> None:
    bundle = world.sign(statement())
    entry(bundle)["inclusionProof"]["checkpoint"]["Envelope"] = ""
    assert refused(world, bundle) == "field-unknown"
    good = json.loads(base64.b64decode(entry(world.sign(statement()))["canonicalizedBody"]))
    for path in ((), ("hashedRekordV002",), ("hashedRekordV002", "data"), ("hashedRekordV002", "signature")):
        bundle = world.sign(statement())
        body = json.loads(base64.b64decode(entry(bundle)["canonicalizedBody"]))
        inner = body["spec"]
        for name in path:
            inner = inner[name]
        inner["Extra"] = good
        bundle["verificationMaterial"]["tlogEntries"] = [world.log_v2.append(canonical(body))]
        assert refused(world, bundle) == "field-unknown"


def test_t002_a_proof_about_a_neighbour_is_refused(world: Sigstore) -> None:
    bundle = world.sign(statement())
    other = world.log_v2.append(b'{"apiVersion":"0.0.2","kind":"hashedrekord"}')
    entry(bundle)["inclusionProof"] = other["inclusionProof"]
    assert refused(world, bundle) == "log-entry-invalid"
    entry(bundle)["logIndex"] = other["logIndex"]
    assert refused(world, bundle) == "log-entry-invalid"


def test_t002_the_place_of_an_entry_in_rekor_v2_is_that_of_its_proof(world: Sigstore) -> None:
    bundle = world.sign(statement())
    entry(bundle)["logIndex"] = "3"
    assert refused(world, bundle) == "log-entry-invalid"


def test_t002_rekor_v2_has_promised_nothing(world: Sigstore) -> None:
    world.log_v2.offset = 0
    assert refused(world, world.sign(statement(), promise=True, stamps=1)) == "log-entry-invalid"


@pytest.mark.parametrize("form", ["dsse 0.0.2", "rekord 0.0.1", "hashedrekord 0.0.3"])
def test_t002_a_kind_of_entry_that_is_not_known_is_refused(world: Sigstore, form: str) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1")
    kind, version = form.split()
    body = canonical({"apiVersion": version, "kind": kind, "spec": {}})
    bundle["verificationMaterial"]["tlogEntries"] = [world.log.append(body)]
    assert refused(world, bundle) == "log-entry-invalid"


def test_t002_a_bundle_of_version_01_needs_a_promise(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1", media_type=BUNDLE_V01, stamps=1)
    del entry(bundle)["inclusionPromise"]
    assert refused(world, bundle) == "log-entry-invalid"


def test_t002_an_old_proof_without_a_checkpoint_must_lead_to_its_root_all_the_same(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1", media_type=BUNDLE_V01)
    proof = world.sign(statement(), form="dsse 0.0.1")
    proof = entry(proof)["inclusionProof"]
    del proof["checkpoint"]
    entry(bundle)["inclusionProof"] = proof
    assert refused(world, bundle) == "log-entry-invalid"


@pytest.mark.parametrize("payload", [b"not json", b"[]", b"{}"])
def test_t003_a_payload_that_can_not_be_read_is_refused(world: Sigstore, payload: bytes) -> None:
    assert refused(world, world.sign(payload)) == "payload-malformed"


# T007, T008


def test_t007_a_key_is_no_certificate_and_a_certificate_no_key(world: Sigstore) -> None:
    assert refused(world, world.sign(statement(), keyed=True)) == "key-material-mismatch"
    assert refused(world, world.sign(statement()), keyed(world.signing_key)) == "key-material-mismatch"


def test_t007_who_verifies_by_one_kind_takes_no_other(world: Sigstore) -> None:
    verifier = BundleVerifier(TrustedRoot.from_bytes(as_bytes(world.root())))
    by_key, by_certificate = (read_bundle(as_bytes(world.sign(statement(), keyed=keyed))) for keyed in (True, False))
    public = parse_public_key(spki(world.signing_key))
    assert code(lambda: verifier.certified(by_key)) == "key-material-mismatch"
    assert code(lambda: verifier.keyed(by_certificate, public, KEYED)) == "key-material-mismatch"
    assert code(lambda: check_identity(verifier.keyed(by_key, public, KEYED), CI)) == "key-material-mismatch"


@pytest.mark.parametrize("form", ["der", "pem"])
def test_t007_a_key_in_the_certificates_place_is_refused(world: Sigstore, form: str) -> None:
    bundle = world.sign(statement())
    key = spki(world.signing_key)
    content = key if form == "der" else pem("PUBLIC KEY", key).encode()
    bundle["verificationMaterial"]["certificate"] = {"rawBytes": to_base64(content)}
    assert refused(world, bundle) == "key-material-mismatch"


def test_t008_a_root_that_the_bundle_brings_is_not_believed(world: Sigstore) -> None:
    attacker = CertificateAuthority(world.clock, logs=world.ca.logs)
    certificate = attacker.certify(world.signing_key)
    bundle = world.sign(statement(), certificate=certificate)
    assert refused(world, bundle) == "chain-untrusted"
    for chain in (
        [certificate, der(attacker.intermediate)],
        [certificate, der(attacker.intermediate), der(attacker.root)],
    ):
        bundle["verificationMaterial"].pop("certificate", None)
        bundle["verificationMaterial"]["x509CertificateChain"] = {
            "certificates": [{"rawBytes": to_base64(one)} for one in chain]
        }
        assert refused(world, bundle) == "chain-untrusted"


def test_t008_the_good_root_in_a_bundle_is_refused_and_an_intermediate_is_left_aside(world: Sigstore) -> None:
    certificate = world.ca.certify(world.signing_key)
    bundle = world.sign(statement(), certificate=certificate, media_type=BUNDLE_V02)
    chain = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    chain.append({"rawBytes": to_base64(der(world.ca.intermediate))})
    assert verify(world, bundle).signer == CI
    chain.append({"rawBytes": to_base64(der(world.ca.root))})
    assert refused(world, bundle) == "chain-untrusted"
    chain[1:] = [{"rawBytes": to_base64(certificate)}]
    assert refused(world, bundle) == "chain-untrusted"
    chain[1:] = [{"rawBytes": to_base64(b"no certificate")}]
    assert refused(world, bundle) == "certificate-invalid"


def test_t008_an_authority_of_the_same_name_is_another_one(world: Sigstore) -> None:
    decoy = CertificateAuthority(world.clock)
    root = world.root(certificateAuthorities=[decoy.entry(), world.ca.entry()])
    assert verify(world, world.sign(statement()), root=root).signer == CI
    assert (
        refused(world, world.sign(statement()), root=world.root(certificateAuthorities=[decoy.entry()]))
        == "chain-untrusted"
    )


# T009


def test_t009_one_log_counts_once_however_many_entries_it_makes(world: Sigstore) -> None:
    two = Requirements(logs=2)
    bundle = world.sign(statement(), form="dsse 0.0.1")
    assert refused(world, bundle, asked=two) == "threshold-not-met"
    entries = bundle["verificationMaterial"]["tlogEntries"]
    entries.append(copy.deepcopy(entries[0]))
    assert refused(world, bundle, asked=two) == "threshold-not-met"
    entries[1] = world.log.append(base64.b64decode(entries[0]["canonicalizedBody"]))
    assert refused(world, bundle, asked=two) == "threshold-not-met"


def test_t009_one_log_under_two_ids_counts_once(world: Sigstore) -> None:
    twin = TransparencyLog(world.clock, name="twin.test", key=world.log.key)
    bundle = world.sign(statement(), form="dsse 0.0.1")
    body = base64.b64decode(entry(bundle)["canonicalizedBody"])
    alias = twin.append(body, promise=False)
    listed = twin.entry()
    listed["logId"] = alias["logId"] = {"keyId": to_base64(twin.key_id[:4] + b"another id")}
    bundle["verificationMaterial"]["tlogEntries"].append(alias)
    root = world.root(tlogs=[world.log.entry(), listed])
    assert verify(world, bundle, root=root).signer == CI
    assert refused(world, bundle, asked=Requirements(logs=2), root=root) == "threshold-not-met"


def test_t009_two_logs_are_two(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1", stamps=1)
    other = log_body(
        "hashedrekord 0.0.2",
        statement(),
        signed=pae(PAYLOAD_TYPE, statement()),
        signature=signature(bundle),
        certificate=load(bundle),
        key=world.signing_key,
    )
    bundle["verificationMaterial"]["tlogEntries"].append(world.log_v2.append(other))
    assert verify(world, bundle, asked=Requirements(logs=2)).signer == CI
    assert refused(world, bundle, asked=Requirements(logs=3)) == "threshold-not-met"


def load(bundle: dict[str, Any]) -> bytes:
    return base64.b64decode(bundle["verificationMaterial"]["certificate"]["rawBytes"])


def test_t009_one_authority_counts_once_however_many_stamps_it_makes(world: Sigstore) -> None:
    other = TimestampAuthority(world.clock, name="other.test")
    bundle = world.sign(statement())
    first = world.tsa.stamp(signature(bundle))
    world.pass_time(seconds=1)
    second = world.tsa.stamp(signature(bundle))
    two = Requirements(timestamps=2)
    root = world.root(timestampAuthorities=[world.tsa.entry(), other.entry()])
    assert refused(world, stamp(bundle, first), asked=two, root=root) == "threshold-not-met"
    assert refused(world, stamp(bundle, first, second), asked=two, root=root) == "threshold-not-met"
    both = stamp(bundle, first, other.stamp(signature(bundle)))
    assert verify(world, both, asked=two, root=root).proved_time == START


def test_t009_one_certificate_log_counts_once(world: Sigstore) -> None:
    log = world.ca.logs[0]
    two = Requirements(certificate_logs=2)
    world.ca.logs = [log, log]
    bundle = world.sign(statement())
    root = world.root(ctlogs=[log.entry()])
    assert refused(world, bundle, asked=two, root=root) == "threshold-not-met"
    world.ca.logs = [log, CertificateLog("ct2.test")]
    assert verify(world, world.sign(statement()), asked=two).signer == CI


def test_t009_the_same_entry_or_stamp_twice_is_refused_even_where_one_is_enough(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1")
    entries = bundle["verificationMaterial"]["tlogEntries"]
    entries.append(copy.deepcopy(entries[0]))
    assert refused(world, bundle) == "log-entry-invalid"
    bundle = world.sign(statement())
    made = world.tsa.stamp(signature(bundle))
    assert refused(world, stamp(bundle, made, made)) == "timestamp-untrusted"


# T010, T011, T013: time


def test_t010_a_key_signs_within_its_validity_at_the_proven_time_and_not_now(world: Sigstore) -> None:
    bundle = world.sign(statement(), keyed=True)
    now_only = Validity(start=NOW - timedelta(days=1))
    then_only = Validity(end=START)
    assert refused(world, bundle, keyed(world.signing_key, valid=now_only)) == "key-not-valid-at-time"
    assert verify(world, bundle, keyed(world.signing_key, valid=then_only)).proved_time == START
    before = Validity(end=START - timedelta(seconds=1))
    assert refused(world, bundle, keyed(world.signing_key, valid=before)) == "key-not-valid-at-time"


def test_t010_every_proven_time_must_lie_in_the_validity_of_the_key(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1", keyed=True)
    world.pass_time(days=1)
    late = stamp(bundle, world.tsa.stamp(signature(bundle)))
    assert refused(world, late, keyed(world.signing_key, valid=Validity(end=START))) == "key-not-valid-at-time"


def test_t010_a_keyless_signer_has_a_validity_too(world: Sigstore) -> None:
    late = KeylessIdentity(name="ci", issuer=ISSUER, subject=IDENTITY, valid=Validity(end=START - timedelta(seconds=1)))
    assert refused(world, world.sign(statement()), late) == "key-not-valid-at-time"


def test_t010_without_a_proven_time_a_key_is_judged_now(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="", keyed=True, stamps=0)
    assert verify(world, bundle, keyed(world.signing_key)).proved_time is None
    past = Validity(end=NOW - timedelta(seconds=1))
    assert refused(world, bundle, keyed(world.signing_key, valid=past)) == "key-not-valid-at-time"


def test_t011_the_whole_chain_is_valid_at_the_proven_time(world: Sigstore) -> None:
    world.ca = CertificateAuthority(world.clock, logs=world.ca.logs, intermediate_end=START - timedelta(seconds=1))
    assert refused(world, world.sign(statement())) == "certificate-expired"
    world.ca = CertificateAuthority(world.clock, logs=world.ca.logs, end=START, intermediate_end=START)
    assert verify(world, world.sign(statement())).signer == CI
    world.pass_time(seconds=1)
    assert refused(world, world.sign(statement())) == "certificate-expired"


@pytest.mark.parametrize(("minutes", "good"), [(-0.1, False), (0, True), (10, True), (10.1, False)])
def test_t011_the_leaf_is_valid_at_both_of_its_ends_and_not_beyond(
    world: Sigstore,
    minutes: float,
    good: bool,  # noqa: FBT001
) -> None:
    certificate = world.ca.certify(world.signing_key, minutes=10)
    world.pass_time(minutes=minutes)
    bundle = world.sign(statement(), certificate=certificate)
    if good:
        assert verify(world, bundle).proved_time == START + timedelta(minutes=minutes)
    else:
        assert refused(world, bundle) == "certificate-expired"


def test_t011_every_proven_time_must_lie_in_the_validity_of_the_certificate(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1", stamps=1)
    world.pass_time(minutes=11)
    late = world.tsa.stamp(signature(bundle))
    assert refused(world, stamp(bundle, late)) == "certificate-expired"
    v2 = world.sign(statement(), certificate=load(bundle))
    world.now = START
    early = world.tsa.stamp(signature(v2))
    world.pass_time(minutes=11)
    assert verify(world, stamp(v2, early)).proved_time == START
    assert refused(world, stamp(v2, early, world.tsa.stamp(signature(v2)))) == "certificate-expired"


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_t011_authorities_are_trusted_at_both_ends_of_their_interval_and_not_beyond(
    world: Sigstore, seconds: int
) -> None:
    bundle = world.sign(statement())
    at = START + timedelta(seconds=seconds)
    ends = world.root(certificateAuthorities=[world.ca.entry(end=at)])
    starts = world.root(certificateAuthorities=[world.ca.entry(start=at)])
    if seconds >= 0:
        assert verify(world, bundle, root=ends).signer == CI
    else:
        assert refused(world, bundle, root=ends) == "chain-untrusted"
    if seconds <= 0:
        assert verify(world, bundle, root=starts).signer == CI
    else:
        assert refused(world, bundle, root=starts) == "chain-untrusted"


@pytest.mark.parametrize("seconds", [-1, 0, 1])
@pytest.mark.parametrize("form", ["dsse 0.0.1", "hashedrekord 0.0.2"])
def test_t011_logs_are_trusted_at_both_ends_of_their_interval_and_not_beyond(
    world: Sigstore, form: str, seconds: int
) -> None:
    bundle = world.sign(statement(), form=form)
    log = world.log if form == "dsse 0.0.1" else world.log_v2
    at = START + timedelta(seconds=seconds)
    ends, starts = world.root(tlogs=[log.entry(end=at)]), world.root(tlogs=[log.entry(start=at)])
    for root, good in ((ends, seconds >= 0), (starts, seconds <= 0)):
        if good:
            assert verify(world, bundle, root=root).signer == CI
        else:
            assert refused(world, bundle, root=root) == "log-entry-invalid"


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_t012_timestamp_authorities_are_trusted_at_both_ends_of_their_interval_and_not_beyond(
    world: Sigstore, seconds: int
) -> None:
    bundle = world.sign(statement())
    at = START + timedelta(seconds=seconds)
    for entry_, good in ((world.tsa.entry(end=at), seconds >= 0), (world.tsa.entry(start=at), seconds <= 0)):
        root = world.root(timestampAuthorities=[entry_])
        if good:
            assert verify(world, bundle, root=root).signer == CI
        else:
            assert refused(world, bundle, root=root) == "timestamp-untrusted"


def test_t012_the_interval_of_another_authority_lends_nothing(world: Sigstore) -> None:
    bundle = world.sign(statement())
    other = TimestampAuthority(world.clock, name="other.test")
    past = world.tsa.entry(end=START - timedelta(seconds=1))
    assert refused(world, bundle, root=world.root(timestampAuthorities=[past, other.entry()])) == "timestamp-untrusted"


@pytest.mark.parametrize(
    "authority",
    [
        {"extended": (ExtendedKeyUsageOID.CODE_SIGNING,)},
        {"extended": (ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING)},
        {"critical": False},
        {"end": START - timedelta(seconds=1)},
        {"start": START + timedelta(seconds=1)},
    ],
    ids=["wrong usage", "two usages", "not critical", "expired", "not yet"],
)
def test_t012_a_certificate_that_may_not_stamp_proves_no_time(world: Sigstore, authority: dict[str, Any]) -> None:
    world.tsa = TimestampAuthority(world.clock, **authority)
    assert refused(world, world.sign(statement())) == "timestamp-untrusted"


def test_t012_an_authority_that_is_not_configured_proves_no_time(world: Sigstore) -> None:
    bundle = world.sign(statement())
    foreign = TimestampAuthority(world.clock)
    for embed in ((), (foreign.certificate, foreign.root), (foreign.certificate,)):
        assert refused(world, stamp(bundle, foreign.stamp(signature(bundle), embed=embed))) == "timestamp-untrusted"


@pytest.mark.parametrize(
    "bent",
    [
        {"by": "tsa", "key": "foreign"},
        {"algorithm": "sha1"},
        {"status": 2},
        {"status": 1},
        {"signers": 2},
        {"signers": 0},
        {"version": 2},
        {"essential": False},
        {"extensions": tlv(0xA1, tlv(0x30))},
        {"content_type": "1.2.840.113549.1.7.1"},
    ],
    ids=lambda bent: " ".join(bent) if isinstance(bent, dict) else str(bent),
)
def test_t012_a_token_that_does_not_hold_is_refused(world: Sigstore, bent: dict[str, Any]) -> None:
    bundle = world.sign(statement())
    options = dict(bent)
    if "by" in options:
        options |= {"by": world.tsa, "key": new_ec()}
    token = world.tsa.stamp(signature(bundle), **options)
    expected = "timestamp-untrusted" if "by" in options else "timestamp-malformed"
    assert refused(world, stamp(bundle, token)) == expected


MORE = tlv(0x02, b"\7")
SHAPES: dict[str, Any] = {
    "after the token": MORE,
    "after the data": MORE,
    "after the signers": MORE,
    "after the content": MORE,
    "after the signer": MORE,
    "after the imprint": MORE,
    "after an attribute": MORE,
    "after the signer's name": MORE,
    "among the attributes": sequence(oid("1.2.3"), tlv(0x31, MORE, MORE)),
    "the parameters": tlv(0x05, b"\0"),
    "the version": 4,
    "the signer's version": 3,
    "the signer's name": tlv(0x80, b"a key's identifier"),
    "the digests": "sha512",
    "the token's type": "1.2.840.113549.1.7.1",
    "the content's type": "1.2.840.113549.1.7.1",
    "the content": b"something else",
}


@pytest.mark.parametrize("place", SHAPES)
def test_t012_a_token_of_another_shape_is_refused(world: Sigstore, place: str) -> None:
    bundle = world.sign(statement())
    token = world.tsa.stamp(signature(bundle), bent={place: SHAPES[place]})
    assert refused(world, stamp(bundle, token)) == "timestamp-malformed"


def test_t012_an_attribute_that_stands_there_twice_is_refused(world: Sigstore) -> None:
    bundle = world.sign(statement())
    again = sequence(oid("1.2.840.113549.1.9.3"), tlv(0x31, oid("1.2.840.113549.1.9.16.1.4")))
    token = world.tsa.stamp(signature(bundle), bent={"among the attributes": again})
    assert refused(world, stamp(bundle, token)) == "timestamp-malformed"


def test_t012_more_attributes_and_parameters_that_are_null_are_read(world: Sigstore) -> None:
    bundle = world.sign(statement())
    more = {"among the attributes": sequence(oid("1.2.3"), tlv(0x31, MORE)), "the parameters": tlv(0x05)}
    assert verify(world, stamp(bundle, world.tsa.stamp(signature(bundle), bent=more))).proved_time == START


def test_t012_a_signer_may_be_named_by_its_key(world: Sigstore) -> None:
    bundle = world.sign(statement())
    digest = x509.SubjectKeyIdentifier.from_public_key(world.tsa.key.public_key()).digest
    for name, good in ((digest, True), (b"another", False)):
        named_so = {"the signer's version": 3, "the signer's name": tlv(0x80, name)}
        changed = stamp(bundle, world.tsa.stamp(signature(bundle), bent=named_so))
        if good:
            assert verify(world, changed).proved_time == START
        else:
            assert refused(world, changed) == "timestamp-untrusted"


@pytest.mark.parametrize("kind", ["1.2.840.113549.1.1.11", "1.2.840.113549.1.1.1", "1.3.101.112", "1.2.840.10045.4.1"])
def test_t012_a_signature_of_another_kind_than_its_key_is_refused(world: Sigstore, kind: str) -> None:
    bundle = world.sign(statement())
    assert refused(world, stamp(bundle, world.tsa.stamp(signature(bundle), kind=kind))) == "timestamp-untrusted"


@pytest.mark.parametrize("kind", ["1.2.840.113549.1.1.11", "1.2.840.113549.1.1.1"])
def test_t012_an_authority_with_an_rsa_key_is_believed(world: Sigstore, kind: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    world.tsa = TimestampAuthority(world.clock, key=key)
    bundle = world.sign(statement())
    assert verify(world, stamp(bundle, world.tsa.stamp(signature(bundle), kind=kind))).proved_time == START


def test_t012_an_issuer_that_may_not_issue_has_no_authority_below_it(world: Sigstore) -> None:
    for extensions in (
        [],
        [(x509.BasicConstraints(ca=True, path_length=0), True), (usage(signs=True), True)],
        [
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
        ],
    ):
        world.tsa = TimestampAuthority(world.clock, root_extensions=extensions)
        assert refused(world, world.sign(statement())) == "timestamp-untrusted"


def test_t012_a_stamp_of_a_configured_authority_must_hold_even_where_none_is_needed(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1")
    foreign = TimestampAuthority(world.clock, name="foreign.test")
    assert verify(world, stamp(bundle, foreign.stamp(signature(bundle)))).proved_time == START
    assert refused(world, stamp(bundle, world.tsa.stamp(b"another signature"))) == "timestamp-untrusted"


def test_t012_a_token_about_other_bytes_is_refused(world: Sigstore) -> None:
    bundle = world.sign(statement())
    assert refused(world, stamp(bundle, world.tsa.stamp(b"another signature"))) == "timestamp-untrusted"


def test_t012_a_token_made_for_another_certificate_of_the_same_key_is_refused(world: Sigstore) -> None:
    twin = TimestampAuthority(world.clock, key=world.tsa.key, root_key=world.tsa.root_key)
    bundle = world.sign(statement())
    good, other = world.tsa.stamp(signature(bundle)), twin.stamp(signature(bundle))
    names = [sequence_of(one) for one in (world.tsa, twin)]
    assert refused(world, stamp(bundle, other.replace(names[1], names[0]))) == "timestamp-untrusted"
    assert verify(world, stamp(bundle, good)).signer == CI


def sequence_of(authority: TimestampAuthority) -> bytes:
    return integer(authority.certificate.serial_number)


def test_t012_two_certificates_in_a_token_do_not_confuse(world: Sigstore) -> None:
    bundle = world.sign(statement())
    foreign = TimestampAuthority(world.clock)
    good = world.tsa.stamp(signature(bundle), embed=(foreign.certificate, world.tsa.certificate))
    assert verify(world, stamp(bundle, good)).signer == CI
    forged = world.tsa.stamp(
        signature(bundle), embed=(world.tsa.certificate, foreign.certificate), by=foreign, key=foreign.key
    )
    assert refused(world, stamp(bundle, forged)) == "timestamp-untrusted"


def test_t012_a_certificate_that_a_token_brings_counts_under_a_configured_authority_alone(world: Sigstore) -> None:
    bundle = world.sign(statement())
    above = authority_entry("https://tsa.test", [world.tsa.root], START - timedelta(days=1), None)
    root = world.root(timestampAuthorities=[above])
    brought = world.tsa.stamp(signature(bundle), embed=(world.tsa.certificate,))
    assert verify(world, stamp(bundle, brought), root=root).signer == CI
    assert refused(world, stamp(bundle, world.tsa.stamp(signature(bundle))), root=root) == "timestamp-untrusted"
    foreign = TimestampAuthority(world.clock)
    stranger = foreign.stamp(signature(bundle), embed=(foreign.certificate, world.tsa.root))
    assert refused(world, stamp(bundle, stranger), root=root) == "timestamp-untrusted"


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_t012_fractions_and_longer_hashes_are_read(world: Sigstore, algorithm: str) -> None:
    bundle = world.sign(statement())
    token = world.tsa.stamp(signature(bundle), algorithm=algorithm, fraction=".25")
    assert verify(world, stamp(bundle, token)).proved_time == START + timedelta(milliseconds=250)


def test_t013_a_time_that_nobody_signed_is_no_time(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1", stamps=1)
    assert verify(world, bundle).proved_time == START
    unpromised = without(bundle, "verificationMaterial", "timestampVerificationData")
    assert verify(world, unpromised).proved_time == START
    del entry(bundle)["inclusionPromise"]
    entry(bundle)["integratedTime"] = "1"
    assert verify(world, bundle).proved_time == START
    neither = without(bundle, "verificationMaterial", "timestampVerificationData")
    entry(neither)["integratedTime"] = str(int(START.timestamp()))
    assert refused(world, neither) == "time-unproven"


def test_t013_a_certificate_without_a_time_is_refused_whatever_is_asked(world: Sigstore) -> None:
    bundle = world.sign(statement(), stamps=0)
    for asked in (STRICT, PRIVATE, STRICT.unsafe_without_log()):
        assert refused(world, bundle, asked=asked) == "time-unproven"


# T014


def noted(world: Sigstore, note: Callable[[TransparencyLog, str], str], form: str = "hashedrekord 0.0.2") -> str:
    bundle = world.sign(statement(), form=form)
    log = world.log if form == "dsse 0.0.1" else world.log_v2
    proof = entry(bundle)["inclusionProof"]
    proof["checkpoint"]["envelope"] = note(log, proof["checkpoint"]["envelope"])
    return refused(world, bundle)


def text_of(
    log: TransparencyLog, *, origin: str | None = None, size: str | None = None, root: str | None = None
) -> str:
    lines = [
        log.origin if origin is None else origin,
        str(len(log.entries)) if size is None else size,
        to_base64(tree_hash(log.entries)) if root is None else root,
    ]
    return "".join(f"{line}\n" for line in lines if line)


TRICKS: dict[str, Callable[[TransparencyLog, str], str]] = {
    "no origin": lambda log, _: log.note(text_of(log, origin="")),
    "no size": lambda log, _: log.note(text_of(log, size="")),
    "no root": lambda log, _: log.note(text_of(log, root="")),
    "another origin": lambda log, _: log.note(text_of(log, origin="evil.test")),
    "another origin and name": lambda log, _: log.note(text_of(log, origin="evil.test"), name="evil.test"),
    "another name": lambda log, _: log.note(text_of(log), name="evil.test"),
    "a size with zeros": lambda log, _: log.note(text_of(log, size=f"0{len(log.entries)}")),
    "a negative size": lambda log, _: log.note(text_of(log, size="-1")),
    "another size": lambda log, _: log.note(text_of(log, size="99")),
    "another root": lambda log, _: log.note(text_of(log, root=to_base64(leaf_hash(b"")))),
    "a short root": lambda log, _: log.note(text_of(log, root=to_base64(b"short"))),
    "a root that is not base64": lambda log, _: log.note(text_of(log, root="!!!")),
    "another log's key": lambda log, _: log.note(text_of(log), key=ed25519.Ed25519PrivateKey.generate()),
    "a hint that is another's": lambda log, _: log.note(text_of(log), hint=b"\0\0\0\0"),
    "no signature": lambda _, note: note.partition("\n\n")[0] + "\n\n",
    "no empty line": lambda _, note: note.replace("\n\n", "\n"),
    "no final newline": lambda _, note: note[:-1],
    "a hyphen for the dash": lambda _, note: note.replace("—", "-"),
    "a signature without content": lambda log, note: note.partition("— ")[0] + f"— {log.name} {to_base64(b'four')}\n",
    "a colliding hint": lambda log, note: (
        note + note_line(log.name, log.key_id, ed25519.Ed25519PrivateKey.generate().sign(b"another text"))
    ),
    "a witness that ends no line": lambda _, note: note + note_line("witness.test", b"wit1", b"other")[:-1],
    "a witness without content": lambda _, note: note + f"— witness.test {to_base64(b'four')}\n",
    "a control character": lambda log, _: log.note(text_of(log) + "more\tof it\n"),
    "an empty line in the text": lambda log, _: log.note(text_of(log) + "\n" + "more\n"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_t014_a_checkpoint_that_plays_tricks_is_refused(world: Sigstore, trick: str) -> None:
    assert noted(world, TRICKS[trick]) == "checkpoint-invalid"


def test_t014_a_root_has_32_bytes_whoever_reads_it(world: Sigstore) -> None:
    text = text_of(world.log_v2, root=to_base64(b"short"))
    assert code(partial(Checkpoint.from_text, world.log_v2.note(text))) == "checkpoint-invalid"


def of_origin(origin: str, log: TransparencyLog, _: str) -> str:
    return log.note(text_of(log, origin=origin))


def test_t014_a_checkpoint_of_rekor_v1_has_the_name_of_its_signer(world: Sigstore) -> None:
    for origin in ("evil.test - 7", "rekor.test - x", "rekor.testing - 7", "rekor.test -7"):
        renamed = partial(of_origin, origin)
        assert noted(world, renamed, "dsse 0.0.1") == "checkpoint-invalid"
    bundle = world.sign(statement(), form="dsse 0.0.1")
    note = world.log.note(text_of(world.log, origin="rekor.test"))
    entry(bundle)["inclusionProof"]["checkpoint"]["envelope"] = note
    assert verify(world, bundle).signer == CI


def test_t014_signatures_of_witnesses_are_left_aside_wherever_they_stand(world: Sigstore) -> None:
    bundle = world.sign(statement())
    proof = entry(bundle)["inclusionProof"]
    text, _, signed = proof["checkpoint"]["envelope"].partition("\n\n")
    witness = note_line("witness.test", b"wit1", b"\4" + b"\0" * 71)
    again = note_line(world.log_v2.name, b"new1", b"another key of the same log")
    for lines in (witness + signed, signed + witness, witness + signed + again + witness, signed + signed):
        proof["checkpoint"]["envelope"] = f"{text}\n\n{lines}"
        assert verify(world, bundle).signer == CI


def test_t014_further_lines_of_a_checkpoint_are_covered_by_its_signature(world: Sigstore) -> None:
    bundle = world.sign(statement())
    note = world.log_v2.note(text_of(world.log_v2) + "Timestamp: 1689748607742585419\n")
    entry(bundle)["inclusionProof"]["checkpoint"]["envelope"] = note
    assert verify(world, bundle).signer == CI
    entry(bundle)["inclusionProof"]["checkpoint"]["envelope"] = note.replace("1689", "1690")
    assert refused(world, bundle) == "checkpoint-invalid"


def test_t014_a_log_with_a_checkpoint_key_id_of_its_own_is_known_by_that(world: Sigstore) -> None:
    listed = world.log_v2.entry()
    listed["checkpointKeyId"] = {"keyId": to_base64(b"another key id")}
    bundle = world.sign(statement())
    assert refused(world, bundle, root=world.root(tlogs=[listed])) == "checkpoint-invalid"
    note = world.log_v2.note(text_of(world.log_v2), hint=b"another key id")
    entry(bundle)["inclusionProof"]["checkpoint"]["envelope"] = note
    assert verify(world, bundle, root=world.root(tlogs=[listed])).signer == CI


# T015


def test_t015_limits_come_before_any_cryptography(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1")
    material = bundle["verificationMaterial"]
    entries = material["tlogEntries"]
    material["tlogEntries"] = entries * 33
    assert refused(world, bundle) == "limit-exceeded"
    material["tlogEntries"] = entries * 32
    assert refused(world, bundle) == "log-entry-invalid"
    material["tlogEntries"] = entries
    assert refused(world, stamp(bundle, *[b"x"] * 33)) == "limit-exceeded"


def test_t015_a_proof_of_64_hashes_is_read_and_of_65_is_not(world: Sigstore) -> None:
    bundle = world.sign(statement())
    for count, expected in ((64, "log-entry-invalid"), (65, "limit-exceeded")):
        entry(bundle)["inclusionProof"]["hashes"] = [to_base64(b"\0" * 32)] * count
        assert refused(world, bundle) == expected


def test_t015_a_checkpoint_of_100_signatures_is_read_and_of_101_is_not(world: Sigstore) -> None:
    log = world.log_v2
    for count, good in ((99, True), (100, False)):
        note = log.checkpoint() + note_line("witness.test", b"wit1", b"signature") * count
        if good:
            assert len(Checkpoint.from_text(note).signatures) == 100
        else:
            assert code(partial(Checkpoint.from_text, note)) == "limit-exceeded"
    assert code(lambda: Checkpoint.from_text("x" * (64 * 1024 + 1))) == "limit-exceeded"


def test_t015_a_certificate_and_a_stamp_have_a_size_that_is_enough(world: Sigstore) -> None:
    bundle = world.sign(statement())
    assert refused(world, stamp(bundle, b"\x30" * (256 * 1024 + 1))) == "size-limit"
    assert refused(world, stamp(bundle, b"\x30" * (256 * 1024))) == "timestamp-malformed"
    assert code(lambda: load_certificate(b"\x30" * (64 * 1024 + 1))) == "size-limit"
    assert code(lambda: load_certificate(b"\x30" * (64 * 1024))) == "certificate-invalid"


def test_t015_32_certificate_timestamps_are_read_and_33_are_not(world: Sigstore) -> None:
    log = world.ca.logs[0]
    for count, good in ((32, True), (33, False)):
        world.ca.logs = [log] * count
        bundle = world.sign(statement())
        root = world.root(ctlogs=[log.entry()])
        if good:
            assert verify(world, bundle, root=root).signer == CI
        else:
            assert refused(world, bundle, root=root) == "limit-exceeded"


# T016 to T019, T021, T022


def test_t016_there_is_exactly_one_signature(world: Sigstore) -> None:
    bundle = world.sign(statement())
    good = bundle["dsseEnvelope"]["signatures"][0]
    bad = {"sig": to_base64(raw_sign(new_ec(), b"else"))}
    for signatures in ([good, bad], [bad, good], [good, good], []):
        bundle["dsseEnvelope"]["signatures"] = signatures
        assert refused(world, bundle) == "signature-count"


def test_t016_an_entry_with_two_signatures_is_about_something_else(world: Sigstore) -> None:
    for form in ("dsse 0.0.1", "intoto 0.0.2"):
        bundle = world.sign(statement(), form=form)
        body = json.loads(base64.b64decode(entry(bundle)["canonicalizedBody"]))
        holder = body["spec"] if form == "dsse 0.0.1" else body["spec"]["content"]["envelope"]
        holder["signatures"] *= 2
        bundle["verificationMaterial"]["tlogEntries"] = [world.log.append(canonical(body))]
        assert refused(world, bundle) == "log-entry-mismatch"


def test_t017_the_payload_type_is_signed_and_exact(world: Sigstore) -> None:
    bundle = world.sign(statement())
    bundle["dsseEnvelope"]["payloadType"] = "application/json"
    assert refused(world, bundle) == "payload-type-mismatch"
    other = world.sign(statement())
    made = raw_sign(world.signing_key, pae("application/json", statement()))
    other["dsseEnvelope"]["signatures"] = [{"sig": to_base64(made)}]
    assert refused(world, other) == "signature-invalid"


@pytest.mark.parametrize("change", [lambda s: s + "!", lambda s: s[:4] + " " + s[4:], lambda s: s.rstrip("=") + "==="])
def test_t018_a_payload_in_another_encoding_is_refused(world: Sigstore, change: Callable[[str], str]) -> None:
    bundle = world.sign(statement())
    bundle["dsseEnvelope"]["payload"] = change(bundle["dsseEnvelope"]["payload"])
    assert refused(world, bundle) == "payload-encoding"


def test_t019_a_bundle_that_two_readers_read_differently_is_refused(world: Sigstore) -> None:
    content = as_bytes(world.sign(statement()))
    assert refused(world, content[:-1] + b',"dsseEnvelope":{}}') == "json-ambiguous"


def test_t021_a_certificate_with_a_weak_key_or_hash_is_refused(world: Sigstore) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  what must be refused
    assert refused(world, world.sign(statement(), form="dsse 0.0.1", key=weak)) == "algorithm-not-allowed"
    odd = ec.generate_private_key(ec.SECP224R1())
    certificate = world.ca.certify(odd)
    assert refused(world, world.sign(statement(), certificate=certificate)) == "algorithm-not-allowed"


def test_t021_an_authority_with_a_weak_key_is_refused(world: Sigstore) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  what must be refused
    world.ca = CertificateAuthority(world.clock, logs=world.ca.logs, key=weak)
    assert refused(world, world.sign(statement())) == "algorithm-not-allowed"


def test_t021_an_authority_that_signs_with_sha1_issued_nothing(world: Sigstore) -> None:
    """cryptography does not make such certificates any more, so SHA-224 stands for every hash outside the list."""
    leaf = load_certificate(world.ca.certify(world.signing_key))
    builder = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(leaf.issuer)
        .public_key(leaf.public_key())
        .serial_number(leaf.serial_number)
        .not_valid_before(leaf.not_valid_before_utc)
        .not_valid_after(leaf.not_valid_after_utc)
    )
    for extension in leaf.extensions:
        if not isinstance(extension.value, x509.PrecertificateSignedCertificateTimestamps):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    weak = der(builder.sign(world.ca.key, hashes.SHA224()))
    bundle = world.sign(statement(), certificate=weak)
    assert refused(world, bundle, asked=PRIVATE) == "chain-untrusted"


def test_t021_a_key_on_a_curve_that_nobody_knows_is_refused(world: Sigstore) -> None:
    curve, unknown = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030177")
    certificate = world.ca.certify(world.signing_key).replace(curve, unknown)
    assert refused(world, world.sign(statement(), certificate=certificate)) == "algorithm-not-allowed"


def test_t021_a_signature_with_another_hash_is_refused(world: Sigstore) -> None:
    key = world.signing_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    bundle = world.sign(statement(), form="", keyed=True)
    made = key.sign(pae(PAYLOAD_TYPE, statement()), ec.ECDSA(hashes.SHA512()))
    bundle["dsseEnvelope"]["signatures"] = [{"sig": to_base64(made)}]
    assert refused(world, stamp(bundle), keyed(key)) == "algorithm-not-allowed"


def test_t022_another_root_believes_nothing_of_this_one(world: Sigstore) -> None:
    bundle = world.sign(statement(), form="dsse 0.0.1")
    other = Sigstore()
    assert refused(world, bundle, root=other.root()) == "chain-untrusted"
    mixed = other.root(certificateAuthorities=[world.ca.entry()])
    assert refused(world, bundle, root=mixed) == "log-entry-invalid"
    mixed = other.root(tlogs=[world.log.entry()], certificateAuthorities=[world.ca.entry()])
    assert refused(world, bundle, root=mixed) == "threshold-not-met"


# certificates: usage, constraints, certificate timestamps


def test_a_certificate_that_may_not_sign_code_is_refused(world: Sigstore) -> None:
    key = world.signing_key
    for certificate in (
        world.ca.certify(key, extended=ExtendedKeyUsageOID.EMAIL_PROTECTION),
        world.ca.certify(key, extended=ExtendedKeyUsageOID.TIME_STAMPING),
        world.ca.certify(key, signs=False),
        world.ca.certify(key, more=[(x509.BasicConstraints(ca=True, path_length=None), True)]),
        world.ca.certify(key, more=[(x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\5\0"), True)]),
    ):
        assert refused(world, world.sign(statement(), certificate=certificate)) == "certificate-invalid"


def test_an_authority_that_may_not_issue_is_refused(world: Sigstore) -> None:
    world.ca.purpose = ExtendedKeyUsageOID.SERVER_AUTH
    world.ca.__post_init__()
    assert refused(world, world.sign(statement())) == "certificate-invalid"
    world.ca.purpose = None
    world.ca.__post_init__()
    assert verify(world, world.sign(statement())).signer == CI
    good = world.ca.intermediate
    times = {"start": world.ca.start, "end": world.ca.end}
    basic = (x509.BasicConstraints(ca=True, path_length=0), True)
    names = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=[x509.DNSName("evil.test")])
    for extensions in (
        [],
        [(x509.BasicConstraints(ca=False, path_length=None), True)],
        [basic, (usage(signs=True), True)],
        [basic, (names, False)],
        [basic, (x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\5\0"), True)],
    ):
        world.ca.intermediate = issue(
            good.subject,
            world.ca.key,
            named(world.ca.name, "root"),
            world.ca.root_key,
            extensions,
            **times,  # type: ignore[arg-type]
        )
        assert refused(world, world.sign(statement())) == "certificate-invalid"


def test_a_path_longer_than_its_root_allows_is_refused(world: Sigstore) -> None:
    below_key = new_ec()
    below_name = named(world.ca.name, "below")
    below = issue(
        below_name,
        below_key,
        world.ca.intermediate_name,
        world.ca.key,
        authority_extensions(below_key, None, 0),
        start=world.ca.start,
        end=world.ca.end,
    )
    chain = [below, world.ca.intermediate, world.ca.root]
    listed = authority_entry("https://ca.test", chain, world.ca.start, None)
    world.ca.intermediate_name, world.ca.key = below_name, below_key
    bundle = world.sign(statement())
    assert refused(world, bundle, root=world.root(certificateAuthorities=[listed])) == "certificate-invalid"


def test_a_certificate_timestamp_must_fit_certificate_and_issuer(world: Sigstore) -> None:
    log = world.ca.logs[0]
    impostor = CertificateLog(log.name)
    lying = CertificateLog(log.name, key=impostor.key)
    world.ca.logs = [lying]
    bundle = world.sign(statement())
    listed = log.entry()
    listed["logId"] = {"keyId": to_base64(lying.key_id)}
    assert refused(world, bundle, root=world.root(ctlogs=[listed])) == "certificate-timestamp-invalid"
    assert refused(world, bundle, root=world.root(ctlogs=[log.entry()])) == "threshold-not-met"
    assert verify(world, bundle, root=world.root(ctlogs=[lying.entry()])).signer == CI


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_certificate_logs_are_trusted_at_both_ends_of_their_interval_and_not_beyond(
    world: Sigstore, seconds: int
) -> None:
    bundle = world.sign(statement())
    log, at = world.ca.logs[0], START + timedelta(seconds=seconds)
    for listed, good in ((log.entry(end=at), seconds >= 0), (log.entry(start=at), seconds <= 0)):
        if good:
            assert verify(world, bundle, root=world.root(ctlogs=[listed])).signer == CI
        else:
            assert refused(world, bundle, root=world.root(ctlogs=[listed])) == "certificate-timestamp-invalid"


def test_a_certificate_timestamp_of_another_kind_than_its_key_is_refused(world: Sigstore) -> None:
    world.ca.logs = [CertificateLog(kind=b"\4\1")]
    assert refused(world, world.sign(statement())) == "certificate-timestamp-invalid"


@pytest.mark.parametrize("value", [b"", b"\4\1", tlv(0x04, b"\0\7junk"), tlv(0x04, b"\0\3\0\1\0"), tlv(0x04, b"")])
def test_a_list_of_certificate_timestamps_that_can_not_be_read_is_refused(world: Sigstore, value: bytes) -> None:
    junk = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"), value)
    world.ca.logs = []
    certificate = world.ca.certify(world.signing_key, more=[(junk, False)])
    assert refused(world, world.sign(statement(), certificate=certificate)) == "certificate-invalid"


def test_certificate_timestamps_with_extensions_and_of_rsa_logs_are_believed(world: Sigstore) -> None:
    bundle = world.sign(statement(), certificate=world.ca.certify(world.signing_key, sct_extensions=b"\0\0\5leaf"))
    assert verify(world, bundle).signer == CI
    world.ca.logs = [CertificateLog(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))]
    assert verify(world, world.sign(statement())).signer == CI


def test_a_certificate_that_names_two_issuers_is_refused(world: Sigstore) -> None:
    older = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), b"https://other.example")
    certificate = world.ca.certify(world.signing_key, old_issuer=False, more=[(older, False)])
    assert refused(world, world.sign(statement(), certificate=certificate)) == "certificate-invalid"


def test_an_older_issuer_that_is_not_utf8_is_refused(world: Sigstore) -> None:
    older = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), b"https://\xff")
    certificate = world.ca.certify(world.signing_key, issuer=None, more=[(older, False)])
    assert refused(world, world.sign(statement(), certificate=certificate)) == "certificate-invalid"


@pytest.mark.parametrize("value", [b"raw text", tlv(0x16, b"https://x"), tlv(0x0C, b"\xff"), tlv(0x0C, b"x") + b"y"])
def test_an_issuer_in_another_form_is_refused(world: Sigstore, value: bytes) -> None:
    newer = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), value)
    certificate = world.ca.certify(world.signing_key, issuer=None, more=[(newer, False)])
    assert refused(world, world.sign(statement(), certificate=certificate)) == "certificate-invalid"


# T035 to T040: identities


def signed_by(world: Sigstore, name: str | x509.GeneralName, issuer: str | None = ISSUER) -> dict[str, Any]:
    return world.sign(statement(), certificate=world.ca.certify(world.signing_key, name, issuer))


NEAR = [
    IDENTITY + "/",
    IDENTITY[:-1],
    "https://evil.test/" + IDENTITY,
    IDENTITY.replace("https", "http"),
    IDENTITY.replace("github.com", "github.com.evil.test"),
    IDENTITY.replace("github.com", "githubXcom"),
    IDENTITY.replace("acme", "acme-evil"),
    IDENTITY.replace("main", "main2"),
    IDENTITY.replace("build.yml", "build.yml?x=1"),
    IDENTITY + "#fragment",
]


@pytest.mark.parametrize("name", NEAR)
def test_t035_a_name_that_is_nearly_right_is_another_name(world: Sigstore, name: str) -> None:
    assert refused(world, signed_by(world, name)) == "identity-mismatch"


@pytest.mark.parametrize("name", [IDENTITY + "\n", "\n" + IDENTITY, IDENTITY + "\0", IDENTITY + " "])
def test_t037_a_name_with_something_unseen_is_another_name(world: Sigstore, name: str) -> None:
    assert refused(world, signed_by(world, x509.UniformResourceIdentifier(name))) == "identity-mismatch"


@pytest.mark.parametrize(
    "name", [IDENTITY.replace("a", "\u0430", 1), IDENTITY.upper(), IDENTITY.replace("acme", "acm\u00e9")]
)
def test_t038_a_name_that_looks_the_same_is_another_name(world: Sigstore, name: str) -> None:
    assert refused(world, signed_by(world, other_name(name))) == "identity-mismatch"


def test_t038_composed_and_decomposed_are_two_names_and_the_refusal_shows_code_points(world: Sigstore) -> None:
    who = KeylessIdentity(name="who", issuer=ISSUER, subject="caf\u00e9")
    assert verify(world, signed_by(world, other_name("caf\u00e9")), who).signer == who
    with pytest.raises(AttestationError) as error:
        verify(world, signed_by(world, other_name("cafe\u0301")), who)
    assert error.value.code == "identity-mismatch"
    assert "cafe\\u0301" in error.value.reasons[0].message


@pytest.mark.parametrize("issuer", [ISSUER + "/", "https://evil.test", ISSUER.upper(), None])
def test_t039_the_right_name_from_another_issuer_is_refused(world: Sigstore, issuer: str | None) -> None:
    assert refused(world, signed_by(world, IDENTITY, issuer)) == "issuer-mismatch"


def test_t039_name_and_issuer_must_be_of_one_identity(world: Sigstore) -> None:
    others: Sequence[Identity] = (
        KeylessIdentity(name="a", issuer="https://evil.test", subject=IDENTITY),
        KeylessIdentity(name="b", issuer=ISSUER, subject="dev@acme.example"),
    )
    assert refused(world, signed_by(world, IDENTITY), *others) == "issuer-mismatch"
    assert verify(world, signed_by(world, IDENTITY), *others, CI).signer == CI


def test_t040_a_workflow_at_another_reference_is_another_name(world: Sigstore) -> None:
    for reference in ("refs/pull/1/merge", "refs/heads/dev", "refs/tags/main"):
        assert refused(world, signed_by(world, IDENTITY.replace("refs/heads/main", reference))) == "identity-mismatch"


def test_t040_a_pattern_means_the_tags_of_one_workflow_and_a_revocation_one_of_them(world: Sigstore) -> None:
    workflow = "https://github.com/acme/shop/.github/workflows/release.yml"
    text = f"{workflow}@refs/tags/v*"
    many = KeylessIdentity(name="many", issuer=ISSUER, subject=text, pattern=SubjectPattern.parse(text))
    one, other = f"{workflow}@refs/tags/v1.0", f"{workflow}@refs/tags/v1.1"
    believed = verify(world, signed_by(world, one), many)
    assert (believed.signer, believed.subjects) == (many, (one,))
    assert refused(world, signed_by(world, f"{workflow}@refs/heads/v1.0"), many) == "identity-mismatch"
    assert refused(world, signed_by(world, one, "https://evil.test"), many) == "issuer-mismatch"
    revoked = Revocations(identities=((ISSUER, one, START - timedelta(days=1)),))
    assert revoked.reason_for(believed) is not None
    assert revoked.reason_for(verify(world, signed_by(world, other), many)) is None


def test_t040_what_is_claimed_of_a_workflow_must_be_in_the_certificate(world: Sigstore) -> None:
    def said(value: bytes | None) -> dict[str, Any]:
        claim = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.57264.1.11"), value or b"")
        more: Sequence[tuple[x509.ExtensionType, bool]] = [] if value is None else [(claim, False)]
        certificate = world.ca.certify(world.signing_key, IDENTITY, more=more)
        return world.sign(statement(), certificate=certificate)

    hosted = replace(CI, claims=(("runner-environment", "github-hosted"),))
    assert verify(world, said(tlv(0x0C, b"github-hosted")), hosted).signer == hosted
    assert refused(world, said(tlv(0x0C, b"self-hosted")), hosted) == "claim-mismatch"
    assert refused(world, said(tlv(0x0C, b"github-hosted ")), hosted) == "claim-mismatch"
    assert refused(world, said(None), hosted) == "claim-mismatch"
    assert refused(world, said(b"github-hosted"), hosted) == "certificate-invalid"


def test_a_certificate_that_names_nobody_is_nobody(world: Sigstore) -> None:
    certificate = world.ca.certify(world.signing_key, x509.DNSName("github.com"))
    assert refused(world, world.sign(statement(), certificate=certificate)) == "identity-mismatch"


# where no trusted root is pinned


def test_without_a_trusted_root_no_certificate_is_believed(world: Sigstore) -> None:
    bundle = read_bundle(as_bytes(world.sign(statement())))
    verifier = IdentityVerifier((CI,), NOW)
    assert code(lambda: verifier.verify(bundle, IMAGE)) == "chain-untrusted"  # type: ignore[arg-type]


def test_the_proof_of_a_tree_of_any_size_leads_to_its_root() -> None:
    leaves = [b"leaf %d" % number for number in range(9)]
    for size in range(1, len(leaves) + 1):
        for index in range(size):
            path = audit_path(index, leaves[:size])
            assert root_from(leaves[index], index, size, path) == tree_hash(leaves[:size])
            if path:
                assert code(partial(root_from, leaves[index], index, size, path[:-1])) == "log-entry-invalid"
