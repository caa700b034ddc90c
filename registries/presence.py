"""What a destination has already of an image and of what hangs on it: asked in the background, each thing once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from registries.attached import Hanging
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError
from registries.hang import by_subject, read_back
from registries.limits import QUESTIONS_AT_ONCE
from registries.manifest import Manifest
from registries.registry import Location
from registries.tree import Tree


class Presence:
    """The questions to one destination, all under way at the same time; the answers are waited for."""

    def __init__(self, to: Location, pool: Executor, *, whole: bool) -> None:
        self._to = to
        self._pool = pool
        self._whole = whole
        self._blobs: dict[tuple[Digest, int], Future[bool]] = {}
        self._served: dict[Digest, Future[bool]] = {}
        self._listed: dict[Digest, Future[frozenset[Digest]]] = {}

    def ask(self, things: Sequence[Hanging]) -> None:
        """Begin to ask for the blobs and manifests of these things, and for the lists that they belong to."""
        manifests = {manifest.digest: manifest for thing in things for manifest in thing.manifests}
        for blob in blobs_of(things):
            if blob_key(blob) not in self._blobs:
                self._blobs[blob_key(blob)] = self._pool.submit(self._holds, blob)
        for digest, manifest in manifests.items():
            if digest not in self._served:
                self._served[digest] = self._pool.submit(self._serves, manifest)
        for subject in by_subject(manifests.values()):
            if subject not in self._listed:
                self._listed[subject] = self._pool.submit(self._lists, subject)

    def held(self, things: Sequence[Hanging]) -> dict[tuple[Digest, int], Descriptor]:
        """The blobs that the destination has, each proven by reading."""
        return {blob_key(blob): blob for blob in blobs_of(things) if self._blobs[blob_key(blob)].result()}

    def absent(self, things: Sequence[Hanging]) -> tuple[Manifest, ...]:
        """The manifests that the destination does not serve, or does not list where they refer to something."""
        manifests = {manifest.digest: manifest for thing in things for manifest in thing.manifests}
        return tuple(manifest for manifest in manifests.values() if not self._is_in_place(manifest))

    def _is_in_place(self, manifest: Manifest) -> bool:
        listed = manifest.subject is None or manifest.digest in self._listed[manifest.subject.digest].result()
        return self._served[manifest.digest].result() and listed

    def _holds(self, blob: Descriptor) -> bool:
        return self._to.registry.holds(self._to.repository, blob, whole=self._whole)

    def _serves(self, manifest: Manifest) -> bool:
        try:
            read_back(self._to, manifest)
        except ContentError:
            return False
        return True

    def _lists(self, subject: Digest) -> frozenset[Digest]:
        return frozenset(entry.digest for entry in self._to.registry.referrers(self._to.repository, subject))


def is_whole(to: Location, image: Tree, *, whole: bool) -> bool:
    """Whether a place has every manifest and every blob of an image."""
    own = [Hanging(manifest=image.manifest, manifests=tuple(image.manifests.values()), source=to)]
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        there = Presence(to, pool, whole=whole)
        there.ask(own)
        return not there.absent(own) and len(there.held(own)) == len(blobs_of(own))


def blobs_of(things: Iterable[Hanging]) -> list[Descriptor]:
    """The blobs of these things, each once."""
    blobs = (blob for thing in things for manifest in thing.manifests for blob in manifest.blobs)
    return list({blob_key(blob): blob for blob in blobs}.values())


def blob_key(descriptor: Descriptor) -> tuple[Digest, int]:
    """Two descriptors of one digest may differ in size; then one of them lies, and is not the other's alibi."""
    return descriptor.digest, descriptor.size
