"""Certificates: who they name, what they may be used for, and whether they lead to a configured authority at a time.

Source: RFC 5280 section 6.1; RFC 3161 section 2.3; Fulcio's `docs/oid-info.md`. The path is the one that the trusted
root gives: nothing is looked for in a bundle. NOTE: certificates are not asked to be unrevoked: Fulcio's live for ten
minutes and have no revocation; a signer is revoked in the trust file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from attestations.der import BIT_STRING, MalformedDer, one
from attestations.errors import AttestationError
from attestations.fields import rfc3339
from attestations.identity import CLAIM_NAMES
from attestations.keys import PublicKey, allowed, encode
from registries.limits import CERTIFICATE_BYTES

_FULCIO: Final = "1.3.6.1.4.1.57264.1"
_ISSUER_V1: Final = ObjectIdentifier(f"{_FULCIO}.1")
_ISSUER_V2: Final = ObjectIdentifier(f"{_FULCIO}.8")
_OTHER_NAME: Final = ObjectIdentifier(f"{_FULCIO}.7")
_CLAIMS: Final = {name: ObjectIdentifier(f"{_FULCIO}.{number}") for number, name in enumerate(CLAIM_NAMES, start=9)}
_UNDERSTOOD: Final = frozenset(
    {
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS,
    }
)
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
E = TypeVar("E", bound=x509.ExtensionType)

_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    Warning,
)


class Usage(Enum):
    """What a chain is for: every certificate on it must allow that."""

    CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
    TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A signer's certificate, read once: its key and whom it names. It is not proven by having been read."""

    certificate: x509.Certificate
    content: bytes
    key: PublicKey
    public_key: bytes
    names: tuple[str, ...]
    issuer: str | None
    claims: Mapping[str, str]


def load_certificate(content: bytes, *, where: str = "") -> x509.Certificate:
    """A certificate from DER with all of its extensions readable: `certificate-invalid`, `size-limit`."""
    if len(content) > CERTIFICATE_BYTES:
        raise AttestationError("size-limit", f"a certificate of {len(content)} bytes", where=where)
    try:
        with _warnings_refuse():
            certificate = x509.load_der_x509_certificate(content)
            _ = certificate.extensions, certificate.not_valid_before_utc, certificate.not_valid_after_utc
            _ = certificate.signature_hash_algorithm
            _ = certificate.issuer, certificate.subject
        _whole_signature(content)
    except _UNREADABLE as error:
        raise _invalid(f"a certificate can't be read: {error}", where) from error
    return certificate


