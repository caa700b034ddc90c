"""An image of a running Docker engine, taken once and held as a read-only Registry with one image: `docker:NAME`.

An engine before version 25, or one that saves less than a whole OCI layout, has no manifest of its image, only the
configuration and the layers, uncompressed. The manifest is then written here, over the exact bytes of the
configuration and over the layers as they are. They are not compressed on purpose: what a compressor writes differs
between versions and machines, so that one image would get many digests. The digests of the plain layers stand in the
configuration, and its digest is the engine's image id: the manifest's digest is a function of the image id alone, the
same on every machine and in every run.

Source: moby image-spec v1.2, "Combined Image JSON + Filesystem Changeset Format"; OCI image-spec 1.1, image-layout.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from registries.catalogue import INDEX_JSON_BYTES, REF_NAME, Catalogue, plain
from registries.checked import checked, read_limited
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.engine import asking, engine
from registries.errors import ContentError, NotFound
from registries.limits import MANIFEST_BYTES
from registries.manifest import OCI_MANIFEST, Manifest, index_bytes
from registries.reference import is_tag
from registries.stored import Content, Held, SealedImages, by_digest, read_links, read_manifest
from registries.strict_json import dumps, loads, loads_object
from registries.tarball import Member, Tarball

if TYPE_CHECKING:
    from docker.models.images import Image

CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
PLAIN_LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"

_LINKS_IN_A_ROW: Final = 8

_Found = tuple[Manifest, dict[Digest, Content]]


class SavedImage(SealedImages):
    """What the engine saved. Its one tag is `tag`; the image must be the one with this id, else `digest-mismatch`."""

    def __init__(self, tarball: Tarball, *, name: str, tag: str, image_id: Digest) -> None:
        manifest, contents = _whole_layout(tarball, name) or _from_layers(tarball, name)
        ids = {manifest.digest} | ({manifest.config.digest} if manifest.config is not None else set())
        if image_id not in ids:
            raise ContentError("digest-mismatch", f"asked for {image_id}, the engine saved another image", where=name)
        entry = {**plain(manifest.descriptor), "annotations": {REF_NAME: tag}}
        super().__init__(name, index_bytes((entry,)), contents)


def docker_image(name: str, *, environment: Mapping[str, str]) -> SavedImage:
    """Save an image out of the engine that DOCKER_HOST (else the current Docker context) names.

    It is asked for by its id, so that a name which moves meanwhile changes nothing; it is kept in an unnamed file.
    """
    where = f"docker:{name}"
    with engine(environment, where=where) as client:
        image = client.images.get(name)
        tarball = Tarball.spool(_saved(image, where), where=where)
        return SavedImage(tarball, name=where, tag=_tag(name, image), image_id=Digest.parse(str(image.id)))


def _saved(image: Image, where: str) -> Iterator[bytes]:
    with asking(where):
        yield from image.save(named=False)


def _tag(name: str, image: Image) -> str:
    """The tag that was asked for: the one in the name, or `latest` where that was left out, else the image's id."""
    tag = name.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if is_tag(tag) and "@" not in name and not name.startswith("sha256:"):
        return tag
    return "latest" if f"{name}:latest" in image.tags else str(image.id)


def _whole_layout(tarball: Tarball, where: str) -> _Found | None:
    """The image of the OCI layout that engines since 25 save; None unless it is one whole image."""
    contents = by_digest(tarball.members)
    index_json = tarball.members.get("index.json")
    if index_json is None:
        return None
    try:
        document = read_limited(index_json.chunks(), INDEX_JSON_BYTES, where=where)
        catalogue = Catalogue.read(document, lambda digest: read_links(contents.get(digest), digest), where=where)
        reached = [read_manifest(contents.get(digest), digest, where=where) for digest in catalogue.reached]
    except (ContentError, NotFound):
        return None
    below = {child.digest for manifest in reached for child in manifest.children}
    roots = [manifest for manifest in reached if manifest.digest not in below]
    whole = all(blob.digest in contents for manifest in reached for blob in manifest.blobs)
    return (roots[0], contents) if whole and len(roots) == 1 else None


def _from_layers(tarball: Tarball, where: str) -> _Found:
    """An image manifest over the configuration and the layers that manifest.json names, each checked."""
    saved = _saved_files(tarball, where)
    config = read_limited(_member(tarball, saved.get("Config"), where).chunks(), MANIFEST_BYTES, where=where)
    diff_ids = _diff_ids(config, where)
    layers = [_member(tarball, path, where) for path in _list(saved.get("Layers"), "Layers", where)]
    if len(layers) != len(diff_ids):
        raise _malformed(f"it has {len(layers)} layers, its configuration names {len(diff_ids)}", where)
    for layer, diff_id in zip(layers, diff_ids, strict=True):
        for _ in checked(layer.chunks(), diff_id, layer.size, where=f"{where} layer {diff_id}"):
            pass
    manifest = _manifest(config, [(diff_id, layer.size) for diff_id, layer in zip(diff_ids, layers, strict=True)])
    contents: dict[Digest, Content] = dict(zip(diff_ids, layers, strict=True))
    contents |= {Digest.of(config): Held(config), manifest.digest: Held(manifest.content)}
    return manifest, contents


def _manifest(config: bytes, layers: list[tuple[Digest, int]]) -> Manifest:
    pointers = [Descriptor(media_type=PLAIN_LAYER_TYPE, digest=digest, size=size) for digest, size in layers]
    value = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(media_type=CONFIG_TYPE, digest=Digest.of(config), size=len(config)).json(),
        "layers": [pointer.json() for pointer in pointers],
    }
    return Manifest.from_bytes(dumps(value), media_type=OCI_MANIFEST)


def _saved_files(tarball: Tarball, where: str) -> dict[str, Any]:
    """The one entry of manifest.json."""
    file = _member(tarball, "manifest.json", where)
    entries = loads(read_limited(file.chunks(), MANIFEST_BYTES, where=where), limit=MANIFEST_BYTES, where=where)
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        raise _malformed("manifest.json is not a list of one image", where)
    entry: dict[str, Any] = entries[0]
    return entry


def _diff_ids(config: bytes, where: str) -> list[Digest]:
    rootfs = loads_object(config, limit=MANIFEST_BYTES, where=f"{where} configuration").get("rootfs")
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return [Digest.parse(str(text)) for text in _list(listed, "rootfs.diff_ids", where)]


def _list(value: Any, key: str, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _malformed(f"{key} is not a list", where)
    return value


def _member(tarball: Tarball, path: Any, where: str) -> Member:
    """A file of the archive. Engines write a layer that occurs twice as a link to the first one."""
    name = path
    for _ in range(_LINKS_IN_A_ROW):
        if not isinstance(name, str) or name not in tarball.links:
            break
        name = tarball.links[name]
    if not isinstance(name, str) or name not in tarball.members:
        raise _malformed(f"it has no file {path!r}", where)
    return tarball.members[name]


def _malformed(why: str, where: str) -> ContentError:
    return ContentError("archive-malformed", f"what the engine saved can't be read: {why}", where=where)
