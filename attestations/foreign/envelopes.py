"""A signed envelope that is no bundle: alone in a blob, with its proof in annotations of the descriptor.

Source: cosign's attestation and signature specifications (`dev.sigstore.cosign/…` annotations), DSSE v1.0. What is made
here of an envelope goes through the same verifier as a bundle; its identity is the digest of the bytes that are stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256, sha384, sha512
from typing import Any, Final

from attestations.bundle import BUNDLE_TYPE, BUNDLE_V01, Bundle, Material
from attestations.envelope import Envelope, from_base64, to_base64
from attestations.errors import AttestationError
from attestations.fields import only, parse
from registries.digest import Digest
from registries.errors import Reason
from registries.limits import BUNDLE_BYTES, CERTIFICATE_BYTES
from registries.strict_json import dumps

CERTIFICATE: Final = "dev.sigstore.cosign/certificate"
LOG_BUNDLE: Final = "dev.sigstore.cosign/bundle"
TIMESTAMP: Final = "dev.sigstore.cosign/rfc3161timestamp"

_PEM: Final = re.compile(
    r"\s*-----BEGIN CERTIFICATE-----\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)-----END CERTIFICATE-----\s*", re.ASCII
)
_HASHES: Final = (sha256, sha384, sha512)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """An envelope as a bundle, with everything of its proof that a bundle can hold, and what it can't and why."""

    bundle: Bundle
    left: tuple[Reason, ...] = ()


def read_loose(content: bytes, annotations: Mapping[str, str], *, where: str = "") -> Bundle:
    """The envelope in `content` with the proof that its descriptor's annotations bring, ready for a verifier.

    `bundle.content` is `content` itself, so what is written to a registry from it would be no bundle: see `wrap`.
    The chain is left out, as only the configuration's counts.
    Raises `bundle-malformed`, `log-entry-invalid`, `key-material-mismatch`, and what `Envelope.read` raises.
    """
    envelope = Envelope.read(parse(content, limit=BUNDLE_BYTES, malformed="bundle-malformed"), where=where)
    certificate = _certificate(annotations.get(CERTIFICATE), where)
    entry = _log_entry(annotations.get(LOG_BUNDLE), where)
    stamp = _timestamp(annotations.get(TIMESTAMP), where)
    material = Material(
        media_type=BUNDLE_V01 if entry else BUNDLE_TYPE,
        hint="" if certificate is None else None,
        certificate=certificate,
        log_entries=(entry,) if entry else (),
        timestamps=(stamp,) if stamp else (),
    )
    over_signature = stamp is None or is_over(stamp, envelope.signature)
    return Bundle(
        content=content,
        record=Digest.of(content),
        material=material,
        envelope=envelope,
        stamped=None if over_signature else content,
    )


def wrap(loose: Bundle, *, where: str = "") -> Wrapped:
    """The same envelope in a bundle: its signature untouched, in the version that its proof allows.

    A key's goes into version 0.3, which every reader of bundles takes. A certificate's with a log's promise alone fits
    only version 0.1: later ones ask for an inclusion proof, which the older form does not keep. A time stamp over the
    whole envelope, as cosign 2 asked for, has no place in any bundle. Raises `proof-not-portable` where what is left
    could not be verified by anybody.
    """
    material, left = loose.material, []
    stamps = material.timestamps if loose.stamped is None else ()
    if material.timestamps and not stamps:
        left.append(
            _lost("its time stamp is over the whole envelope; in a bundle it must be over the signature", where)
        )
    if material.certificate is None:
        if material.log_entries:
            left.append(
                _lost("the log's promise: a bundle with a key and a promise alone is not read by cosign", where)
            )
        return Wrapped(bundle=_bundle(BUNDLE_TYPE, {"publicKey": {"hint": ""}}, stamps, loose), left=tuple(left))
    certificate = {"rawBytes": to_base64(material.certificate)}
    if material.log_entries:
        left.append(
            _lost("an inclusion proof: with the promise alone it is version 0.1, which cosign 3 does not read", where)
        )
        members = {"x509CertificateChain": {"certificates": [certificate]}, "tlogEntries": [*material.log_entries]}
        return Wrapped(bundle=_bundle(BUNDLE_V01, members, stamps, loose), left=tuple(left))
    if not stamps:
        message = "signed with a certificate, and nothing that a bundle can hold proves when"
        raise AttestationError("proof-not-portable", "; ".join([message, *(one.message for one in left)]), where=where)
    return Wrapped(bundle=_bundle(BUNDLE_TYPE, {"certificate": certificate}, stamps, loose), left=tuple(left))


