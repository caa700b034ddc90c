"""A registry in memory with several repositories, for tests. It is as strict as the strictest real one."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from registries.checked import checked
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, TagMoved
from registries.limits import CHUNK_BYTES
from registries.manifest import Manifest
from registries.reference import check_repository, check_tag
from registries.tree import is_foreign


@dataclass(slots=True)
class Repository:
    """What one repository holds. Tests may change it behind the registry's back."""

    blobs: dict[Digest, bytes] = field(default_factory=dict)
    manifests: dict[Digest, bytes] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)


class MemoryRegistry:
    """A Registry, and Mounting, over dictionaries. What lacks its blobs or children: `destination-incomplete`."""

    def __init__(self, name: str = "memory.test:5000") -> None:
        self._name = name
        self._lock = threading.RLock()
        self.repositories: dict[str, Repository] = defaultdict(Repository)

    @property
    def name(self) -> str:
        """How people name this place."""
        return self._name

    def resolve(self, repository: str, tag: str) -> Digest:
        """What the tag points at."""
        with self._lock:
            digest = self._of(repository).tags.get(tag)
        if digest is None:
            raise NotFound("image-not-found", "there is no such tag", where=f"{self._name}/{repository}:{tag}")
        return self.manifest(repository, digest).digest

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        """The manifest of this digest."""
        where = self._at(repository, digest)
        with self._lock:
            content = self._of(repository).manifests.get(digest)
        if content is None:
            raise NotFound("image-not-found", "there is no such manifest", where=where)
        return Manifest.from_bytes(digest.check(content, where=where), algorithm=digest.algorithm, where=where)

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob."""
        where = self._at(repository, descriptor.digest)
        with self._lock:
            content = self._of(repository).blobs.get(descriptor.digest)
        if content is None:
            raise NotFound("blob-not-found", "there is no such blob", where=where)
        return checked(_chunks(content), descriptor.digest, descriptor.size, where=where)

    def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
        """Whether the blob is here and undamaged."""
        try:
            for _ in self.blob(repository, descriptor):
                pass
        except (ContentError, NotFound):
            return False
        return True

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        """Store a blob."""
        where = self._at(repository, descriptor.digest)
        content = b"".join(checked(chunks(), descriptor.digest, descriptor.size, where=where))
        with self._lock:
            self._of(repository).blobs[descriptor.digest] = content

    def mount(self, repository: str, descriptor: Descriptor, source: str) -> bool:
        """Take a blob over from another repository, if that has it."""
        with self._lock:
            content = self._of(source).blobs.get(descriptor.digest)
            if content is not None:
                self._of(repository).blobs[descriptor.digest] = content
        return content is not None

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        """Store a manifest whose blobs and children are here."""
        with self._lock:
            held = self._of(repository)
            absent = [blob.digest for blob in manifest.blobs if blob.digest not in held.blobs and not is_foreign(blob)]
            absent += [child.digest for child in manifest.children if child.digest not in held.manifests]
            if absent:
                raise ContentError(
                    "destination-incomplete",
                    f"it refers to what was not pushed before: {', '.join(map(str, absent))}",
                    where=self._at(repository, manifest.digest),
                )
            held.manifests[manifest.digest] = manifest.content

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """Every manifest whose own `subject` is this digest, and what a fallback tag lists beside them."""
        with self._lock:
            held = self._of(repository)
            stored, fallback = tuple(held.manifests.items()), held.tags.get(f"{digest.algorithm}-{digest.hex[:64]}")
        found: dict[Digest, Descriptor] = {}
        for name, content in stored:
            manifest = _readable(content)
            if manifest is not None and manifest.subject is not None and manifest.subject.digest == digest:
                found[name] = replace(manifest.listed, digest=name)
            if manifest is not None and name == fallback:
                found = {entry.digest: entry for entry in manifest.children} | found
        return tuple(found.values())

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        """Point a tag at a manifest, if it is where it was expected."""
        check_tag(tag, tag)
        with self._lock:
            now = self._of(repository).tags.get(tag)
            if now not in (expected, manifest.digest):
                raise TagMoved(
                    "tag-conflict",
                    f"points at {now or 'nothing'}, not at {expected or 'nothing'} as was expected",
                    where=f"{self._name}/{repository}:{tag}",
                )
            self.push_manifest(repository, manifest)
            self._of(repository).tags[tag] = manifest.digest

    def tags(self, repository: str) -> tuple[str, ...]:
        """All tags, sorted."""
        with self._lock:
            return tuple(sorted(self._of(repository).tags))

    def _of(self, repository: str) -> Repository:
        return self.repositories[check_repository(repository, repository)]

    def _at(self, repository: str, digest: Digest) -> str:
        return f"{self._name}/{repository}@{digest}"


@lru_cache(maxsize=4096)
def _readable(content: bytes) -> Manifest | None:
    try:
        return Manifest.from_bytes(content)
    except ContentError:
        return None


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]
