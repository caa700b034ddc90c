"""An envelope holds a payload and one signature over the payload and its type.

Source: DSSE v1.0 (secure-systems-lab/dsse, protocol.md and envelope.md). The one place where base64 is read: a text is
accepted only if it is exactly how its bytes are written, so the bytes that are verified are the bytes that are parsed.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from attestations.errors import AttestationError
from attestations.fields import only
from registries.strict_json import kind

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes a signature covers (DSSE, "pre-authentication encoding"). Lengths count bytes, not characters."""
    encoded = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(encoded), encoded, len(payload), payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The payload and its signature as decoded once. Nothing here is proven before the signature is."""

    payload: bytes
    payload_type: str
    signature: bytes

    @classmethod
    def read(cls, value: Any, *, where: str = "") -> Envelope:
        """From parsed JSON: `signature-count`, `payload-type-mismatch`, `payload-encoding`, `field-unknown`.

        A `keyid` is read and left aside: it is not signed, and only the configuration names keys (DSSE, envelope.md).
        """
        if not isinstance(value, dict):
            raise malformed(f"`dsseEnvelope` is not an object, but {kind(value)}", where)
        only(value, ("payload", "payloadType", "signatures"), "the envelope", where=where)
        signature = _only_signature(value.get("signatures"), where)
        if value.get("payloadType") != PAYLOAD_TYPE:
            raise AttestationError(
                "payload-type-mismatch",
                f"the payload is of type {value.get('payloadType')!r:.80}, not {PAYLOAD_TYPE!r}",
                where=where,
            )
        return cls(
            payload=from_base64(value.get("payload"), "the payload", where=where),
            payload_type=PAYLOAD_TYPE,
            signature=from_base64(signature, "the signature", where=where),
        )

    @property
    def signed_bytes(self) -> bytes:
        """What the signature has to cover."""
        return pae(self.payload_type, self.payload)

    def json(self) -> dict[str, Any]:
        """The object as samebits writes it: one signature and no `keyid`, which cosign would trip over."""
        return {
            "payload": to_base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": [{"sig": to_base64(self.signature)}],
        }


def to_base64(content: bytes) -> str:
    """Standard alphabet, padded."""
    return base64.b64encode(content).decode("ascii")


def from_base64(value: Any, what: str, *, where: str = "") -> bytes:
    """The bytes whose one and only base64 form this is; anything else is `payload-encoding`."""
    if not isinstance(value, str):
        raise malformed(f"{what} is not a string of base64, but {kind(value)}", where)
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AttestationError("payload-encoding", f"{what} is not base64: {error}", where=where) from error
    if to_base64(content) != value:
        raise AttestationError("payload-encoding", f"{what} is not written as base64 writes it", where=where)
    return content


def malformed(message: str, where: str) -> AttestationError:
    """The refusal for a bundle or envelope of the wrong shape."""
    return AttestationError("bundle-malformed", message, where=where)


def _only_signature(value: Any, where: str) -> Any:
    if not isinstance(value, list):
        raise malformed(f"`signatures` is not an array, but {kind(value)}", where)
    if len(value) != 1:
        raise AttestationError("signature-count", f"{len(value)} signatures, there must be exactly one", where=where)
    signature = value[0]
    if not isinstance(signature, dict):
        raise malformed(f"a signature is not an object, but {kind(signature)}", where)
    only(signature, ("sig", "keyid"), "the signature", where=where)
    if not isinstance(signature.get("keyid", ""), str):
        raise malformed(f"`keyid` is not a string, but {kind(signature['keyid'])}", where)
    return signature.get("sig")
