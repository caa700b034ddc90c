"""The pinned trust file: read strictly, and what it revokes does not count any more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestations.identity import Identity, KeyIdentity, KeylessIdentity
from attestations.keys import KeyKind, load_public_key, new_key
from attestations.statement import Statement
from attestations.verify import Verified
from pipeline.anchors import Anchors, Revocations, read
from pipeline.yaml_nodes import DefinitionError
from registries.digest import Digest
from registries.errors import ContentError, UsageError

SINCE = datetime(2026, 6, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
IMAGE = Digest.of(b"image")
KEYS: Mapping[str, bytes] = {name: new_key(KeyKind.ED25519)[1] for name in ("alice", "bob")}
ALICE = KeyIdentity(name="alice", public_key=load_public_key(KEYS["alice"]))
CI = KeylessIdentity(name="ci", issuer="https://issuer.example", subject="https://ci.example/build")

TEXT = f"""\
samebits-trust: 1
pipeline: shop-api
owners: {{threshold: 2, signers: [alice, bob]}}
signers:
  alice: {{key: keys/alice.pub}}
  bob: {{key: keys/bob.pub}}
registries: [registry.example, "127.0.0.1:5001"]
revocations:
  digests: ["{IMAGE}"]
  signers: {{ci-build: 2026-06-01, "{ALICE.fingerprint}": 2026-06-01T10:00:00+02:00}}