def read_leaf(content: bytes, *, where: str = "") -> Leaf:
    """The signer's certificate.

    Raises `key-material-mismatch` where something else stands in its place, `certificate-invalid` and
    `algorithm-not-allowed`.
    """
    try:
        certificate = load_certificate(content, where=where)
    except AttestationError as error:
        try:
            with _warnings_refuse():
                x509.load_der_x509_certificate(content)
        except _UNREADABLE:
            message = "what stands in the certificate's place is no certificate"
            raise AttestationError("key-material-mismatch", message, where=where) from error
        raise
    key = public_key(certificate, where=where)
    return Leaf(
        certificate=certificate,
        content=content,
        key=key,
        public_key=encode(key),
        names=_names(certificate, where),
        issuer=_issuer(certificate, where),
        claims=_claims(certificate, where),
    )


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` has the name of the certificate's issuer and made its signature, with a believed hash."""
    try:
        if not isinstance(certificate.signature_hash_algorithm, _HASHES) and not _without_hash(issuer):
            return False
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def path_from(certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The issuers above a certificate, the root last; empty when none of them issued it.

    `issuers` is the chain of an authority, of which each was shown to be issued by the next one.
    """
    for number, issuer in enumerate(issuers):
        if signed_by(certificate, issuer):
            return tuple(issuers[number:])
    return ()


def check_leaf(certificate: x509.Certificate, usage: Usage, *, where: str = "") -> None:
    """What the last certificate of a path may be used for: `certificate-invalid`."""
    _no_unknown(certificate, where)
    basic = _extension(certificate, x509.BasicConstraints)
    if basic is not None and basic.value.ca:
        raise _invalid("an authority's certificate signed, not one that it issued", where)
    key_usage = _extension(certificate, x509.KeyUsage)
    if key_usage is None or not key_usage.value.digital_signature:
        raise _invalid("the certificate is not for signatures (key usage)", where)
    extended = _extension(certificate, x509.ExtendedKeyUsage)
    if extended is None or usage.value not in extended.value:
        raise _invalid(f"the certificate is not for {_spoken(usage)} (extended key usage)", where)
    if usage is Usage.TIME_STAMPING and (not extended.critical or len(list(extended.value)) != 1):
        raise _invalid("the certificate is not for time stamps alone, and critically so (RFC 3161 section 2.3)", where)


def check_issuers(path: Sequence[x509.Certificate], usage: Usage, *, where: str = "") -> None:
    """That every issuer may issue, at its place on the path, for this usage: `certificate-invalid`."""
    for below, issuer in enumerate(path):
        _no_unknown(issuer, where)
        public_key(issuer, where=where)
        basic = _extension(issuer, x509.BasicConstraints)
        if basic is None or not basic.value.ca:
            raise _invalid("a certificate on the path is no authority's (basic constraints)", where)
        length = basic.value.path_length
        if length is not None and sum(not _self_issued(one) for one in path[:below]) > length:
            raise _invalid("the path is longer than an authority on it allows (path length)", where)
        key_usage = _extension(issuer, x509.KeyUsage)
        if key_usage is not None and not key_usage.value.key_cert_sign:
            raise _invalid("a certificate on the path may not issue any (key usage)", where)
        extended = _extension(issuer, x509.ExtendedKeyUsage)
        allowed_usages = {usage.value, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        if extended is not None and not allowed_usages & set(extended.value):
            raise _invalid(f"an authority on the path is not for {_spoken(usage)} (extended key usage)", where)


def check_valid(path: Sequence[x509.Certificate], time: datetime, *, where: str = "") -> None:
    """That all of them were valid at this time, both ends included: `certificate-expired`."""
    for certificate in path:
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not start <= time <= end:
            raise AttestationError(
                "certificate-expired",
                f"a certificate is valid from {rfc3339(start)} to {rfc3339(end)}, not at {rfc3339(time)}",
                where=where,
            )


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether the certificate says that it may issue others."""
    basic = _extension(certificate, x509.BasicConstraints)
    return basic is not None and basic.value.ca


def refuse_brought_along(chain: Sequence[bytes], *, where: str = "") -> None:
    """What follows the leaf in a bundle is not used; a root or a stranger among it is refused all the same (T008)."""
    for content in chain:
        certificate = load_certificate(content, where=where)
        if _self_issued(certificate):
            raise AttestationError("chain-untrusted", "the bundle brings its own root along", where=where)
        if not is_authority(certificate):
            raise AttestationError("chain-untrusted", "the bundle's chain has a second leaf", where=where)


def public_key(certificate: x509.Certificate, *, where: str = "") -> PublicKey:
    """The certificate's key, if it is of a kind that is believed: `algorithm-not-allowed`."""
    try:
        with _warnings_refuse():
            key = certificate.public_key()
    except _UNREADABLE as error:
        raise AttestationError("algorithm-not-allowed", f"a certificate's key: {error}", where=where) from error
    return allowed(key, where=where)


@contextmanager
def _warnings_refuse() -> Iterator[None]:
    """What cryptography reads with a warning, such as a serial number below 1, RFC 5280 does not allow.

    NOTE: the filters of warnings belong to the whole process; certificates are read in one thread at a time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _whole_signature(content: bytes) -> None:
    """The signature is whole bytes: bits of it that are said to be unused would be read as if they were not."""
    parts = one(content, "a certificate").children("a certificate")
    parts.take("what is signed")
    parts.take("the algorithm")
    if not parts.take("the signature").expect(BIT_STRING, "the signature").content.startswith(b"\0"):
        raise MalformedDer("the signature has unused bits")


def _names(certificate: x509.Certificate, where: str) -> tuple[str, ...]:
    """The e-mails, URIs and Fulcio's other names that it is issued to, as they stand."""
    extension = _extension(certificate, x509.SubjectAlternativeName)
    if extension is None:
        return ()
    names: list[str] = []
    for name in extension.value:
        match name:
            case x509.RFC822Name() | x509.UniformResourceIdentifier():
                names.append(name.value)
            case x509.OtherName() if name.type_id == _OTHER_NAME:
                names.append(_text(name.value, "the other name", where))
            case _:
                pass
    return tuple(names)


def _issuer(certificate: x509.Certificate, where: str) -> str | None:
    """Who vouched for the name (extension .8, or the older .1); both, where both are there, say the same."""
    newer, older = (_raw(certificate, identifier) for identifier in (_ISSUER_V2, _ISSUER_V1))
    issuer = None if newer is None else _text(newer, "the issuer", where)
    if older is None:
        return issuer
    try:
        said = older.decode()
    except UnicodeDecodeError as error:
        raise _invalid("the issuer is not UTF-8", where) from error
    if issuer is not None and issuer != said:
        raise _invalid("the certificate names two issuers", where)
    return said


def _claims(certificate: x509.Certificate, where: str) -> dict[str, str]:
    """What the certificate says of a workflow, by name: each a DER UTF8String."""
    found = {name: _raw(certificate, identifier) for name, identifier in _CLAIMS.items()}
    return {name: _text(content, f"the claim {name}", where) for name, content in found.items() if content is not None}


def _raw(certificate: x509.Certificate, identifier: ObjectIdentifier) -> bytes | None:
    try:
        value = certificate.extensions.get_extension_for_oid(identifier).value
    except x509.ExtensionNotFound:
        return None
    return value.value if isinstance(value, x509.UnrecognizedExtension) else None


def _text(content: bytes, what: str, where: str) -> str:
    try:
        return one(content, what).text(what)
    except MalformedDer as error:
        raise _invalid(str(error), where) from error


def _no_unknown(certificate: x509.Certificate, where: str) -> None:
    """A critical extension that is not understood refuses (RFC 5280 section 4.2); name constraints are not."""
    for extension in certificate.extensions:
        constrains = extension.oid == ExtensionOID.NAME_CONSTRAINTS
        if constrains or (extension.critical and extension.oid not in _UNDERSTOOD):
            raise _invalid(f"a certificate has the extension {extension.oid.dotted_string}, which is not known", where)


def _extension(certificate: x509.Certificate, kind: type[E]) -> x509.Extension[E] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _self_issued(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer


def _without_hash(issuer: x509.Certificate) -> bool:
    """Ed25519 has its hash built in, so a certificate that it signed names none."""
    return isinstance(issuer.public_key(), ed25519.Ed25519PublicKey)


def _spoken(usage: Usage) -> str:
    return usage.name.lower().replace("_", " ")


def _invalid(message: str, where: str) -> AttestationError:
    return AttestationError("certificate-invalid", message, where=where)
