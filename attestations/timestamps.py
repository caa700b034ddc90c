"""Time stamps: an authority's word that a signature existed at a time.

Source: RFC 3161; RFC 5652 (signed data); RFC 5816 (the certificate's hash in the token). The certificates that count
are those of the trusted root; one that a token brings along is used only where the root names the authority above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import new as new_hash
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from attestations.certificates import (
    Usage,
    check_issuers,
    check_leaf,
    check_valid,
    is_authority,
    load_certificate,
    path_from,
    public_key,
)
from attestations.der import INTEGER, NULL, OCTET_STRING, SEQUENCE, SET, Element, MalformedDer, context, one
from attestations.errors import AttestationError
from attestations.keys import PublicKey, encode
from attestations.trusted_root import Authority
from registries.limits import TIMESTAMP_BYTES

_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
_TIME_STAMP: Final = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
_CERTIFICATE_V1: Final = "1.2.840.113549.1.9.16.2.12"
_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"
_DIGESTS: Final = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# A signature's algorithm says its hash, or leaves it to the signer's digest algorithm (None).
_SIGNATURES: Final[dict[str, tuple[type, str | None]]] = {
    "1.2.840.10045.4.3.2": (ec.EllipticCurvePublicKey, "sha256"),
    "1.2.840.10045.4.3.3": (ec.EllipticCurvePublicKey, "sha384"),
    "1.2.840.10045.4.3.4": (ec.EllipticCurvePublicKey, "sha512"),
    "1.2.840.113549.1.1.11": (rsa.RSAPublicKey, "sha256"),
    "1.2.840.113549.1.1.12": (rsa.RSAPublicKey, "sha384"),
    "1.2.840.113549.1.1.13": (rsa.RSAPublicKey, "sha512"),
    "1.2.840.113549.1.1.1": (rsa.RSAPublicKey, None),
    "1.3.101.112": (ed25519.Ed25519PublicKey, None),
}
_SIGNED_DATA_VERSION: Final = 3  # RFC 5652 section 5.1, for content that is not plain data
_BY_NAME: Final = 1  # RFC 5652 section 5.3
_BY_KEY: Final = 3
_DEFAULT_DIGEST: Final = "sha256"  # of an ESSCertIDv2 that names none (RFC 5816)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenTime:
    """A time that somebody configured has signed. `source` is that signer's public key, which tells sources apart."""

    time: datetime
    source: bytes
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A time stamp token as read. `signed` is what the signature covers, `signer` says whose it claims to be."""

    time: datetime
    imprint: tuple[str, bytes]
    signer: tuple[bytes, int] | bytes
    certificate_hash: tuple[str, bytes]
    digest: str
    algorithm: str
    signed: bytes
    signature: bytes
    certificates: tuple[bytes, ...]

    @classmethod
    def read(cls, response: bytes, *, where: str = "") -> Token:
        """From a DER TimeStampResp: `timestamp-malformed`, `size-limit`."""
        if len(response) > TIMESTAMP_BYTES:
            raise AttestationError("size-limit", f"a time stamp of {len(response)} bytes", where=where)
        try:
            return _token(response)
        except MalformedDer as error:
            raise AttestationError("timestamp-malformed", f"the time stamp: {error}", where=where) from error

    def names(self, certificate: x509.Certificate) -> bool:
        """Whether the token says that it was made with this certificate."""
        if isinstance(self.signer, bytes):
            try:
                found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
            except x509.ExtensionNotFound:
                return False
            return found.value.digest == self.signer
        issuer, serial = self.signer
        return certificate.serial_number == serial and certificate.issuer.public_bytes() == issuer


def proven_time(
    response: bytes, message: bytes, authorities: Sequence[Authority], *, where: str = ""
) -> ProvenTime | None:
    """When one of the authorities saw `message`; None where the token is by somebody who is not configured.

    Raises `timestamp-malformed`, and `timestamp-untrusted` for a token that names a configured authority and does not
    hold: another message, a signature that does not fit, a certificate that may not do this or was not valid then.
    """
    token = Token.read(response, where=where)
    refusal: AttestationError | None = None
    for authority in authorities:
        certificate = _certificate_of(token, authority)
        if certificate is None:
            continue
        try:
            return _proven(token, certificate, authority, message, where)
        except AttestationError as error:
            refusal = refusal or error
    if refusal is not None:
        raise _untrusted(refusal.reasons[0].message, where) from refusal
    return None


def _certificate_of(token: Token, authority: Authority) -> x509.Certificate | None:
    """The certificate that the token names: the authority's first, or one that the token brings and it has issued."""
    first = authority.certificates[0]
    if not is_authority(first):
        return first if token.names(first) else None
    for content in token.certificates:
        try:
            certificate = load_certificate(content)
        except AttestationError:
            continue
        if token.names(certificate) and path_from(certificate, authority.certificates):
            return certificate
    return None


