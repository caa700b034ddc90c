"""An image with all that its bytes reach: an index, its children to any nesting that is allowed, and their blobs.

Source: OCI image-spec 1.1, image-index.md and descriptor.md. A descriptor promises media type, digest and size; whoever
breaks one of these promises is refused. What `urls` name is never fetched, so layers that lie there are refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Final

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import INDEX_DEPTH, MANIFEST_BYTES, MANIFESTS_PER_IMAGE, MIB, QUESTIONS_AT_ONCE
from registries.manifest import Manifest
from registries.registry import Location
from registries.shelf import Shelf
from registries.stored import agrees
from registries.strict_json import loads_object

IMAGE_CONFIG_TYPES: Final = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
MANIFEST_BYTES_TOGETHER: Final = 64 * MIB

_IN_TOTO: Final = "application/vnd.in-toto+json"
_FOREIGN_TYPES: Final = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One image that can run: the digests of its manifest and its configuration. The name is for people."""

    name: str
    manifest: Digest
    config: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The manifest that was asked for and all below it, by digest."""

    manifest: Manifest
    manifests: Mapping[Digest, Manifest]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every config and layer, each once."""
        return tuple({blob.digest: blob for found in self.manifests.values() for blob in found.blobs}.values())


def tree(location: Location, digest: Digest, *, shelf: Shelf | None = None) -> Tree:
    """Fetch the manifest of this digest and all below it. Raises what `manifests_below` does."""
    found = manifests_below(location, digest, shelf=shelf)
    return Tree(manifest=found[digest], manifests=found)


def manifests_below(location: Location, digest: Digest, *, shelf: Shelf | None = None) -> dict[Digest, Manifest]:
    """The manifest of this digest, which comes first, and all below it, with every promise kept.

    More than 4 levels below, or 1,000 manifests: `limit-exceeded`; more than 64 MiB of them: `size-limit`.
    """
    where = location.at(digest)
    shelf = shelf or Shelf()
    root = shelf.manifest(location, digest)
    found = {digest: root}
    level: Sequence[Manifest] = (root,)
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        for depth in count(1):
            wanted = _unseen(level, found)
            if not wanted:
                break
            _check_limits(found, wanted, depth, where)
            level = tuple(pool.map(lambda child: _fetch(location, child, shelf), wanted))
            found.update((manifest.digest, manifest) for manifest in level)
    _check_promises(found, where)
    return found


def is_foreign(blob: Descriptor) -> bool:
    """Whether a blob lies elsewhere by intention, so that a registry need not have it."""
    return bool(blob.urls) or blob.media_type.startswith(_FOREIGN_TYPES)


def _check_promises(manifests: Mapping[Digest, Manifest], where: str) -> None:
    """Every descriptor says of its manifest what is true, all say the same of a blob, and none sends us elsewhere."""
    sizes: dict[Digest, int] = {}
    for manifest in manifests.values():
        for child in manifest.children:
            agrees(child, manifests[child.digest], where=f"{where} {child.digest}")
        for pointer in (*manifest.blobs, *manifest.children):
            if is_foreign(pointer):
                raise ContentError(
                    "foreign-layer-refused",
                    f"{pointer.digest} ({pointer.media_type}) is kept elsewhere, and nothing is fetched from there",
                    where=where,
                    hint="build the image with its layers inside",
                )
            if sizes.setdefault(pointer.digest, pointer.size) != pointer.size:
                raise ContentError("size-mismatch", f"two descriptors of {pointer.digest} differ in size", where=where)


def _unseen(level: Sequence[Manifest], found: Mapping[Digest, Manifest]) -> list[Descriptor]:
    """The children of these manifests that were not fetched yet, each once."""
    children = {child.digest: child for manifest in level for child in manifest.children}
    return [child for digest, child in children.items() if digest not in found]


def _check_limits(found: Mapping[Digest, Manifest], wanted: Sequence[Descriptor], depth: int, where: str) -> None:
    if depth > INDEX_DEPTH:
        raise ContentError("limit-exceeded", f"indexes are nested deeper than {INDEX_DEPTH} levels", where=where)
    if len(found) + len(wanted) > MANIFESTS_PER_IMAGE:
        raise ContentError("limit-exceeded", f"more than the limit of {MANIFESTS_PER_IMAGE} manifests", where=where)
    together = sum(len(manifest.content) for manifest in found.values()) + sum(child.size for child in wanted)
    if together > MANIFEST_BYTES_TOGETHER:
        raise ContentError(
            "size-limit", f"its manifests have more than {MANIFEST_BYTES_TOGETHER} bytes together", where=where
        )


def _fetch(location: Location, child: Descriptor, shelf: Shelf) -> Manifest:
    manifest = shelf.manifest(location, child.digest)
    return agrees(child, manifest, where=location.at(child.digest))


def platforms(location: Location, image: Tree) -> tuple[Platform, ...]:
    """The images that can run. BuildKit's attestations in an index are known by their layers.

    Of blobs only a configuration is read, where nothing else names the platform.
    """
    found = image.manifests
    names = {child.digest: child.platform for manifest in found.values() for child in manifest.children}
    return tuple(
        Platform(
            name=names.get(manifest.digest) or _platform_of(location, manifest.config),
            manifest=manifest.digest,
            config=manifest.config.digest,
        )
        for manifest in found.values()
        if manifest.config is not None and not _is_attestation(manifest)
    )


def _is_attestation(manifest: Manifest) -> bool:
    return bool(manifest.layers) and all(layer.media_type == _IN_TOTO for layer in manifest.layers)


def _platform_of(location: Location, config: Descriptor) -> str:
    """What a configuration says itself: an image without an index has nobody else to say it."""
    if config.media_type in IMAGE_CONFIG_TYPES and config.size <= MANIFEST_BYTES:
        content = b"".join(location.registry.blob(location.repository, config))
        with contextlib.suppress(ContentError):
            value = loads_object(content, limit=MANIFEST_BYTES)
            parts = [value.get("os"), value.get("architecture"), value.get("variant")]
            return "/".join(part for part in parts if isinstance(part, str) and part) or "unknown"
    return "unknown"
