"""A registry that can be bent: it hides, alters and counts, and lets something happen before the n-th call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import NotFound
from registries.manifest import Manifest
from registries.registry import Registry

WRITES = ("push_blob", "push_manifest", "tag")


@dataclass(eq=False)
class Bent:
    """Wraps a registry. `hidden` digests are not listed and not served; `altered` blobs come with other bytes."""

    inner: Registry
    hidden: set[Digest] = field(default_factory=set)
    altered: dict[Digest, bytes] = field(default_factory=dict)
    extra: list[Descriptor] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    _actions: dict[tuple[str, int], Callable[[], None]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def writes(self) -> list[str]:
        return [method for method, _ in self.calls if method in WRITES]

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def before(self, number: int, method: str, action: Callable[[], None]) -> None:
        """Do something right before the n-th call of a method, counted from now."""
        self._actions[(method, self.count(method) + number)] = action

    def resolve(self, repository: str, tag: str) -> Digest:
        self._called("resolve", tag)
        return self.inner.resolve(repository, tag)

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        self._called("manifest", str(digest))
        if digest in self.hidden:
            raise NotFound("image-not-found", "hidden", where=str(digest))
        return self.inner.manifest(repository, digest)

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        from registries.checked import checked

        self._called("blob", str(descriptor.digest))
        if descriptor.digest in self.altered:
            return checked([self.altered[descriptor.digest]], descriptor.digest, descriptor.size)
        return self.inner.blob(repository, descriptor)

    def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
        self._called("holds", str(descriptor.digest))
        return self.inner.holds(repository, descriptor, whole=whole)

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        self._called("push_blob", str(descriptor.digest))
        self.inner.push_blob(repository, descriptor, chunks)

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        self._called("push_manifest", str(manifest.digest))
        self.inner.push_manifest(repository, manifest)

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        self._called("referrers", str(digest))
        listed = (*self.inner.referrers(repository, digest), *self.extra)
        return tuple(item for item in listed if item.digest not in self.hidden)

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        self._called("tag", tag)
        self.inner.tag(repository, tag, manifest, expected=expected)

    def tags(self, repository: str) -> tuple[str, ...]:
        self._called("tags", repository)
        return self.inner.tags(repository)

    def _called(self, method: str, what: str) -> None:
        self.calls.append((method, what))
        if action := self._actions.pop((method, self.count(method)), None):
            action()
