"""Signed certificate timestamps: a log of certificates promises to show that an authority issued this one.

Source: RFC 6962 sections 3.2 and 3.3. The promise covers the certificate without the list of promises that it carries,
and the key of its issuer, which is taken from the proven path and never found by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.certificate_transparency import LogEntryType, SignatureAlgorithm, SignedCertificateTimestamp

from attestations.certificates import public_key
from attestations.errors import AttestationError
from attestations.keys import encode, verify_signature
from attestations.trusted_root import Log
from registries.limits import CERTIFICATE_TIMESTAMPS

_V1: Final = b"\x00"
_CERTIFICATE_TIMESTAMP: Final = b"\x00"
_PRECERTIFICATE: Final = b"\x00\x01"
_ALGORITHMS: Final = {
    SignatureAlgorithm.ECDSA: ec.EllipticCurvePublicKey,
    SignatureAlgorithm.RSA: rsa.RSAPublicKey,
}


def certificate_logs(
    certificate: x509.Certificate, issuer: x509.Certificate, logs: Mapping[bytes, Log], *, where: str = ""
) -> frozenset[bytes]:
    """The keys of the configured logs that promised this certificate; promises of other logs count for nothing.

    Raises `certificate-timestamp-invalid` when a configured log's promise does not hold, and `limit-exceeded`.
    """
    found: set[bytes] = set()
    for promise in _promises(certificate, where):
        log = logs.get(promise.log_id)
        if log is not None:
            _check(promise, certificate, issuer, log, where)
            found.add(log.public_key)
    return frozenset(found)


def _promises(certificate: x509.Certificate, where: str) -> Sequence[SignedCertificateTimestamp]:
    try:
        promises = list(
            certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        )
    except x509.ExtensionNotFound:
        return ()
    if len(promises) > CERTIFICATE_TIMESTAMPS:
        raise AttestationError("limit-exceeded", f"{len(promises)} certificate timestamps", where=where)
    return promises


def _check(
    promise: SignedCertificateTimestamp, certificate: x509.Certificate, issuer: x509.Certificate, log: Log, where: str
) -> None:
    kind = _ALGORITHMS.get(promise.signature_algorithm)
    if promise.entry_type is not LogEntryType.PRE_CERTIFICATE or kind is None or not isinstance(log.key, kind):
        raise _invalid(f"of {log} is of another kind than its key", where)
    try:
        verify_signature(log.key, promise.signature, _signed(promise, certificate, issuer), where=where)
    except AttestationError as error:
        raise _invalid(f"of {log} does not fit the certificate", where) from error
    time = promise.timestamp.replace(tzinfo=UTC)
    if not log.valid.covers(time):
        raise _invalid(f"is of {time.isoformat()}, when the key of {log} was not valid", where)


def _signed(promise: SignedCertificateTimestamp, certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The structure that RFC 6962 section 3.2 calls `digitally-signed`, for an entry of type precert_entry."""
    body = certificate.tbs_precertificate_bytes
    milliseconds = int(promise.timestamp.replace(tzinfo=UTC).timestamp()) * 1000 + promise.timestamp.microsecond // 1000
    issuer_key = sha256(encode(public_key(issuer))).digest()
    return b"".join(
        (
            _V1,
            _CERTIFICATE_TIMESTAMP,
            milliseconds.to_bytes(8, "big"),
            _PRECERTIFICATE,
            issuer_key,
            len(body).to_bytes(3, "big"),
            body,
            len(promise.extension_bytes).to_bytes(2, "big"),
            promise.extension_bytes,
        )
    )


def _invalid(message: str, where: str) -> AttestationError:
    return AttestationError("certificate-timestamp-invalid", f"a certificate timestamp {message}", where=where)
