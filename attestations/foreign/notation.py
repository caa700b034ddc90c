"""Notation's signatures: over a descriptor, not over a statement. Shown as "signed by", never counted.

Source: Notary Project, signature-specification.md and signature-envelope-jws.md. Nothing of a signature is verified.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from attestations.errors import AttestationError
from attestations.fields import parse
from attestations.foreign.attachment import SAID_CHARACTERS, Attachment, What, Writer
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.limits import BUNDLE_BYTES
from registries.manifest import Manifest

ARTIFACT_TYPE: Final = "application/vnd.cncf.notary.signature"
JWS_TYPE: Final = "application/jose+json"

_LAYER_TYPES: Final = frozenset({JWS_TYPE, "application/cose"})


def attachments(manifest: Manifest, where: str) -> tuple[tuple[Attachment, Descriptor], ...]:
    """The signature's envelope; nothing where the manifest is of another type."""
    if manifest.listed.artifact_type != ARTIFACT_TYPE:
        return ()
    return tuple(
        (Attachment(writer=Writer.NOTATION, what=What.SIGNATURE, record=layer.digest, where=where), layer)
        for layer in manifest.layers
        if layer.media_type in _LAYER_TYPES
    )


def signed_by(content: bytes, subject: Digest, *, where: str = "") -> str:
    """Whom a JWS envelope says that it is by: the subject of its first certificate, unproven.

    Raises `bundle-malformed` and, where it is about another image, `subject-mismatch`.
    """
    from cryptography import x509

    value = parse(content, limit=BUNDLE_BYTES, malformed="bundle-malformed", where=where)
    payload = parse(_part(value.get("payload"), where), limit=BUNDLE_BYTES, malformed="bundle-malformed", where=where)
    target = payload.get("targetArtifact")
    named = target.get("digest") if isinstance(target, dict) else None
    if named != str(subject):
        raise AttestationError("subject-mismatch", f"the signature is about {named!r:.80}, not {subject}", where=where)
    header = value.get("header")
    chain = header.get("x5c") if isinstance(header, dict) else None
    if not isinstance(chain, list) or not chain:
        return "nobody by name"
    try:
        certificate = x509.load_der_x509_certificate(_decoded(chain[0], altchars=None))
        return ascii(certificate.subject.rfc4514_string())[1:-1][:SAID_CHARACTERS]
    except (ValueError, x509.InvalidVersion) as error:
        raise AttestationError("bundle-malformed", f"its certificate can't be read: {error}", where=where) from error


def _part(value: Any, where: str) -> bytes:
    """A part of a JWS: base64url without padding (RFC 7515)."""
    try:
        return _decoded(f"{value}{'=' * (-len(value) % 4)}" if isinstance(value, str) else value, altchars=b"-_")
    except ValueError as error:
        raise AttestationError("bundle-malformed", f"a part that is not base64url: {error}", where=where) from error


def _decoded(value: Any, *, altchars: bytes | None) -> bytes:
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004
    try:
        return base64.b64decode(value, altchars, validate=True)  # noqa: TID251  shown only, so that strictness is moot
    except binascii.Error as error:
        raise ValueError(str(error)) from error
