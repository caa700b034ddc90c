"""What cosign 1 and 2 keep under tags beside an image: `sha256-<hex>.att`, `.sig` and `.sbom`.

Source: cosign's specifications of signatures, attestations and SBOMs. A layer per attestation, a bare envelope; a layer
per signature, over simple-signing JSON, with the signature in an annotation.
"""

from __future__ import annotations

from typing import Final

from attestations.foreign.attachment import SAID_CHARACTERS, Attachment, What, Writer
from attestations.foreign.envelopes import CERTIFICATE
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.manifest import Manifest

ENVELOPE_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
SIGNATURE_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SUFFIXES: Final = {".att": What.ATTESTATION, ".sig": What.SIGNATURE, ".sbom": What.SBOM}

_PREDICATE: Final = "predicateType"


def tag(digest: Digest, suffix: str) -> str:
    """Under which tag cosign looks for it."""
    return f"{digest.algorithm}-{digest.hex}{suffix}"


def attachments(manifest: Manifest, what: What, where: str) -> tuple[tuple[Attachment, Descriptor], ...]:
    """Each layer, and what it is; layers of other kinds than the tag says are nobody's."""
    wanted = {What.ATTESTATION: ENVELOPE_TYPE, What.SIGNATURE: SIGNATURE_TYPE}.get(what)
    return tuple(
        (Attachment(writer=Writer.COSIGN, what=what, record=layer.digest, where=where, says=_says(layer, what)), layer)
        for layer in manifest.layers
        if wanted is None or layer.media_type == wanted
    )


def _says(layer: Descriptor, what: What) -> str:
    match what:
        case What.ATTESTATION:
            return layer.annotations.get(_PREDICATE, "")[:SAID_CHARACTERS]
        case What.SIGNATURE:
            return "by a certificate" if layer.annotations.get(CERTIFICATE) else "by a key"
        case What.SBOM:
            return layer.media_type[:SAID_CHARACTERS]
