"""The trusted root: read strictly from a pinned file, in the form of the TUF repository and in that of cosign."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from attestations.envelope import to_base64
from attestations.errors import AttestationError
from attestations.identity import Validity
from attestations.signers import public_good
from attestations.trusted_root import TrustedRoot
from registries.digest import Digest
from registries.limits import TRUSTED_ROOT_BYTES
from tests.sigstore import START, Sigstore, as_bytes, authority_entry, der

WORLD = Sigstore()
ROOT = WORLD.root()


def refused(value: Any) -> str:
    with pytest.raises(AttestationError) as error:
        TrustedRoot.from_bytes(value if isinstance(value, bytes) else as_bytes(value), where="root.json")
    assert error.value.reasons[0].where == "root.json"
    return error.value.code


def changed(*path: Any, value: Any = None) -> dict[str, Any]:
    """The root with another value at this path; None leaves the last member out."""
    root = copy.deepcopy(ROOT)
    inner: Any = root
    for step in path[:-1]:
        inner = inner[step]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return root


def test_everything_in_it_is_read() -> None:
    content = as_bytes(ROOT)
    root = TrustedRoot.from_bytes(content)
    assert root.digest == Digest.of(content)
    assert set(root.logs) == {WORLD.log.key_id, WORLD.log_v2.key_id}
    assert root.logs[WORLD.log.key_id].host == "rekor.test"
    assert set(root.certificate_logs) == {WORLD.ca.logs[0].key_id}
    (authority,), (tsa,) = root.certificate_authorities, root.timestamp_authorities
    assert authority.certificates == (WORLD.ca.intermediate, WORLD.ca.root)
    assert authority.valid == Validity(start=WORLD.ca.start)
    assert tsa.certificates == (WORLD.tsa.certificate, WORLD.tsa.root)


@pytest.mark.parametrize("staging", [False, True])
def test_the_roots_of_the_public_instances_are_read_whole(*, staging: bool) -> None:
    """One of the staging instance's certificate logs has an RSA key in the older form, PKCS #1."""
    root = TrustedRoot.from_bytes(public_good.trusted_root(staging=staging))
    assert len(root.logs) >= 2
    assert len(root.certificate_logs) >= 2
    assert root.certificate_authorities
    assert root.timestamp_authorities


def test_lists_that_cosign_leaves_out_are_empty() -> None:
    root = TrustedRoot.from_bytes(as_bytes({"mediaType": ROOT["mediaType"]}))
    assert not root.logs
    assert not root.certificate_logs
    assert (root.certificate_authorities, root.timestamp_authorities) == ((), ())


@pytest.mark.parametrize(
    "media_type",
    ["application/vnd.dev.sigstore.trustedroot.v0.1+json", "application/vnd.dev.sigstore.trustedroot.v0.2+json"],
)
def test_the_newer_spellings_of_the_media_type_are_read(media_type: str) -> None:
    assert TrustedRoot.from_bytes(as_bytes({**ROOT, "mediaType": media_type})).logs


LOG, CA = ("tlogs", 0), ("certificateAuthorities", 0)


