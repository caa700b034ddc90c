"""Notation's signatures: over a descriptor, not over a statement. Shown as "signed by", never counted.

Source: Notary Project, signature-specification.md and signature-envelope-jws.md. Nothing of a signature is verified.
"""

from __future__ import annotations

from typing import Any, Final

from attestations.envelope import from_base64, malformed
from attestations.errors import AttestationError
from attestations.fields import parse
from attestations.foreign.attachment import SAID_CHARACTERS, Attachment, What, Writer
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.limits import BUNDLE_BYTES
from registries.manifest import Manifest

ARTIFACT_TYPE: Final = "application/vnd.cncf.notary.signature"
JWS_TYPE: Final = "application/jose+json"

_FROM_URL: Final = str.maketrans("-_", "+/")
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

    Raises `bundle-malformed`, what reading a certificate raises, and where it is about another image
    `subject-mismatch`.
    """
    from attestations.certificates import load_certificate

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
    certificate = load_certificate(from_base64(chain[0], "its certificate", where=where), where=where)
    return ascii(certificate.subject.rfc4514_string())[1:-1][:SAID_CHARACTERS]


def _part(value: Any, where: str) -> bytes:
    """A part of a JWS: base64url without padding (RFC 7515)."""
    if not isinstance(value, str):
        raise malformed("a part of the signature is no text", where)
    return from_base64(f"{value.translate(_FROM_URL)}{'=' * (-len(value) % 4)}", "a part of the signature", where=where)
