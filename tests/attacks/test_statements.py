"""Attacks on statements, subjects, predicates and on trust, each named by its row in the threat catalogue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from attestations.bundle import Bundle
from attestations.bundle_verifier import Sigstore as Pinned
from attestations.errors import AttestationError
from attestations.identity import Identity, KeyIdentity, KeylessIdentity, Validity
from attestations.records.admission import ADMISSION, admission_statement
from attestations.records.step import STEP, step_statement
from attestations.signers.identities import IdentityVerifier
from attestations.statement import STATEMENT_V01, STATEMENT_V1
from attestations.trusted_root import TrustedRoot
from attestations.verify import Verified, sift
from pipeline.anchors import Revocations, read
from pipeline.yaml_nodes import DefinitionError
from registries.checked import read_limited
from registries.digest import Digest
from registries.errors import ContentError, Refusal
from registries.limits import BUNDLE_BYTES
from tests.sigstore import IDENTITY, ISSUER, START, Sigstore, as_bytes, new_ec, pem, spki
from tests.unit.attestations.samples import ADMITTED, IMAGE, NOW, OTHER, STEPPED, identity, sealed, statement_json

CI = KeylessIdentity(name="ci", issuer=ISSUER, subject=IDENTITY)
LATER = START + timedelta(days=300)


def payload(**changes: Any) -> bytes:
    return json.dumps(statement_json(**changes)).encode()


def subject(digest: Digest, **more: Any) -> dict[str, Any]:
    return {"digest": {digest.algorithm: digest.hex}, **more}


def verify(content: bytes, about: Digest = IMAGE) -> Verified:
    return IdentityVerifier((identity(),), NOW).verify(sealed(content), about)


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def refused(content: bytes, about: Digest = IMAGE) -> str:
    return code(lambda: verify(content, about))


# T003 to T006, T019, T020


@pytest.mark.parametrize("content", [b"not json", b"[]", b"{}", b"null", b'"text"'])
def test_t003_a_signed_payload_that_is_no_statement_is_refused(content: bytes) -> None:
    assert refused(content) == "payload-malformed"


def test_t003_a_predicate_of_another_type_claims_nothing() -> None:
    admission = json.loads(admission_statement(ADMITTED, IMAGE).content)
    other = {**admission, "predicateType": "https://example.com/scan/v1"}
    assert verify(json.dumps(other).encode()).claim is None
    assert verify(json.dumps(admission).encode()).claim == ADMITTED


def test_t004_a_record_counts_as_exactly_its_own_type() -> None:
    admission = json.loads(admission_statement(ADMITTED, IMAGE).content)
    assert refused(json.dumps({**admission, "predicateType": STEP}).encode()) == "field-unknown"
    step = json.loads(step_statement(STEPPED, IMAGE).content)
    assert refused(json.dumps({**step, "predicateType": ADMISSION}).encode()) == "field-unknown"


def test_t005_of_nothing_nothing_is_believed() -> None:
    assert sift(IdentityVerifier((identity(),), NOW), (), IMAGE) == ((), ())


def test_t006_a_bundle_that_is_not_believed_is_a_reason_and_never_a_crash() -> None:
    bundles = (sealed(b"not json"), sealed(payload(subject=[subject(OTHER)])), sealed(payload()))
    verified, rejected = sift(IdentityVerifier((identity(),), NOW), bundles, IMAGE)
    assert len(verified) == 1
    assert [one.reason.code for one in rejected] == ["payload-malformed", "subject-mismatch"]


@pytest.mark.parametrize(
    "content",
    [
        payload()[:-1] + b',"subject":[]}',
        payload(predicate={"n": 1}).replace(b'"n": 1', b'"n": NaN'),
        payload(predicate={"n": 1}).replace(b'"n": 1', b'"n": Infinity'),
        payload(predicate={"n": "x"}).replace(b'"x"', b'"\\ud800"'),
        payload(predicate={"n": 1}).replace(b'"n": 1', b'"n": ' + b"[" * 70 + b"]" * 70),
        payload(predicate={"n": 1}).replace(b'"n": 1', b'"n": 9007199254740993'),
    ],
    ids=["twice", "NaN", "Infinity", "surrogate", "deep", "large"],
)
def test_t019_a_payload_that_two_readers_read_differently_is_refused(content: bytes) -> None:
    assert refused(content) == "json-ambiguous"


@pytest.mark.parametrize("name", ["Subject", "SUBJECT", "\u017fubject", "_TYPE", "predicatetype", "extra"])
def test_t020_a_name_that_only_looks_like_one_of_the_four_is_refused(name: str) -> None:
    assert refused(payload(**{name: []})) == "field-unknown"


# T024 to T034


@pytest.mark.parametrize("order", [(IMAGE, OTHER), (OTHER, IMAGE)], ids=["first", "second"])
def test_t024_a_record_has_one_subject_and_a_foreign_statement_may_have_several(order: tuple[Digest, Digest]) -> None:
    subjects = [subject(one) for one in order]
    assert verify(payload(subject=subjects)).claim is None
    record = json.loads(admission_statement(ADMITTED, IMAGE).content)
    assert refused(json.dumps({**record, "subject": subjects}).encode()) == "subject-count"


def test_t025_a_name_matches_nothing() -> None:
    assert refused(payload(subject=[subject(OTHER, name=f"app@{IMAGE}")])) == "subject-mismatch"
    assert verify(payload(subject=[subject(IMAGE, name="another/app")])).claim is None


def test_t026_a_statement_about_a_platform_is_none_about_its_index() -> None:
    platform, index = OTHER, IMAGE
    assert refused(payload(subject=[subject(platform)]), index) == "subject-mismatch"
    assert refused(payload(subject=[subject(index)]), platform) == "subject-mismatch"


def test_t027_the_digest_of_a_config_is_not_that_of_its_image() -> None:
    assert refused(payload(subject=[subject(Digest.of(b'{"config": "of the image"}'))])) == "subject-mismatch"


@pytest.mark.parametrize("change", ["/", "x", "#", "?", ".1", " "])
@pytest.mark.parametrize("kind", [ADMISSION, STEP])
def test_t028_a_type_that_is_nearly_ours_is_refused(kind: str, change: str) -> None:
    assert refused(payload(predicateType=kind + change)) == "predicate-type-mismatch"


@pytest.mark.parametrize("kind", [ADMISSION.upper(), ADMISSION.replace("https", "http")])
def test_t028_a_type_in_another_case_or_scheme_is_refused(kind: str) -> None:
    assert refused(payload(predicateType=kind)) == "predicate-type-mismatch"


def dropped(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The value with each of its members left out, at any depth."""
    for name, item in value.items():
        yield {other: kept for other, kept in value.items() if other != name}
        if isinstance(item, dict):
            for inner in dropped(item):
                yield {**value, name: inner}


