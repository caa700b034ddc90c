"""Reading images out of content that is kept by digest beside an index.json: a folder, an archive, a saved image."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol

from registries.catalogue import Catalogue, Links
from registries.checked import checked, read_limited
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Unavailable, UsageError
from registries.limits import MANIFEST_BYTES
from registries.manifest import Manifest


class Content(Protocol):
    """Some stored bytes whose digest nobody has checked yet."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes, from the beginning at each call."""


@dataclass(frozen=True, slots=True)
class Held:
    """Content in memory."""

    content: bytes

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.content)

    def chunks(self) -> Iterator[bytes]:
        """The bytes, at once."""
        yield self.content


class StoredImages(ABC):
    """The reading half of a Registry with one repository, whose name is ignored."""

    def __init__(self, name: str) -> None:
        self._name = name

    @abstractmethod
    def catalogue(self) -> Catalogue:
        """What index.json says now."""

    @abstractmethod
    def content(self, digest: Digest) -> Content | None:
        """The stored bytes that should have this digest."""

    @property
    def name(self) -> str:
        """How people name this place."""
        return self._name

    def resolve(self, repository: str, tag: str) -> Digest:
        """What the tag points at. `tag-ambiguous` when index.json gives one name to several images."""
        where = f"{self._name}:{tag}"
        found = self.catalogue().tags.get(tag, ())
        if not found:
            known = ", ".join(self.tags(repository)) or "none"
            raise NotFound("image-not-found", f"there is no such tag; its tags: {known}", where=where)
        if len(found) > 1:
            raise ContentError(
                "tag-ambiguous",
                f"index.json gives this name to {len(found)} images",
                where=where,
                hint=f"name one by its digest: {self._name}@{found[0].digest}",
            )
        (pointer,) = found
        manifest = self.manifest(repository, pointer.digest)
        agrees(pointer, manifest, where=where)
        return manifest.digest

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        """A manifest that index.json reaches: bytes that only look like one are a blob."""
        reached = digest in self.catalogue().reached
        return read_manifest(self.content(digest) if reached else None, digest, where=self._at(digest))

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob, hashed while they are read."""
        where = self._at(descriptor.digest)
        content = self.content(descriptor.digest)
        if content is None:
            raise NotFound("blob-not-found", "there is no such blob", where=where)
        return checked(content.chunks(), descriptor.digest, descriptor.size, where=where)

    def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
        """Whether the blob is here and undamaged: it is read from beginning to end."""
        try:
            for _ in self.blob(repository, descriptor):
                pass
        except (ContentError, NotFound):
            return False
        return True

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """What claims to hang on this digest."""
        return self.catalogue().hanging_on(digest)

    def tags(self, repository: str) -> tuple[str, ...]:
        """All names that index.json gives; tools also write some here that would be no tags in a registry."""
        return tuple(sorted(self.catalogue().tags))

    def _at(self, digest: Digest) -> str:
        return f"{self._name}@{digest}"


class SealedImages(StoredImages):
    """A Registry over content that can't change. Every write is refused with `place-read-only`."""

    def __init__(self, name: str, index_json: bytes, contents: Mapping[Digest, Content]) -> None:
        super().__init__(name)
        self._contents = contents
        self._catalogue = Catalogue.read(
            index_json, lambda digest: read_links(self.content(digest), digest), where=f"{name} index.json"
        )

    def catalogue(self) -> Catalogue:
        """What index.json says."""
        return self._catalogue

    def content(self, digest: Digest) -> Content | None:
        """The stored bytes that should have this digest."""
        return self._contents.get(digest)

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        """Refused."""
        self._refuse()

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        """Refused."""
        self._refuse()

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        """Refused."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UsageError(
            "place-read-only",
            "an image can be taken from here, but nothing can be put here",
            where=self._name,
            hint="name a registry or a layout directory (oci:DIR) as the destination",
        )


def by_digest(files: Mapping[str, Content]) -> dict[Digest, Content]:
    """The blobs among the files of a layout, by the digest that their path `blobs/ALGORITHM/HEX` promises."""
    found: dict[Digest, Content] = {}
    for path, content in files.items():
        folder, _, name = path.partition("/")
        if folder == "blobs":
            with contextlib.suppress(ContentError):  # another algorithm: nothing here can name that
                found[Digest.parse(name.replace("/", ":", 1))] = content
    return found


def read_manifest(content: Content | None, digest: Digest, *, where: str) -> Manifest:
    """The manifest that is stored under this digest; `image-not-found` when there is nothing."""
    if content is None:
        raise NotFound("image-not-found", "there is no such manifest", where=where)
    stored = digest.check(read_limited(content.chunks(), MANIFEST_BYTES, where=where), where=where)
    return Manifest.from_bytes(stored, algorithm=digest.algorithm, where=where)


def read_links(content: Content | None, digest: Digest) -> Links | None:
    """What a stored manifest leads to; None when it is absent or no manifest. Its digest is not checked here."""
    if content is None or content.size > MANIFEST_BYTES:
        return None
    try:
        return Links.of(Manifest.from_bytes(b"".join(content.chunks()), algorithm=digest.algorithm))
    except ContentError:
        return None


def agrees(pointer: Descriptor, manifest: Manifest, *, where: str) -> Manifest:
    """The manifest, if it is what a descriptor promised; else `size-mismatch` or `media-type-confusion`."""
    if pointer.size != len(manifest.content):
        raise ContentError(
            "size-mismatch",
            f"its descriptor promises {pointer.size} bytes, it has {len(manifest.content)}",
            where=where,
        )
    if pointer.media_type != manifest.media_type:
        raise ContentError(
            "media-type-confusion",
            f"its descriptor says {pointer.media_type}, the document says {manifest.media_type}",
            where=where,
        )
    return manifest


@contextlib.contextmanager
def local_storage(where: str) -> Iterator[None]:
    """What the file system refuses, inside, becomes `local-storage-failed`."""
    try:
        yield
    except OSError as error:
        raise Unavailable("local-storage-failed", error.strerror or str(error), where=where) from error
