"""What BuildKit puts beside the platforms of an index: manifests whose layers are statements that nobody signed.

Source: BuildKit, "Attestation storage". The index's digest covers them, so they are whole; but whoever builds the image
writes them, and no signer stands behind one. They are shown, and never counted: see docs/decisions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attestations.foreign.attachment import SAID_CHARACTERS, Attachment, What, Writer
from registries.digest import Digest
from registries.manifest import Manifest

LAYER_TYPE: Final = "application/vnd.in-toto+json"

_REFERENCE_TYPE: Final = "vnd.docker.reference.type"
_ATTESTATION: Final = "attestation-manifest"
_PREDICATE: Final = "in-toto.io/predicate-type"


def children(index: Manifest) -> tuple[Digest, ...]:
    """The attestation manifests that an index marks as such."""
    return tuple(child.digest for child in index.children if child.annotations.get(_REFERENCE_TYPE) == _ATTESTATION)


def attachments(manifest: Manifest, where: str) -> Iterable[Attachment]:
    """Each statement; layers of other types are to be ignored."""
    return tuple(
        Attachment(
            writer=Writer.BUILDKIT,
            what=What.ATTESTATION,
            record=layer.digest,
            where=where,
            says=f"{layer.annotations.get(_PREDICATE, '')[:SAID_CHARACTERS]} (unsigned)".lstrip(),
        )
        for layer in manifest.layers
        if layer.media_type == LAYER_TYPE
    )
