"""A registry of dictionaries that can be told to lag, to forget and to lie: what the store has to live with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import NotFound, Refusal
from registries.manifest import Manifest


class Shelf:
    """One repository of a registry; `asked` counts the calls.

    `lists_late`: how many times `referrers` is still answered without what was pushed. `fails`: what a call with this
    name and digest raises. `also_lists`: entries that the list has besides. `unreadable`: blobs that hold no bytes.
    """

    def __init__(self, name: str = "registry.example") -> None:
        self.name = name
        self.blobs: dict[Digest, bytes] = {}
        self.manifests: dict[Digest, Manifest] = {}
        self.asked: list[tuple[str, Digest]] = []
        self.lists_late = 0
        self.fails: dict[tuple[str, Digest], Refusal] = {}
        self.also_lists: tuple[Descriptor, ...] = ()
        self.unreadable: set[Digest] = set()

    def resolve(self, repository: str, tag: str) -> Digest:
        raise NotFound("image-not-found", "there are no tags here")

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        self._ask("manifest", digest)
        if digest not in self.manifests:
            raise NotFound("image-not-found", f"{digest} is not here")
        return self.manifests[digest]

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        self._ask("blob", descriptor.digest)
        if descriptor.digest not in self.blobs:
            raise NotFound("blob-not-found", f"{descriptor.digest} is not here")
        content = self.blobs[descriptor.digest]
        yield content[:7]
        yield content[7:]

    def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
        return descriptor.digest in self.blobs.keys() - self.unreadable

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        self._ask("push_blob", descriptor.digest)
        self.blobs[descriptor.digest] = descriptor.digest.check(b"".join(chunks()))

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        self._ask("push_manifest", manifest.digest)
        assert {blob.digest for blob in manifest.blobs} <= self.blobs.keys()
        self.manifests[manifest.digest] = manifest

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        self._ask("referrers", digest)
        if self.lists_late > 0:
            self.lists_late -= 1
            return self.also_lists
        hanging = (one for one in self.manifests.values() if one.subject is not None and one.subject.digest == digest)
        return (*(one.listed for one in hanging), *self.also_lists)

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        raise AssertionError("attesting moves no tags")

    def tags(self, repository: str) -> tuple[str, ...]:
        return ()

    def _ask(self, call: str, digest: Digest) -> None:
        self.asked.append((call, digest))
        if (call, digest) in self.fails:
            raise self.fails[call, digest]