def _proven(
    token: Token, certificate: x509.Certificate, authority: Authority, message: bytes, where: str
) -> ProvenTime:
    first, *above = authority.certificates
    path = tuple(above) if certificate is first else path_from(certificate, authority.certificates)
    check_leaf(certificate, Usage.TIME_STAMPING, where=where)
    check_issuers(path, Usage.TIME_STAMPING, where=where)
    content = certificate.public_bytes(serialization.Encoding.DER)
    key = public_key(certificate, where=where)
    _check_signature(token, key, where)
    digest, expected = token.certificate_hash
    if new_hash(digest, content, usedforsecurity=False).digest() != expected:
        raise _untrusted("it was made for another certificate", where)
    digest, imprint = token.imprint
    if new_hash(digest, message).digest() != imprint:
        raise _untrusted("it is about another signature", where)
    if not authority.valid.covers(token.time):
        raise _untrusted(f"it is of {token.time.isoformat()}, when {authority} was not trusted", where)
    check_valid((certificate, *path), token.time, where=where)
    return ProvenTime(time=token.time, source=encode(key), by=str(authority))


def _check_signature(token: Token, key: PublicKey, where: str) -> None:
    kind, named = _SIGNATURES.get(token.algorithm, (type(None), None))
    if not isinstance(key, kind):
        raise _untrusted("its signature is of another kind than its key", where)
    algorithm = _HASHES[named or token.digest]
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(token.signature, token.signed, ec.ECDSA(algorithm))
            case rsa.RSAPublicKey():
                key.verify(token.signature, token.signed, padding.PKCS1v15(), algorithm)
            case ed25519.Ed25519PublicKey():
                key.verify(token.signature, token.signed)
    except (InvalidSignature, UnsupportedAlgorithm) as error:
        raise _untrusted("its signature does not fit", where) from error


def _token(response: bytes) -> Token:
    outer = one(response, "the response").children("the response")
    status = outer.take("the status").children("the status")
    if status.take("the status").integer("the status") != 0:
        raise MalformedDer("the authority did not grant it")
    content = outer.take("the token").children("the token")
    outer.end()
    if content.take("the type").identifier("the type") != _SIGNED_DATA:
        raise MalformedDer("the token is not signed data")
    signed_data = content.take("the signed data").expect(context(0), "the signed data").inner("the signed data")
    content.end()
    return _signed_data(signed_data)


def _signed_data(value: Element) -> Token:
    parts = value.children("the signed data")
    if parts.take("the version").integer("the version") != _SIGNED_DATA_VERSION:
        raise MalformedDer("the signed data is of another version than a time stamp has")
    digests = [_digest(item) for item in parts.take("the digests").children("the digests", SET)]
    inner = parts.take("the content").children("the content")
    if inner.take("the content's type").identifier("the content's type") != _TIME_STAMP:
        raise MalformedDer("what was signed is no time stamp")
    info = inner.take("the content").expect(context(0), "the content").inner("the content").octets("the content")
    inner.end()
    brought = parts.optional(context(0))
    signers = list(parts.take("the signers").children("the signers", SET))
    parts.end()
    if len(signers) != 1:
        raise MalformedDer(f"{len(signers)} signers, there must be exactly one")
    certificates = () if brought is None else tuple(item.whole for item in brought.children("certificates", context(0)))
    return _signer(signers[0], info, digests, certificates)