@pytest.mark.parametrize(
    "root",
    [
        changed("mediaType"),
        changed("mediaType", value="application/json"),
        changed("extra", value=[]),
        changed("tlogs", value={}),
        changed("tlogs", value=["text"]),
        changed("tlogs", value=[ROOT["tlogs"][0]] * 2),
        changed("tlogs", value=[ROOT["tlogs"][0]] * 257),
        changed(*LOG, "extra", value=1),
        changed(*LOG, "baseUrl"),
        changed(*LOG, "baseUrl", value="ftp://rekor.test"),
        changed(*LOG, "baseUrl", value="https://a b"),
        changed(*LOG, "hashAlgorithm"),
        changed(*LOG, "hashAlgorithm", value="SHA2_512"),
        changed(*LOG, "publicKey"),
        changed(*LOG, "publicKey", "extra", value=1),
        changed(*LOG, "publicKey", "rawBytes"),
        changed(*LOG, "publicKey", "rawBytes", value="!!!"),
        changed(*LOG, "publicKey", "rawBytes", value=to_base64(b"no key")),
        changed(*LOG, "publicKey", "keyDetails"),
        changed(*LOG, "publicKey", "validFor"),
        changed(*LOG, "publicKey", "validFor", "start"),
        changed(*LOG, "publicKey", "validFor", "start", value="2026-01-01"),
        changed(*LOG, "publicKey", "validFor", "start", value="2026-02-30T00:00:00Z"),
        changed(*LOG, "publicKey", "validFor", "start", value="2026-01-01T00:00:00+01:00"),
        changed(*LOG, "publicKey", "validFor", "end", value=17),
        changed(*LOG, "publicKey", "validFor", "until", value="2026-01-01T00:00:00Z"),
        changed(*LOG, "logId"),
        changed(*LOG, "logId", "keyId", value=to_base64(b"abc")),
        changed(*LOG, "checkpointKeyId", value={"keyId": to_base64(b"abc")}),
        changed(*CA, "extra", value=1),
        changed(*CA, "uri", value=1),
        changed(*CA, "certChain"),
        changed(*CA, "certChain", "extra", value=1),
        changed(*CA, "certChain", "certificates", value=[]),
        changed(*CA, "certChain", "certificates", value=[{"rawBytes": to_base64(b"no certificate")}]),
        changed(*CA, "validFor"),
        changed(*CA, "validFor", "start"),
    ],
)
def test_a_root_that_is_not_of_its_form_is_refused(root: dict[str, Any]) -> None:
    assert refused(root) == "trust-root-malformed"


def test_a_chain_in_another_order_or_with_a_stranger_is_refused() -> None:
    other = Sigstore().ca
    for chain in (
        [WORLD.ca.root, WORLD.ca.intermediate],
        [WORLD.ca.intermediate, other.root],
        [other.intermediate, WORLD.ca.root],
    ):
        listed = authority_entry("https://ca.test", chain, START, None)
        assert refused(WORLD.root(certificateAuthorities=[listed])) == "trust-root-malformed"


@pytest.mark.parametrize("content", [b"", b"[]", b"not json"])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    assert refused(content) == "trust-root-malformed"


def test_ambiguous_and_endless_roots_keep_their_own_reason() -> None:
    content = as_bytes(ROOT)
    assert refused(content[:-1] + b',"tlogs":[]}') == "json-ambiguous"
    full = content + b" " * (TRUSTED_ROOT_BYTES - len(content))
    assert TrustedRoot.from_bytes(full).logs
    assert refused(full + b" ") == "size-limit"


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP224R1()), rsa.generate_private_key(65537, 1024)])  # noqa: S505
def test_a_log_whose_kind_of_key_is_not_believed_is_as_if_it_was_not_there(key: Any) -> None:
    encoded = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    root = changed(*LOG, "publicKey", "rawBytes", value=to_base64(encoded))
    assert set(TrustedRoot.from_bytes(as_bytes(root)).logs) == {WORLD.log_v2.key_id}


def test_intervals_have_fractions_and_ends() -> None:
    period = {"start": "2022-10-20T00:00:00.5Z", "end": "2026-10-31T23:59:59.999999999Z"}
    root = TrustedRoot.from_bytes(as_bytes(changed(*LOG, "publicKey", "validFor", value=period)))
    valid = root.logs[WORLD.log.key_id].valid
    assert valid.start is not None
    assert valid.end is not None
    assert (valid.start.microsecond, valid.end.microsecond) == (500_000, 999_999)


def test_certificates_are_kept_as_they_are() -> None:
    root = TrustedRoot.from_bytes(as_bytes(ROOT))
    assert der(root.certificate_authorities[0].certificates[0]) == der(WORLD.ca.intermediate)
