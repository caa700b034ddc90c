"""Small real images as plain values: layers, configurations, manifests, an index, what hangs on them.

made = image(platforms=("linux/amd64", "linux/arm64"), layers=2, seed="a").push(place, "1.0")
note = referrer(made.manifest, b"looks good").push(place)
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.manifest import EMPTY, EMPTY_CONTENT, OCI_INDEX, OCI_MANIFEST, Manifest, artifact, index_bytes
from registries.registry import Location
from registries.strict_json import dumps
from registries.tree import Platform

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
IN_TOTO_TYPE = "application/vnd.in-toto+json"


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


def image(
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
    *,
    layers: int = 2,
    seed: str = "a",
    spaces: int = 0,
    gzipped: bool = True,
) -> Image:
    """An index over the platforms, or one image manifest when only one is named. `spaces`: odd white space to keep."""
    made = [_platform(name, layers, seed, spaces, gzipped=gzipped) for name in platforms]
    return made[0] if len(made) == 1 else index(*made, names=platforms, spaces=spaces)


def image_of(*layers: bytes) -> Image:
    """An image manifest with exactly these layers."""
    config = dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}})
    made = _assembled((config, CONFIG_TYPE), [(layer, LAYER_TYPE) for layer in layers])
    platform = Platform(name="linux/amd64", manifest=made.digest, config=Digest.of(config))
    return Image(made.manifests, made.blobs, (platform,))


def index(*children: Image, names: Sequence[str] = (), spaces: int = 0, **fields: Any) -> Image:
    """An index over these images, which may be indexes themselves."""
    entries: list[Mapping[str, Any]] = [child.manifest.descriptor.json() for child in children]
    for number, name in enumerate(names):
        keys = ("os", "architecture", "variant")
        entries[number] = {**entries[number], "platform": dict(zip(keys, name.split("/"), strict=False))}
    content = index_bytes(tuple(entries)) if not fields else dumps({**index_value(entries), **fields})
    made = Manifest.from_bytes(content + b" " * spaces, media_type=OCI_INDEX)
    manifests = {manifest.digest: manifest for child in children for manifest in child.manifests}
    return Image(
        manifests=(*manifests.values(), made),
        blobs=tuple(pair for child in children for pair in child.blobs),
        platforms=tuple(platform for child in children for platform in child.platforms),
    )


def index_value(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}


def attestation(seed: str = "a") -> Image:
    """What BuildKit puts beside the platforms of an index: an image manifest that can't run."""
    config, statement = dumps({"os": "unknown", "architecture": "unknown"}), dumps({"seed": seed})
    return _assembled((config, CONFIG_TYPE), [(statement, IN_TOTO_TYPE)])


def referrer(
    subject: Manifest,
    content: bytes = b"a note",
    *,
    artifact_type: str = "application/vnd.test.note",
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """Something that hangs on a manifest."""
    layer = blob(content)
    manifest = artifact(
        artifact_type=artifact_type,
        layers=(layer,),
        subject=subject.descriptor,
        annotations={"is": "a test"} if annotations is None else annotations,
    )
    return Image((manifest,), ((layer, content), (EMPTY, EMPTY_CONTENT)))


def blob(content: bytes, media_type: str = "application/octet-stream") -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))


def push_blob(place: Location, descriptor: Descriptor, content: bytes) -> None:
    place.registry.push_blob(place.repository, descriptor, lambda: (content,))


def manifest_value(config: Descriptor = EMPTY, layers: Sequence[Descriptor] = (), **fields: Any) -> dict[str, Any]:
    """What an image manifest says; for tests that write it wrongly."""
    value = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.json()}
    return {**value, "layers": [layer.json() for layer in layers], **fields}


def layer_tar(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _platform(name: str, layers: int, seed: str, spaces: int, *, gzipped: bool) -> Image:
    tars = [layer_tar(f"file{number}", f"{seed} {name} {number}\n".encode() * 50) for number in range(layers)]
    config = dumps(
        {
            **dict(zip(("os", "architecture", "variant"), name.split("/"), strict=False)),
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(tar)) for tar in tars]},
        }
    )
    contents = [(gzip.compress(tar, mtime=0), LAYER_TYPE) if gzipped else (tar, PLAIN_LAYER_TYPE) for tar in tars]
    made = _assembled((config, CONFIG_TYPE), contents, spaces)
    platform = Platform(name=name, manifest=made.digest, config=Digest.of(config))
    return Image(made.manifests, made.blobs, (platform,))


def _assembled(config: tuple[bytes, str], layers: Sequence[tuple[bytes, str]], spaces: int = 0) -> Image:
    blobs = tuple((blob(content, media_type), content) for content, media_type in (config, *layers))
    value = manifest_value(blobs[0][0], [descriptor for descriptor, _ in blobs[1:]])
    return Image((Manifest.from_bytes(b" " * spaces + dumps(value), media_type=OCI_MANIFEST),), blobs)