"""


def key_file(path: str) -> bytes:
    name = path.removeprefix("keys/").removesuffix(".pub")
    if name not in KEYS:
        raise UsageError("file-unreadable", "can't be read", where=path)
    return KEYS[name]


def reading(text: str) -> Anchors:
    return read(text.encode(), path="trust.yaml", read_file=key_file)


def record(signer: Identity, proved_time: datetime | None = None) -> Verified:
    statement = Statement.about(IMAGE, predicate_type="https://other.example/v1", predicate={})
    return Verified(statement=statement, signer=signer, record=Digest.of(b"r"), claim=None, proved_time=proved_time)


def test_a_trust_file_says_whom_and_what_to_trust() -> None:
    anchors = reading(TEXT)
    assert (anchors.path, anchors.pipeline) == ("trust.yaml", "shop-api")
    assert [owner.name for owner in anchors.owners.signers] == ["alice", "bob"]
    assert anchors.owners.threshold == 2
    assert anchors.registries == ("registry.example", "127.0.0.1:5001")
    assert anchors.revocations.digests == frozenset({IMAGE})
    assert anchors.revocations.signers == {
        "ci-build": SINCE,
        str(ALICE.fingerprint): datetime(2026, 6, 1, 8, tzinfo=UTC),
    }


def test_without_revocations_nothing_is_revoked() -> None:
    anchors = reading(TEXT[: TEXT.index("revocations:")])
    assert anchors.revocations == Revocations()
    assert anchors.revocations.image(IMAGE) is None
    assert anchors.revocations.reason_for(record(ALICE)) is None


@pytest.mark.parametrize(
    ("old", "new", "where", "code"),
    [
        ("samebits-trust: 1", "samebits-trust: 2", "1:17", "definition-invalid"),
        ("samebits-trust: 1", "samebits: 1", "1:1", "policy-key-unknown"),
        ("threshold: 2", "threshold: 3", "3:21", "definition-invalid"),
        ("threshold: 2", "threshold: 0", "3:21", "definition-invalid"),
        ("signers: [alice, bob]", "signers: [alice, bop]", "3:41", "definition-invalid"),
        ("signers: [alice, bob]", "signers: [alice, alice]", "3:41", "definition-invalid"),
        ("  bob: {key: keys/bob.pub}", "  bob: {key: keys/alice.pub}", "6:3", "definition-invalid"),
        ("  bob: {key: keys/bob.pub}", "  bob: {key: ../bob.pub}", "6:14", "name-unsafe"),
        ("  bob: {key: keys/bob.pub}", "  bob: {key: keys/no.pub}", "6:14", "file-unreadable"),
        ("  bob: {key: keys/bob.pub}", '  bob: {kms: "gcpkms://x"}', "6:8", "definition-invalid"),
        ("[registry.example", "[https://registry.example", "7:14", "definition-invalid"),
        ("[registry.example", "[registry.example/dev", "7:14", "definition-invalid"),
        ("[registry.example", "[registry", "7:14", "definition-invalid"),
        ("registries: [", "registrys: [", "1:1", "definition-invalid"),
        ("revocations:", "revocation:", "8:1", "policy-key-unknown"),
        ("  digests: ", "  digest: ", "9:3", "policy-key-unknown"),
        (f'"{IMAGE}"', '"sha256:abc"', "9:13", "definition-invalid"),
        ("{ci-build: 2026-06-01", "{ci-build: yesterday", "10:23", "definition-invalid"),
        ("{ci-build: 2026-06-01", "{ci-build:", "10:21", "definition-invalid"),
        ("{ci-build: 2026-06-01", "{sha256: 2026-06-01, CI: 2026-06-01", "10:33", "definition-invalid"),
    ],
)
def test_a_fault_is_told_at_its_place(old: str, new: str, where: str, code: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(DefinitionError) as error:
        reading(TEXT.replace(old, new))
    assert (error.value.reasons[0].where, error.value.code) == (f"trust.yaml:{where}", code)


def test_a_revoked_image_is_not_let_in() -> None:
    revocations = Revocations(digests=frozenset({IMAGE}))
    reason = revocations.image(IMAGE)
    assert reason is not None
    assert (reason.code, reason.where) == ("digest-revoked", str(IMAGE))
    assert revocations.image(Digest.of(b"another image")) is None


@pytest.mark.parametrize(
    ("signer", "revoked"),
    [(ALICE, "alice"), (ALICE, str(ALICE.fingerprint)), (CI, "ci")],
    ids=["name", "key", "keyless"],
)
def test_t042_a_revoked_signer_s_record_counts_only_if_it_was_proved_to_be_older(
    signer: Identity, revoked: str
) -> None:
    revocations = Revocations(signers={revoked: SINCE})
    assert revocations.reason_for(record(signer, SINCE - SECOND)) is None
    for proved in (SINCE, SINCE + SECOND, None):
        reason = revocations.reason_for(record(signer, proved))
        assert reason is not None, proved
        assert reason.code == "key-revoked"


def test_t042_a_workflow_is_revoked_by_issuer_and_subject_whatever_it_is_called() -> None:
    text = TEXT + f"  identities: [{{issuer: '{CI.issuer}', subject: '{CI.subject}', from: 2026-06-01}}]\n"
    revocations = reading(text).revocations
    renamed = KeylessIdentity(name="other", issuer=CI.issuer, subject=CI.subject)
    assert revocations.reason_for(record(renamed, SINCE - SECOND)) is None
    for proved in (SINCE, SINCE + SECOND, None):
        reason = revocations.reason_for(record(renamed, proved))
        assert reason is not None, proved
        assert reason.code == "key-revoked"
    for other in (
        KeylessIdentity(name="ci", issuer="https://other.example", subject=CI.subject),
        KeylessIdentity(name="ci", issuer=CI.issuer, subject=CI.subject + "2"),
    ):
        assert revocations.reason_for(record(other)) is None


def test_a_key_that_is_revoked_under_another_name_is_revoked_all_the_same() -> None:
    renamed = KeyIdentity(name="alicia", public_key=ALICE.public_key)
    assert Revocations(signers={"alice": SINCE}).reason_for(record(renamed)) is None, "a name is only a name"
    assert Revocations(signers={str(ALICE.fingerprint): SINCE}).reason_for(record(renamed)) is not None


def test_of_a_revoked_name_and_a_revoked_key_the_earlier_counts() -> None:
    both = Revocations(signers={"alice": SINCE, str(ALICE.fingerprint): SINCE - 2 * SECOND})
    assert both.reason_for(record(ALICE, SINCE - SECOND)) is not None
    assert both.reason_for(record(ALICE, SINCE - 3 * SECOND)) is None


def test_other_signers_are_not_touched() -> None:
    assert Revocations(signers={"bob": SINCE, "alic": SINCE}).reason_for(record(ALICE)) is None


@given(st.integers(0, len(TEXT)), st.integers(0, 40), st.text(alphabet="abc:{}[]&*!|'\"\n #,-?1", max_size=8))
def test_any_change_to_a_trust_file_is_read_or_refused(start: int, length: int, text: str) -> None:
    try:
        reading(TEXT[:start] + text + TEXT[start + length :])
    except (DefinitionError, ContentError) as error:
        told = error.reasons
    else:
        return
    assert all(reason.where.startswith("trust.yaml") for reason in told)
