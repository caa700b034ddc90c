"""A registry in memory, for tests and for trying things out; it keeps the whole contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from threading import RLock

from registries.checked import checked
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, TagMoved
from registries.manifest import Manifest


@dataclass(slots=True)
class _Repository:
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)


class MemoryRegistry:
    """Repositories in dictionaries, under one lock."""

    def __init__(self, name: str = "memory.test:5000") -> None:
        self._name = name
        self._repositories: dict[str, _Repository] = {}
        self._lock = RLock()

    @property
    def name(self) -> str:
        """How people name this registry."""
        return self._name

    def resolve(self, repository: str, tag: str) -> Digest:
        """What the tag points at now."""
        with self._lock:
            found = self._repository(repository).tags.get(tag)
        if found is None:
            raise NotFound("image-not-found", "there is no such tag", where=f"{self._name}/{repository}:{tag}")
        return found

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        """The manifest of this digest."""
        with self._lock:
            found = self._repository(repository).manifests.get(digest)
        if found is None:
            raise NotFound("image-not-found", "there is no such manifest", where=self._at(repository, digest))
        return found

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob, hashed while they pass."""
        where = self._at(repository, descriptor.digest)
        with self._lock:
            content = self._repository(repository).blobs.get(descriptor.digest)
        if content is None:
            raise NotFound("blob-not-found", "there is no such blob", where=where)
        return checked((content,), descriptor.digest, descriptor.size, where=where)

    def holds(self, repository: str, descriptor: Descriptor) -> bool:
        """Whether the blob is here, with the size it should have."""
        with self._lock:
            content = self._repository(repository).blobs.get(descriptor.digest)
        return content is not None and len(content) == descriptor.size

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        """Store a blob whose bytes are what its descriptor says."""
        where = self._at(repository, descriptor.digest)
        content = b"".join(checked(chunks(), descriptor.digest, descriptor.size, where=where))
        with self._lock:
            self._repository(repository).blobs[descriptor.digest] = content

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        """Store a manifest whose blobs and children are here."""
        with self._lock:
            place = self._repository(repository)
            missing = [blob.digest for blob in manifest.blobs if not blob.urls and blob.digest not in place.blobs]
            missing += [child.digest for child in manifest.children if child.digest not in place.manifests]
            if missing:
                where = self._at(repository, manifest.digest)
                raise ContentError("destination-incomplete", f"{missing[0]} must be pushed before it", where=where)
            place.manifests[manifest.digest] = manifest

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """The manifests whose own subject this digest is."""
        with self._lock:
            manifests = tuple(self._repository(repository).manifests.values())
        return tuple(item.listed for item in manifests if item.subject is not None and item.subject.digest == digest)

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        """Move a tag from where it is expected to be."""
        where = f"{self._name}/{repository}:{tag}"
        with self._lock:
            place = self._repository(repository)
            if manifest.digest not in place.manifests:
                raise NotFound("image-not-found", f"{manifest.digest} must be pushed before it is tagged", where=where)
            now = place.tags.get(tag)
            if now not in (expected, manifest.digest):
                was = expected or "nowhere"
                raise TagMoved("tag-conflict", f"points at {now or 'nowhere'}, not at {was} as expected", where=where)
            place.tags[tag] = manifest.digest

    def tags(self, repository: str) -> tuple[str, ...]:
        """All tags, sorted."""
        with self._lock:
            return tuple(sorted(self._repository(repository).tags))

    def mount(self, repository: str, descriptor: Descriptor, source: str) -> bool:
        """Take a blob over from another repository."""
        with self._lock:
            content = self._repository(source).blobs.get(descriptor.digest)
            if content is None:
                return False
            self._repository(repository).blobs[descriptor.digest] = content
            return True

    def _repository(self, name: str) -> _Repository:
        return self._repositories.setdefault(name, _Repository())

    def _at(self, repository: str, digest: Digest) -> str:
        return f"{self._name}/{repository}@{digest}"
