"""What samebits asks of a place that holds images, and what such a place promises.

Source: OCI distribution-spec 1.1; OCI image-layout for places without a server. Every kind keeps this contract
(`tests/contracts/test_registry.py` holds each to it):

- bytes come back as they were pushed, or an exception comes; wrong bytes are never returned;
- `push_manifest` of a manifest with a `subject` makes it a referrer, whatever the server supports;
- pushing twice is pushing once; `tag` moves a tag only from where it was expected to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.manifest import Manifest


class Registry(Protocol):
    """A place for images, with repositories in it. Safe to use from several threads at once."""

    @property
    def name(self) -> str:
        """How people name this place: `host:port`, or `oci:DIR`."""

    def resolve(self, repository: str, tag: str) -> Digest:
        """What the tag points at now. `image-not-found` when there is no such tag or repository."""

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        """The manifest of this digest, its bytes checked. `image-not-found` when absent."""

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob in chunks, counted and hashed while they pass. `blob-not-found` when absent.

        The caller reads to the end or drops the iterator.
        """

    def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
        """Whether this blob can be read here: its first and last bytes, or all, came back; not only a status."""

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        """Store a blob; the place must have confirmed its digest. `chunks` may be called again for a retry."""

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        """Store these exact bytes under their digest. Referenced blobs and manifests were pushed before."""

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """What claims to hang on this digest: referrers API and fallback tag united. A hint: fetch and check each."""

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        """Point `tag` at this manifest. Unless it now points at `expected` (None: nowhere) or here: `tag-conflict`."""

    def tags(self, repository: str) -> tuple[str, ...]:
        """All tags, sorted. A repository that does not exist has none."""


@runtime_checkable
class Mounting(Protocol):
    """A registry that can take a blob over from another of its repositories without moving bytes."""

    def mount(self, repository: str, descriptor: Descriptor, source: str) -> bool:
        """Try; False means upload it. True promises nothing until the blob was read (`holds`)."""


@runtime_checkable
class Listing(Protocol):
    """A registry whose lists of referrers the client may have to write: once for several, not once for each."""

    def push_manifests(self, repository: str, waves: Iterable[Sequence[Manifest]]) -> None:
        """Store these manifests, wave after wave; then list those that have a subject, whatever the server supports."""


@dataclass(frozen=True, slots=True)
class Location:
    """One repository in one registry: a stage's place, or one of its mirrors."""

    registry: Registry
    repository: str

    def __str__(self) -> str:
        return f"{self.registry.name}/{self.repository}" if self.repository else self.registry.name

    def at(self, digest: Digest) -> str:
        """How messages name a digest here."""
        return f"{self}@{digest}"