@pytest.mark.parametrize("made", [admission_statement(ADMITTED, IMAGE), step_statement(STEPPED, IMAGE)])
def test_t030_no_field_of_a_record_can_be_left_out(made: Any) -> None:
    whole = json.loads(made.content)
    for predicate in dropped(whole["predicate"]):
        try:
            claim = verify(json.dumps({**whole, "predicate": predicate}).encode()).claim
        except AttestationError as error:
            assert error.code in ("predicate-incomplete", "payload-malformed")  # noqa: PT017
        else:
            assert claim not in (ADMITTED, STEPPED)


@pytest.mark.parametrize("version", ["https://in-toto.io/Statement/v2", "https://in-toto.io/statement/v1", "", None, 1])
def test_t032_another_version_of_a_statement_is_refused(version: Any) -> None:
    assert refused(payload(_type=version)) == "statement-version"
    for read_version in (STATEMENT_V1, STATEMENT_V01):
        assert verify(payload(_type=read_version)).claim is None


def test_t033_a_huge_predicate_is_stopped_while_it_is_read() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1024
            yield b" " * 1024

    with pytest.raises(ContentError) as error:
        read_limited(endless(), BUNDLE_BYTES)
    assert (error.value.code, taken) == ("size-limit", BUNDLE_BYTES + 1024)
    assert code(lambda: Bundle.from_bytes(b" " * (BUNDLE_BYTES + 1))) == "size-limit"


# T036, T041 to T046: trust


TRUST = """\
samebits-trust: 1
pipeline: shop
owners: {threshold: 1, signers: [owner]}
signers: {owner: {key: keys/owner.pub}}
registries: [registry.example]
sigstore: {trusted-root: root.json%s}
"""


def trusting(options: str = "", *, world: Sigstore | None = None, root: bytes | None = None) -> Any:
    world = world or Sigstore()
    files = {"root.json": root or as_bytes(world.root()), "keys/owner.pub": pem("PUBLIC KEY", spki(new_ec())).encode()}
    return read((TRUST % options).encode(), path="trust.yaml", read_file=files.__getitem__)


def test_t036_every_key_about_sigstore_is_known_and_used() -> None:
    asked = trusting().sigstore.requirements
    assert (asked.logs, asked.timestamps, asked.certificate_logs, asked.rsa_pss) == (1, 0, 1, False)
    options = ", logs: 2, timestamps: 3, certificate-logs: 4, rsa-pss: true"
    asked = trusting(options).sigstore.requirements
    assert (asked.logs, asked.timestamps, asked.certificate_logs, asked.rsa_pss) == (2, 3, 4, True)
    asked = trusting(", unsafe-without-log: true").sigstore.requirements
    assert (asked.logs, asked.certificate_logs) == (0, 1)
    asked = trusting(", unsafe-without-certificate-log: true").sigstore.requirements
    assert (asked.logs, asked.certificate_logs) == (1, 0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (", log: 1", "policy-key-unknown"),
        (", unsafe: true", "policy-key-unknown"),
        (", logs: 0", "definition-invalid"),
        (", certificate-logs: 0", "definition-invalid"),
        (", timestamps: -1", "definition-invalid"),
        (', unsafe-without-log: "yes"', "definition-invalid"),
    ],
)
def test_t036_a_key_that_is_not_known_or_says_nothing_good_is_a_fault(options: str, expected: str) -> None:
    with pytest.raises(DefinitionError) as error:
        trusting(options)
    assert error.value.code == expected


