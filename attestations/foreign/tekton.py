"""Referrers of type `application/vnd.in-toto+json`: bare envelopes as layers, as Tekton Chains attaches them.

Source: cosign's library (`WriteAttestationsReferrer`), which Tekton Chains uses. cosign's own command does not find
these (sigstore/cosign#4708), so samebits reads and never writes them.
"""

from __future__ import annotations

from typing import Final

from attestations.foreign.attachment import SAID_CHARACTERS, Attachment, What, Writer
from attestations.foreign.cosign_legacy import ENVELOPE_TYPE
from registries.descriptor import Descriptor
from registries.manifest import Manifest

ARTIFACT_TYPE: Final = "application/vnd.in-toto+json"

_LAYER_TYPES: Final = frozenset({ENVELOPE_TYPE, ARTIFACT_TYPE})
_PREDICATES: Final = ("predicateType", "in-toto.io/predicate-type")


def attachments(manifest: Manifest, where: str) -> tuple[tuple[Attachment, Descriptor], ...]:
    """Each layer with an envelope; nothing where the manifest is of another type."""
    if manifest.listed.artifact_type != ARTIFACT_TYPE:
        return ()
    return tuple(
        (
            Attachment(
                writer=Writer.TEKTON, what=What.ATTESTATION, record=layer.digest, where=where, says=_predicate(layer)
            ),
            layer,
        )
        for layer in manifest.layers
        if layer.media_type in _LAYER_TYPES
    )


def _predicate(layer: Descriptor) -> str:
    return next((layer.annotations[name][:SAID_CHARACTERS] for name in _PREDICATES if name in layer.annotations), "")
