"""A bundle is a signed statement as one file; the SHA-256 of its bytes is the record's identity.

Source: Sigstore protobuf-specs, `sigstore_bundle.proto`, versions 0.1 to 0.3, JSON form. What samebits writes is what
`cosign attest --key` 3.1.3 writes. A bundle never supplies trust: the hint only orders configured keys, and of a chain
only the first certificate is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from attestations.envelope import Envelope, from_base64, malformed, to_base64
from attestations.errors import AttestationError
from attestations.fields import only, parse
from registries.digest import Digest
from registries.limits import BUNDLE_BYTES, LOG_ENTRIES_PER_BUNDLE, TIMESTAMPS_PER_BUNDLE
from registries.strict_json import dumps, kind

BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_TYPE_PREFIX: Final = "application/vnd.dev.sigstore.bundle"
BUNDLE_V01: Final = f"{BUNDLE_TYPE_PREFIX}+json;version=0.1"

_READABLE: Final = (
    BUNDLE_TYPE,
    BUNDLE_V01,
    f"{BUNDLE_TYPE_PREFIX}+json;version=0.2",
    f"{BUNDLE_TYPE_PREFIX}+json;version=0.3",
)
_CERTIFICATES_PER_CHAIN: Final = 32
_KEY_MATERIAL: Final = ("publicKey", "certificate", "x509CertificateChain")
_MESSAGE_DIGESTS: Final = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a bundle brings for its verification. Exactly one of `hint` and `certificate` is given.

    `chain` holds further certificates, which are never trusted. Log entries and time stamps are carried as they came;
    `attestations.bundle_verifier` reads and proves them, and nothing may be concluded from them before.
    """

    media_type: str
    hint: str | None
    certificate: bytes | None
    chain: tuple[bytes, ...] = ()
    log_entries: tuple[Mapping[str, Any], ...] = ()
    timestamps: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSignature:
    """A signature over the bytes of a file (`cosign sign-blob`). The digest is unsigned: it can only contradict.

    `digest` is (`sha256`, `sha384` or `sha512`, the bytes), where the bundle says one.
    """

    signature: bytes
    digest: tuple[str, bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle with a signed statement, as it stands in a registry.

    `stamped` is what its time stamps are over where that is not the signature: see `attestations.foreign.envelopes`.
    """

    content: bytes
    record: Digest
    material: Material
    envelope: Envelope
    stamped: bytes | None = None

    @classmethod
    def from_bytes(cls, content: bytes, *, where: str = "") -> Bundle:
        """Read strictly; every limit is checked before any signature.

        Raises `bundle-malformed`, `bundle-version`, `field-unknown`, `key-material-mismatch`, `size-limit`,
        `limit-exceeded`, `json-ambiguous`, and what `Envelope.read` raises.
        """
        found = read_bundle(content, where=where)
        if not isinstance(found, Bundle):
            raise malformed("a signature over a message where a signed statement must be", where)
        return found

    @classmethod
    def signed(cls, envelope: Envelope, hint: str, *, timestamps: Sequence[bytes] = ()) -> Bundle:
        """A new bundle, signed with a key that others know by `hint`; with RFC 3161 time stamps, where it has some."""
        material: dict[str, Any] = {"publicKey": {"hint": hint}}
        if timestamps:
            found = [{"signedTimestamp": to_base64(stamp)} for stamp in timestamps]
            material["timestampVerificationData"] = {"rfc3161Timestamps": found}
        value = {"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope.json()}
        return cls.from_bytes(dumps(value))

    @property
    def signature(self) -> bytes:
        """The signature over the envelope."""
        return self.envelope.signature

    @property
    def stamped_bytes(self) -> bytes:
        """What its time stamps have to be over."""
        return self.signature if self.stamped is None else self.stamped


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBundle:
    """A bundle with the signature of a file. It states nothing, so it is no record."""

    content: bytes
    record: Digest
    material: Material
    message: MessageSignature

    @property
    def signature(self) -> bytes:
        """The signature over the file."""
        return self.message.signature

    @property
    def stamped_bytes(self) -> bytes:
        """What its time stamps have to be over."""
        return self.signature


AnyBundle = Bundle | MessageBundle


def read_bundle(content: bytes, *, where: str = "") -> AnyBundle:
    """A bundle with either content; refusals as of `Bundle.from_bytes`."""
    value = parse(content, limit=BUNDLE_BYTES, malformed="bundle-malformed", where=where)
    media_type = value.get("mediaType")
    if media_type not in _READABLE:
        raise AttestationError(
            "bundle-version", f"{media_type!r:.80} is no version of a bundle that can be read", where=where
        )
    only(value, ("mediaType", "verificationMaterial", "dsseEnvelope", "messageSignature"), "the bundle", where=where)
    material = _material(value, media_type, where)
    record = Digest.of(content)
    match "dsseEnvelope" in value, "messageSignature" in value:
        case True, False:
            envelope = Envelope.read(value["dsseEnvelope"], where=where)
            return Bundle(content=content, record=record, material=material, envelope=envelope)
        case False, True:
            message = _message(value, where)
            return MessageBundle(content=content, record=record, material=material, message=message)
        case _:
            raise malformed("there must be one of `dsseEnvelope` and `messageSignature`", where)


def _material(value: Mapping[str, Any], media_type: str, where: str) -> Material:
    material = _object(value, "verificationMaterial", where)
    names = (*_KEY_MATERIAL, "tlogEntries", "timestampVerificationData")
    only(material, names, "`verificationMaterial`", where=where)
    hint, certificates = _key_material(material, where)
    return Material(
        media_type=media_type,
        hint=hint,
        certificate=certificates[0] if certificates else None,
        chain=certificates[1:],
        log_entries=_objects(material, "tlogEntries", LOG_ENTRIES_PER_BUNDLE, where),
        timestamps=_timestamps(material, where),
    )


def _message(value: Mapping[str, Any], where: str) -> MessageSignature:
    found = _object(value, "messageSignature", where)
    only(found, ("messageDigest", "signature"), "`messageSignature`", where=where)
    signature = from_base64(found.get("signature"), "the signature", where=where)
    if found.get("messageDigest") is None:
        return MessageSignature(signature=signature, digest=None)
    digest = _object(found, "messageDigest", where)
    only(digest, ("algorithm", "digest"), "`messageDigest`", where=where)
    algorithm = digest.get("algorithm")
    if not isinstance(algorithm, str) or algorithm not in _MESSAGE_DIGESTS:
        raise AttestationError("algorithm-not-allowed", f"a message digest of kind {algorithm!r:.40}", where=where)
    content = from_base64(digest.get("digest"), "the message digest", where=where)
    return MessageSignature(signature=signature, digest=(_MESSAGE_DIGESTS[algorithm], content))


def _key_material(material: Mapping[str, Any], where: str) -> tuple[str | None, tuple[bytes, ...]]:
    given = [name for name in _KEY_MATERIAL if name in material]
    if not given:
        raise malformed(f"`verificationMaterial` has none of {', '.join(_KEY_MATERIAL)}", where)
    if len(given) > 1:
        raise AttestationError("key-material-mismatch", f"a bundle with both {' and '.join(given)}", where=where)
    content = _object(material, given[0], where)
    match given[0]:
        case "publicKey":
            only(content, ("hint",), "`publicKey`", where=where)
            hint = content.get("hint", "")
            if not isinstance(hint, str):
                raise malformed(f"`hint` is not a string, but {kind(hint)}", where)
            return hint, ()
        case "certificate":
            return None, (_raw_bytes(content, "rawBytes", "the certificate", where),)
        case _:
            only(content, ("certificates",), "`x509CertificateChain`", where=where)
            chain = _objects(content, "certificates", _CERTIFICATES_PER_CHAIN, where)
            if not chain:
                raise malformed("`x509CertificateChain` holds no certificate", where)
            return None, tuple(_raw_bytes(entry, "rawBytes", "a certificate", where) for entry in chain)


def _timestamps(material: Mapping[str, Any], where: str) -> tuple[bytes, ...]:
    if material.get("timestampVerificationData") is None:
        return ()
    data = _object(material, "timestampVerificationData", where)
    only(data, ("rfc3161Timestamps",), "`timestampVerificationData`", where=where)
    entries = _objects(data, "rfc3161Timestamps", TIMESTAMPS_PER_BUNDLE, where)
    return tuple(_raw_bytes(entry, "signedTimestamp", "a time stamp", where) for entry in entries)


def _raw_bytes(value: Mapping[str, Any], member: str, what: str, where: str) -> bytes:
    only(value, (member,), what, where=where)
    return from_base64(value.get(member), what, where=where)


def _object(value: Mapping[str, Any], member: str, where: str) -> dict[str, Any]:
    found = value.get(member)
    if not isinstance(found, dict):
        raise malformed(f"`{member}` is not an object, but {kind(found)}", where)
    return found


def _objects(value: Mapping[str, Any], member: str, limit: int, where: str) -> tuple[dict[str, Any], ...]:
    found = value.get(member)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise malformed(f"`{member}` is not a list of objects", where)
    if len(found) > limit:
        raise AttestationError(
            "limit-exceeded", f"{len(found)} entries in `{member}` are more than the limit of {limit}", where=where
        )
    return tuple(found)
