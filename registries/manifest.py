"""A manifest keeps the exact bytes its digest names, with what they say parsed beside them.

Source: OCI image-spec 1.1, manifest.md and image-index.md; Docker image manifest version 2, schema 2.
One document with two readings is refused (CVE-2021-41190): `mediaType` is mandatory and decides alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from registries.descriptor import Descriptor, malformed, optional_text, read_annotations
from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import LAYERS_PER_MANIFEST, MANIFEST_BYTES, MANIFESTS_PER_IMAGE
from registries.strict_json import dumps, loads_object

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
EMPTY_CONTENT: Final = b"{}"

_SCHEMA: Final = 2
IMAGE_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
ACCEPTED_TYPES: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)

EMPTY: Final = Descriptor(media_type=EMPTY_TYPE, digest=Digest.of(EMPTY_CONTENT), size=len(EMPTY_CONTENT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An image manifest or an image index. `content` is what `digest` names and is never written again.

    `config` and `layers` are those of an image manifest, `children` those of an index; the other is empty.
    """

    content: bytes
    digest: Digest
    media_type: str
    artifact_type: str | None
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: Descriptor | None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_bytes(
        cls, content: bytes, *, media_type: str | None = None, algorithm: str = "sha256", where: str = ""
    ) -> Manifest:
        """Parse; `media_type` is what the Content-Type or the descriptor claimed and must agree."""
        value = loads_object(content, limit=MANIFEST_BYTES, where=where)
        if value.get("schemaVersion") == 1 or "fsLayers" in value:
            raise ContentError("manifest-unsupported", "Docker schema 1 images can't be kept by digest", where=where)
        if value.get("schemaVersion") != _SCHEMA:
            raise malformed("`schemaVersion` is not 2", where)
        found = value.get("mediaType")
        if not isinstance(found, str):
            raise ContentError("media-type-confusion", "the manifest states no `mediaType`", where=where)
        if media_type is not None and found != media_type:
            raise ContentError(
                "media-type-confusion", f"announced as {media_type}, but the document says {found}", where=where
            )
        if found not in IMAGE_TYPES | INDEX_TYPES:
            raise ContentError("manifest-unsupported", f"no image manifest or index, but {found}", where=where)
        subject = value.get("subject")
        config, layers = _image(value, where) if found in IMAGE_TYPES else (None, ())
        return cls(
            content=content,
            digest=Digest.of(content, algorithm),
            media_type=found,
            artifact_type=optional_text(value, "artifactType", where),
            config=config,
            layers=layers,
            children=_index(value, where) if found in INDEX_TYPES else (),
            subject=None if subject is None else Descriptor.read(subject, where=f"{where} subject".strip()),
            annotations=read_annotations(value, where),
        )

    @property
    def is_index(self) -> bool:
        """Whether this is an image index (or a Docker manifest list)."""
        return self.media_type in INDEX_TYPES

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers: what must be at a place before this manifest may go there."""
        return self.layers if self.config is None else (self.config, *self.layers)

    @property
    def descriptor(self) -> Descriptor:
        """How others point at this manifest."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.content))

    @property
    def listed(self) -> Descriptor:
        """How a referrers list names this manifest: artifact type (or that of its config) and all annotations.

        Source: OCI distribution-spec 1.1, "Listing Referrers".
        """
        fallback = self.config.media_type if self.config is not None else None
        return Descriptor(
            media_type=self.media_type,
            digest=self.digest,
            size=len(self.content),
            artifact_type=self.artifact_type or fallback,
            annotations=self.annotations,
        )


def artifact(
    *, artifact_type: str, layers: tuple[Descriptor, ...], subject: Descriptor, annotations: Mapping[str, str]
) -> Manifest:
    """A new manifest that hangs something on `subject`. Source: OCI image-spec 1.1, "Guidelines for Artifact Usage"."""
    value: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": EMPTY.json(),
        "layers": [layer.json() for layer in layers],
        "annotations": dict(annotations),
        "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
    }
    return Manifest.from_bytes(dumps(value), media_type=OCI_MANIFEST)


def index_bytes(entries: tuple[Mapping[str, Any], ...]) -> bytes:
    """The bytes of a new OCI index over these descriptors, foreign ones as they were found."""
    return dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [dict(entry) for entry in entries]})


def _image(value: Mapping[str, Any], where: str) -> tuple[Descriptor, tuple[Descriptor, ...]]:
    if "manifests" in value:
        raise ContentError("media-type-confusion", "an image manifest that also lists `manifests`", where=where)
    layers = value.get("layers")
    if not isinstance(layers, list):
        raise malformed("`layers` is not a list", where)
    if len(layers) > LAYERS_PER_MANIFEST:
        raise ContentError(
            "limit-exceeded", f"{len(layers)} layers are more than the limit of {LAYERS_PER_MANIFEST}", where=where
        )
    config = Descriptor.read(value.get("config"), where=f"{where} config".strip())
    return config, tuple(
        Descriptor.read(layer, where=f"{where} layers[{number}]".strip()) for number, layer in enumerate(layers)
    )


def _index(value: Mapping[str, Any], where: str) -> tuple[Descriptor, ...]:
    if "layers" in value or "config" in value:
        raise ContentError("media-type-confusion", "an index that also has `layers` or `config`", where=where)
    children = value.get("manifests")
    if not isinstance(children, list):
        raise malformed("`manifests` is not a list", where)
    if len(children) > MANIFESTS_PER_IMAGE:
        raise ContentError(
            "limit-exceeded", f"{len(children)} manifests are more than the limit of {MANIFESTS_PER_IMAGE}", where=where
        )
    return tuple(
        Descriptor.read(child, where=f"{where} manifests[{number}]".strip()) for number, child in enumerate(children)
    )