def _signer(value: Element, info: bytes, digests: Sequence[str], certificates: tuple[bytes, ...]) -> Token:
    parts = value.children("the signer")
    version = parts.take("the version").integer("the version")
    signer = _named(parts.take("the signer's name"))
    if version != (_BY_KEY if isinstance(signer, bytes) else _BY_NAME):
        raise MalformedDer("the signer is of another version than its name asks for")
    digest = _digest(parts.take("the digest"))
    if digest not in digests:
        raise MalformedDer("the signer's digest is not in the list of digests")
    attributes = parts.take("the attributes").expect(context(0), "the attributes")
    algorithm = _algorithm(parts.take("the algorithm"))
    signature = parts.take("the signature").octets("the signature")
    parts.optional(context(1))
    parts.end()
    found = _attributes(attributes)
    if found[_CONTENT_TYPE].identifier("the content type") != _TIME_STAMP:
        raise MalformedDer("the signed content type is no time stamp")
    if found[_MESSAGE_DIGEST].octets("the digest") != new_hash(digest, info).digest():
        raise MalformedDer("its content is not what was signed")
    time, imprint = _info(info)
    return Token(
        time=time,
        imprint=imprint,
        signer=signer,
        certificate_hash=_certificate_hash(found),
        digest=digest,
        algorithm=algorithm,
        signed=bytes([SET]) + attributes.whole[1:],
        signature=signature,
        certificates=certificates,
    )


def _attributes(value: Element) -> dict[str, Element]:
    """The signed attributes, each with its one value; those that are needed must be there."""
    found: dict[str, Element] = {}
    for attribute in value.children("the attributes", context(0)):
        pair = attribute.children("an attribute")
        name = pair.take("its type").identifier("its type")
        values = list(pair.take("its values").children("its values", SET))
        pair.end()
        if name in found or len(values) != 1:
            raise MalformedDer(f"the attribute {name} has several values")
        found[name] = values[0]
    missing = [name for name in (_CONTENT_TYPE, _MESSAGE_DIGEST) if name not in found]
    if missing or not found.keys() & {_CERTIFICATE_V1, _CERTIFICATE_V2}:
        raise MalformedDer("the content's type, its digest or the certificate is not among what was signed")
    return found


def _certificate_hash(found: dict[str, Element]) -> tuple[str, bytes]:
    """The first certificate of SigningCertificateV2, or of the older form, which has SHA-1 (RFC 2634 section 5.4)."""
    newer = found.get(_CERTIFICATE_V2)
    attribute = found[_CERTIFICATE_V1] if newer is None else newer
    certificates = attribute.children("the signing certificate").take("its certificates").children("its certificates")
    first = certificates.take("a certificate").children("a certificate")
    if newer is None:
        return "sha1", first.take("its hash").octets("its hash")
    named = first.optional(SEQUENCE)
    digest = _DEFAULT_DIGEST if named is None else _digest(named)
    return digest, first.take("its hash").octets("its hash")


def _named(value: Element) -> tuple[bytes, int] | bytes:
    """The signer by issuer and serial number, or by key identifier."""
    if value.tag == context(0) - 0x20:
        return value.content
    parts = value.children("the signer's name")
    issuer = parts.take("the issuer").expect(SEQUENCE, "the issuer").whole
    serial = parts.take("the serial number").expect(INTEGER, "the serial number").integer("the serial number")
    parts.end()
    return issuer, serial


def _info(content: bytes) -> tuple[datetime, tuple[str, bytes]]:
    """TSTInfo: its time and what it is about. Extensions are not known, so they refuse."""
    parts = one(content, "the time stamp").children("the time stamp")
    if parts.take("the version").integer("the version") != 1:
        raise MalformedDer("it is not of version 1")
    parts.take("the policy").identifier("the policy")
    imprint = parts.take("the imprint").children("the imprint")
    digest = _digest(imprint.take("the hash"))
    hashed = imprint.take("the hash").expect(OCTET_STRING, "the hash").content
    imprint.end()
    parts.take("the serial number").integer("the serial number")
    time = parts.take("the time").time("the time")
    if any(item.tag == context(1) for item in parts):
        raise MalformedDer("it has extensions, which are not known")
    return time, (digest, hashed)


def _digest(value: Element) -> str:
    identifier = _algorithm(value)
    digest = _DIGESTS.get(identifier)
    if digest is None:
        raise MalformedDer(f"the digest {identifier} is not SHA-256, SHA-384 or SHA-512")
    return digest


def _algorithm(value: Element) -> str:
    """The identifier of an algorithm that has no parameters, or NULL for them."""
    parts = value.children("the algorithm")
    identifier = parts.take("the algorithm").identifier("the algorithm")
    parameters = parts.optional(NULL)
    parts.end()
    if parameters is not None and parameters.content:
        raise MalformedDer("the algorithm has parameters")
    return identifier


def _untrusted(message: str, where: str) -> AttestationError:
    return AttestationError("timestamp-untrusted", f"the time stamp: {message}", where=where)