def test_t022_the_trusted_root_is_a_file_that_can_be_read_or_a_fault() -> None:
    with pytest.raises(DefinitionError) as error:
        trusting(root=b"{}")
    assert error.value.code == "trust-root-malformed"
    assert "trust.yaml:6:26" in str(error.value)
    world = Sigstore()
    assert trusting(world=world).sigstore.root.digest == Digest.of(as_bytes(world.root()))


def test_t022_a_trusted_root_with_other_bytes_than_were_pinned_is_refused() -> None:
    world = Sigstore()
    pinned = Digest.of(as_bytes(world.root()))
    assert trusting(f', digest: "{pinned}"', world=world).sigstore.root.digest == pinned
    for replaced in (as_bytes(Sigstore().root()), as_bytes(world.root()) + b"\n", b"{}"):
        with pytest.raises(DefinitionError) as error:
            trusting(f', digest: "{pinned}"', root=replaced)
        assert [reason.code for reason in error.value.reasons] == ["trust-root-mismatch"]
        assert "trust.yaml:6:45" in str(error.value)


def test_t022_without_a_trusted_root_nobody_is_named_by_a_certificate() -> None:
    text = TRUST.rpartition("sigstore")[0].encode()
    key = pem("PUBLIC KEY", spki(new_ec())).encode()
    assert read(text, path="trust.yaml", read_file=lambda _: key).sigstore is None


@pytest.mark.parametrize("name", ["../root.json", "/etc/root.json", "a/../b", "a\\\\b", "a//b", "~/root.json"])
def test_t046_the_trusted_root_lies_beside_or_below_the_trust_file(name: str) -> None:
    text = TRUST.replace("root.json%s", f'"{name}"').encode()
    key = pem("PUBLIC KEY", spki(new_ec())).encode()
    with pytest.raises(DefinitionError) as error:
        read(text, path="trust.yaml", read_file=lambda _: key)
    assert error.value.code == "name-unsafe"


def signed(world: Sigstore, **options: Any) -> Bundle:
    return Bundle.from_bytes(as_bytes(world.sign(payload(), **options)))


def believed(world: Sigstore, bundle: Bundle, *identities: Identity) -> Verified:
    pinned = Pinned(root=TrustedRoot.from_bytes(as_bytes(world.root())))
    return IdentityVerifier(identities or (CI,), LATER, pinned).verify(bundle, IMAGE)


@pytest.mark.parametrize(("seconds", "counts"), [(-1, True), (0, False), (1, False)])
def test_t042_what_was_provably_signed_before_the_revocation_counts(seconds: int, *, counts: bool) -> None:
    """A key and a keyless identity alike; `since` itself is revoked."""
    world = Sigstore()
    key = KeyIdentity(name="key", public_key=spki(world.signing_key))
    revoked = Revocations(signers={"ci": START, "key": START})
    world.pass_time(seconds=seconds)
    for bundle, who in ((signed(world), CI), (signed(world, keyed=True), key)):
        reason = revoked.reason_for(believed(world, bundle, who))
        assert (reason is None) is counts
        assert reason is None or reason.code == "key-revoked"


def test_t042_what_has_no_proven_time_does_not_count_after_a_revocation() -> None:
    world = Sigstore(now=START - timedelta(days=30))
    key = KeyIdentity(name="key", public_key=spki(world.signing_key))
    found = believed(world, signed(world, keyed=True, form="", stamps=0), key)
    assert found.proved_time is None
    reason = Revocations(signers={"key": START}).reason_for(found)
    assert reason is not None
    assert reason.code == "key-revoked"


def test_t043_keys_that_follow_each_other_each_count_in_their_own_time() -> None:
    """Three phases: before, during and after the overlap."""
    world = Sigstore()
    old_key, new_key = new_ec(), new_ec()
    overlap, end = START + timedelta(days=10), START + timedelta(days=20)
    old = KeyIdentity(name="old", public_key=spki(old_key), valid=Validity(end=end))
    new = KeyIdentity(name="new", public_key=spki(new_key), valid=Validity(start=overlap))
    for days, good_old, good_new in ((5, True, False), (10, True, True), (20, True, True), (25, False, True)):
        world.now = START + timedelta(days=days)
        for key, good in ((old_key, good_old), (new_key, good_new)):
            bundle = signed(world, keyed=True, key=key)
            if good:
                assert believed(world, bundle, old, new).proved_time == world.now
            else:
                assert code(partial(believed, world, bundle, old, new)) == "key-not-valid-at-time"