def is_over(stamp: bytes, message: bytes) -> bool:
    """Whether a time stamp holds the hash of these bytes. It only tells forms apart; nothing is proven by it."""
    return any(hashed(message).digest() in stamp for hashed in _HASHES)


def _bundle(media_type: str, material: dict[str, Any], stamps: tuple[bytes, ...], loose: Bundle) -> Bundle:
    if stamps:
        found = [{"signedTimestamp": to_base64(stamp)} for stamp in stamps]
        material["timestampVerificationData"] = {"rfc3161Timestamps": found}
    value = {"mediaType": media_type, "verificationMaterial": material, "dsseEnvelope": loose.envelope.json()}
    return Bundle.from_bytes(dumps(value))


def _lost(message: str, where: str) -> Reason:
    return Reason("proof-not-portable", message, where)


def _certificate(pem: str | None, where: str) -> bytes | None:
    """The one certificate in PEM form, as DER."""
    if not pem:
        return None
    found = _PEM.fullmatch(pem) if len(pem) <= 2 * CERTIFICATE_BYTES else None
    if found is None:
        raise AttestationError("key-material-mismatch", f"`{CERTIFICATE}` is not one certificate", where=where)
    return from_base64("".join(found[1].split()), "the certificate", where=where)


def _log_entry(text: str | None, where: str) -> dict[str, Any] | None:
    """A log entry that cosign keeps, as a bundle has it; one without a promise (Rekor v2 gives none) proves nothing."""
    if not text:
        return None
    value = parse(text.encode(), limit=BUNDLE_BYTES, malformed="log-entry-invalid", where=where)
    only(value, ("SignedEntryTimestamp", "Payload"), f"`{LOG_BUNDLE}`", where=where)
    if not value.get("SignedEntryTimestamp"):
        return None
    payload = value.get("Payload")
    if not isinstance(payload, dict):
        raise AttestationError("log-entry-invalid", f"`{LOG_BUNDLE}` has no `Payload`", where=where)
    only(payload, ("body", "integratedTime", "logIndex", "logID"), "`Payload`", where=where)
    body = parse(
        from_base64(payload.get("body"), "the log entry", where=where),
        limit=BUNDLE_BYTES,
        malformed="log-entry-invalid",
        where=where,
    )
    try:
        log_id = bytes.fromhex(str(payload.get("logID")))
    except ValueError as error:
        raise AttestationError("log-entry-invalid", "the log's id is not hexadecimal", where=where) from error
    return {
        "logIndex": str(payload.get("logIndex", 0)),
        "logId": {"keyId": to_base64(log_id)},
        "kindVersion": {"kind": body.get("kind"), "version": body.get("apiVersion")},
        "integratedTime": str(payload.get("integratedTime", 0)),
        "inclusionPromise": {"signedEntryTimestamp": value["SignedEntryTimestamp"]},
        "canonicalizedBody": payload["body"],
    }


def _timestamp(text: str | None, where: str) -> bytes | None:
    if not text:
        return None
    value = parse(text.encode(), limit=BUNDLE_BYTES, malformed="timestamp-untrusted", where=where)
    only(value, ("SignedRFC3161Timestamp",), f"`{TIMESTAMP}`", where=where)
    return from_base64(value.get("SignedRFC3161Timestamp"), "the time stamp", where=where)
