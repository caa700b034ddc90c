"""Small real images as plain values: configuration, layers, manifests, an index, and where to push them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from registries.tree import Platform
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.manifest import EMPTY, EMPTY_CONTENT, OCI_INDEX, OCI_MANIFEST, Manifest, artifact, index_bytes
from registries.registry import Location
from registries.strict_json import dumps

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class Image:
    """An image: `manifests` in push order, the image's own last; `blobs` are all bytes below them."""

    manifests: tuple[Manifest, ...]
    blobs: tuple[tuple[Descriptor, bytes], ...]
    platforms: tuple[Platform, ...] = ()

    @property
    def manifest(self) -> Manifest:
        return self.manifests[-1]

    @property
    def digest(self) -> Digest:
        return self.manifest.digest

    def push(self, place: Location, tag: str | None = None) -> Image:
        for descriptor, content in self.blobs:
            push_blob(place, descriptor, content)
        for manifest in self.manifests:
            place.registry.push_manifest(place.repository, manifest)
        if tag is not None:
            place.registry.tag(place.repository, tag, self.manifest, expected=None)
        return self


def push_blob(place: Location, descriptor: Descriptor, content: bytes) -> None:
    place.registry.push_blob(place.repository, descriptor, lambda: (content,))


def blob(content: bytes, media_type: str = "application/octet-stream") -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))


def image(
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64"), *, layers: int = 2, seed: str = "a", spaces: int = 0
) -> Image:
    """An index over the platforms, or one image manifest when only one is named. `spaces`: odd white space to keep."""
    made = [_platform(name, layers, seed, spaces) for name in platforms]
    blobs = tuple(pair for one in made for pair in one.blobs)
    found = tuple(_named(name, one.manifest) for name, one in zip(platforms, made, strict=True))
    manifests = tuple(one.manifest for one in made)
    if len(made) == 1:
        return Image(manifests, blobs, found)
    entries = tuple(
        {**manifest.descriptor.json(), "platform": dict(zip(("os", "architecture"), name.split("/"), strict=True))}
        for name, manifest in zip(platforms, manifests, strict=True)
    )
    index = Manifest.from_bytes(index_bytes(entries) + b" " * spaces, media_type=OCI_INDEX)
    return Image((*manifests, index), blobs, found)


def referrer(
    subject: Manifest, content: bytes = b"a note", *, artifact_type: str = "application/vnd.test.note"
) -> Image:
    """Something that hangs on a manifest."""
    layer = blob(content)
    manifest = artifact(
        artifact_type=artifact_type, layers=(layer,), subject=subject.descriptor, annotations={"is": "a test"}
    )
    return Image((manifest,), ((layer, content), (EMPTY, EMPTY_CONTENT)))


def layer_tar(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _platform(name: str, layers: int, seed: str, spaces: int) -> Image:
    tars = [layer_tar(f"file{number}", f"{seed} {name} {number}\n".encode() * 50) for number in range(layers)]
    zipped = [gzip.compress(tar, mtime=0) for tar in tars]
    config = dumps(
        {
            "os": name.split("/", maxsplit=1)[0],
            "architecture": name.split("/")[1],
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]},
        }
    )
    described = [blob(content, LAYER_TYPE) for content in zipped]
    value: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": blob(config, CONFIG_TYPE).json(),
        "layers": [descriptor.json() for descriptor in described],
    }
    manifest = Manifest.from_bytes(b" " * spaces + dumps(value), media_type=OCI_MANIFEST)
    return Image((manifest,), (*zip(described, zipped, strict=True), (blob(config, CONFIG_TYPE), config)))


def _named(name: str, manifest: Manifest) -> Platform:
    assert manifest.config is not None
    return Platform(name=name, manifest=manifest.digest, config=manifest.config.digest)
