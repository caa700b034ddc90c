"""Copying an image whole: its blobs, its manifests, all that hangs on it, and the tags older tools keep beside it.

`plan_copy` reads and says what would move; `copy_image` moves it: blobs in parallel, every byte hashed while it passes,
then manifests, children before parents, then referrers, each after what it hangs on. No manifest is ever written anew.
Source: OCI image-spec 1.1; OCI distribution-spec 1.1, "Listing Referrers"; cosign's SIGNATURE_SPEC for the older tags.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import Final, Protocol

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Reason, Refusal, TagMoved, Unavailable
from registries.limits import INDEX_DEPTH, MANIFESTS_PER_IMAGE, REFERRER_DEPTH, REFERRERS
from registries.manifest import Manifest
from registries.registry import Location, Mounting

LEGACY_SUFFIXES: Final = (".sig", ".att", ".sbom")
VISIBLE_PAUSES: Final = (0.1, 0.3, 1.0, 3.0, 5.0)
_UPLOAD_REQUESTS, _MOUNT_REQUESTS = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlatform:
    """One image manifest of an image, with the digests that scanners name it by."""

    name: str
    manifest: Digest
    config: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """An image with all manifests below it. `manifests` has children before parents, the image itself last."""

    manifest: Manifest
    manifests: tuple[Manifest, ...]
    platforms: tuple[ImagePlatform, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobMove:
    """A blob that the destination can't serve yet, where it is read, and whether it may be mounted instead."""

    descriptor: Descriptor
    source: Location
    mountable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What a copy would move. `manifests` are those that are missing, in the order in which they are pushed.

    `hanging` are all referrers that must be listed at the end, by what they hang on; `skipped` says which listed
    referrers are left aside, and why.
    """

    subject: Digest
    source: Location
    destination: Location
    blobs: tuple[BlobMove, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    hanging: Mapping[Digest, frozenset[Digest]] = field(default_factory=dict)
    legacy_tags: tuple[tuple[str, Manifest], ...] = ()
    skipped: tuple[Reason, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to move."""
        return not (self.blobs or self.manifests or self.legacy_tags)

    @property
    def bytes(self) -> int:
        """How many bytes of blobs would be read and written; mounted ones are not."""
        return sum(move.descriptor.size for move in self.blobs if not move.mountable)

    @property
    def mounts(self) -> int:
        """How many blobs would be mounted."""
        return sum(move.mountable for move in self.blobs)

    @property
    def requests(self) -> int:
        """About how many requests the copy needs."""
        uploads = len(self.blobs) - self.mounts
        written = 2 * len(self.manifests) + len(self.hanging) + 3 * len(self.legacy_tags)
        return _UPLOAD_REQUESTS * uploads + _MOUNT_REQUESTS * self.mounts + written


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a copy has moved: numbers of manifests and blobs, their bytes, and how many blobs were mounted."""

    manifests: int
    blobs: int
    bytes: int
    mounted: int


class Progress(Protocol):
    """Whoever wants to see a copy go on; called from several threads."""

    def start(self, descriptor: Descriptor, total: int) -> None:
        """A blob of `total` bytes begins to move."""

    def advance(self, descriptor: Descriptor, count: int) -> None:
        """So many more of its bytes have passed."""

    def done(self, descriptor: Descriptor, how: str) -> None:
        """It is there: `copied` or `mounted`."""


def tree(place: Location, digest: Digest) -> Tree:
    """Read an image with everything below it: at most 4 levels and 1,000 manifests, each what its parent says it is."""
    found: dict[Digest, Manifest] = {}
    platforms: list[ImagePlatform] = []

    def visit(descriptor: Descriptor | None, wanted: Digest, depth: int) -> None:
        if wanted in found:
            return
        if depth > INDEX_DEPTH:
            raise ContentError(
                "limit-exceeded", f"indexes are nested deeper than {INDEX_DEPTH}", where=place.at(wanted)
            )
        manifest = place.registry.manifest(place.repository, wanted)
        _agrees(descriptor, manifest, place)
        for child in manifest.children:
            visit(child, child.digest, depth + 1)
        found[wanted] = manifest
        if len(found) > MANIFESTS_PER_IMAGE:
            raise ContentError("limit-exceeded", f"more than {MANIFESTS_PER_IMAGE} manifests", where=place.at(digest))
        if manifest.config is not None and not _is_attestation(descriptor):
            name = (descriptor.platform if descriptor else None) or "image"
            platforms.append(ImagePlatform(name=name, manifest=wanted, config=manifest.config.digest))

    visit(None, digest, 0)
    return Tree(manifest=found[digest], manifests=tuple(found.values()), platforms=tuple(platforms))


def plan_copy(
    subject: Digest, source: Location, destination: Location, *, more_sources: Sequence[Location] = (), jobs: int = 8
) -> Transfer:
    """Say what a copy of `subject` would move. Reads only. Further sources contribute what hangs on the image there."""
    image = tree(source, subject)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        hanging = _Hanging(pool=pool)
        for place in (source, *more_sources):
            if place != destination:
                hanging.gather(place, [manifest.digest for manifest in image.manifests])
        legacy = _legacy(source, destination, image)
        wanted = {manifest.digest: (manifest, source) for manifest in image.manifests} | hanging.found
        wanted |= {manifest.digest: (manifest, source) for _, manifest in legacy}
        here = [pair for pair in wanted.values() if source != destination or pair[1] != source]
        missing = list(pool.map(lambda pair: not _serves(destination, pair[0].digest), here))
        blobs = {blob.digest: (blob, place) for manifest, place in here for blob in _movable(manifest, place)}
        held = list(pool.map(lambda pair: destination.registry.holds(destination.repository, pair[0]), blobs.values()))
    return Transfer(
        subject=subject,
        source=source,
        destination=destination,
        blobs=tuple(
            BlobMove(descriptor=blob, source=place, mountable=_mountable(place, destination))
            for (blob, place), there in zip(blobs.values(), held, strict=True)
            if not there
        ),
        manifests=tuple(pair[0] for pair, absent in zip(here, missing, strict=True) if absent),
        hanging={digest: frozenset(listed) for digest, listed in hanging.listed.items() if listed},
        legacy_tags=legacy,
        skipped=tuple(hanging.skipped),
    )


def copy_image(
    transfer: Transfer,
    *,
    progress: Progress | None = None,
    jobs: int = 8,
    sleep: Callable[[float], None] = time.sleep,
) -> Moved:
    """Move what the transfer says, and prove that it arrived. The first thing that goes wrong stops the rest."""
    place = transfer.destination
    copied = _move_blobs(transfer, progress, jobs)
    for manifest in transfer.manifests:
        place.registry.push_manifest(place.repository, manifest)
    for manifest in transfer.manifests:
        if not _serves(place, manifest.digest):
            raise Unavailable(
                "destination-incomplete", "was pushed, but is not served", where=place.at(manifest.digest)
            )
    if transfer.manifests:
        _listed(transfer, sleep)
    for tag, manifest in transfer.legacy_tags:
        place.registry.tag(place.repository, tag, manifest, expected=None)
    return Moved(
        manifests=len(transfer.manifests),
        blobs=len(copied),
        bytes=sum(blob.size for blob in copied),
        mounted=len(transfer.blobs) - len(copied),
    )


class _Stopped(Exception):
    """Raised inside the bytes of a blob when another one has failed."""


@dataclass(slots=True, kw_only=True)
class _Hanging:
    """All that hangs on an image: found manifests with their place, what is listed where, and what was left aside."""

    pool: ThreadPoolExecutor
    found: dict[Digest, tuple[Manifest, Location]] = field(default_factory=dict)
    listed: dict[Digest, set[Digest]] = field(default_factory=dict)
    skipped: list[Reason] = field(default_factory=list)

    def gather(self, place: Location, roots: Sequence[Digest]) -> None:
        """Follow the referrers of these manifests, and of those, four levels deep; 1,000 in all."""
        waiting, seen = list(dict.fromkeys(roots)), set(roots)
        for depth in range(REFERRER_DEPTH + 1):
            listings = self.pool.map(lambda digest: _referrers(place, digest), waiting)
            entries = [(digest, item.digest) for digest, items in zip(waiting, listings, strict=True) for item in items]
            if entries and depth == REFERRER_DEPTH:
                message = f"referrers of referrers are nested deeper than {REFERRER_DEPTH}"
                raise ContentError("limit-exceeded", message, where=place.at(entries[0][0]))
            reads = self.pool.map(lambda entry: _referrer(place, *entry), entries)
            waiting = [
                child for entry, read in zip(entries, reads, strict=True) for child in self._keep(place, entry, read)
            ]
            waiting = [digest for digest in dict.fromkeys(waiting) if digest not in seen]
            seen.update(waiting)
            if len(self.found) > REFERRERS:
                raise ContentError("too-many-referrers", f"more than {REFERRERS} hang on the image", where=str(place))

    def _keep(self, place: Location, entry: tuple[Digest, Digest], read: Tree | Reason) -> list[Digest]:
        if isinstance(read, Reason):
            self.skipped.append(read)
            return []
        for manifest in read.manifests:
            self.found.setdefault(manifest.digest, (manifest, place))
        self.listed.setdefault(entry[0], set()).add(entry[1])
        return [manifest.digest for manifest in read.manifests]


def _referrers(place: Location, digest: Digest) -> tuple[Descriptor, ...]:
    listed = place.registry.referrers(place.repository, digest)
    if len(listed) > REFERRERS:
        raise ContentError("too-many-referrers", f"{len(listed)}, the limit is {REFERRERS}", where=place.at(digest))
    return listed


def _referrer(place: Location, subject: Digest, digest: Digest) -> Tree | Reason:
    """A listed referrer, if it is readable and says itself that it hangs on `subject`; a list is only a hint."""
    where = place.at(digest)
    try:
        manifest = place.registry.manifest(place.repository, digest)
        if manifest.subject is None or manifest.subject.digest != subject:
            return Reason("referrer-subject-mismatch", f"is listed, but does not hang on {subject}", where)
        return tree(place, digest)
    except (NotFound, ContentError) as error:
        return error.reasons[0]


def _legacy(source: Location, destination: Location, image: Tree) -> tuple[tuple[str, Manifest], ...]:
    """The `sha256-….sig`, `.att` and `.sbom` tags of the image that the destination does not have yet."""
    if source == destination:
        return ()
    possible = {f"{m.digest.algorithm}-{m.digest.hex}{suffix}" for m in image.manifests for suffix in LEGACY_SUFFIXES}
    found: list[tuple[str, Manifest]] = []
    for tag in sorted(possible.intersection(source.registry.tags(source.repository))):
        digest = source.registry.resolve(source.repository, tag)
        try:
            there = destination.registry.resolve(destination.repository, tag)
        except NotFound:
            found.append((tag, source.registry.manifest(source.repository, digest)))
            continue
        if there != digest:
            message = f"points at {there}, the source has {digest}; one would be lost"
            raise TagMoved("tag-conflict", message, where=f"{destination}:{tag}", hint="merge them with cosign first")
    return tuple(found)


def _agrees(descriptor: Descriptor | None, manifest: Manifest, place: Location) -> None:
    """A child must have the size and media type that its parent states."""
    if descriptor is None:
        return
    where = place.at(manifest.digest)
    if descriptor.size != len(manifest.content):
        message = f"has {len(manifest.content)} bytes, the index says {descriptor.size}"
        raise ContentError("size-mismatch", message, where=where)
    if descriptor.media_type != manifest.media_type:
        message = f"is {manifest.media_type}, the index says {descriptor.media_type}"
        raise ContentError("media-type-confusion", message, where=where)


def _is_attestation(descriptor: Descriptor | None) -> bool:
    """BuildKit keeps its attestations as children of the index, for a platform that does not exist."""
    return descriptor is not None and (
        descriptor.annotations.get("vnd.docker.reference.type") == "attestation-manifest"
        or descriptor.platform == "unknown/unknown"
    )


def _movable(manifest: Manifest, place: Location) -> Iterator[Descriptor]:
    for blob in manifest.blobs:
        if blob.urls or "nondistributable" in blob.media_type or "foreign" in blob.media_type:
            raise ContentError(
                "foreign-layer-refused",
                "the layer is kept elsewhere, and nothing is fetched from there",
                where=place.at(blob.digest),
            )
        yield blob


def _mountable(source: Location, destination: Location) -> bool:
    return source.registry is destination.registry and isinstance(destination.registry, Mounting)


def _serves(place: Location, digest: Digest) -> bool:
    try:
        place.registry.manifest(place.repository, digest)
    except NotFound:
        return False
    return True


def _move_blobs(transfer: Transfer, progress: Progress | None, jobs: int) -> list[Descriptor]:
    """Move all blobs; returns those whose bytes were copied. The first failure is raised, the others give way."""
    stop = Event()
    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        running = [pool.submit(_move, move, transfer.destination, progress, stop) for move in transfer.blobs]
        done, _ = wait(running, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            stop.set()
        for future in running:
            if future.done() and isinstance(error := future.exception(), Refusal):
                raise error
        return [move.descriptor for move, future in zip(transfer.blobs, running, strict=True) if future.result()]
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _move(move: BlobMove, to: Location, progress: Progress | None, stop: Event) -> bool:
    """Move one blob; True when its bytes were copied, False when it was mounted."""
    blob = move.descriptor
    if move.mountable and isinstance(to.registry, Mounting):
        mounted = to.registry.mount(to.repository, blob, move.source.repository)
        if mounted and to.registry.holds(to.repository, blob):
            if progress is not None:
                progress.done(blob, "mounted")
            return False
    if progress is not None:
        progress.start(blob, blob.size)
    to.registry.push_blob(to.repository, blob, lambda: _watched(move, progress, stop))
    if progress is not None:
        progress.done(blob, "copied")
    return True


def _watched(move: BlobMove, progress: Progress | None, stop: Event) -> Iterator[bytes]:
    for chunk in move.source.registry.blob(move.source.repository, move.descriptor):
        if stop.is_set():
            raise _Stopped
        if progress is not None:
            progress.advance(move.descriptor, len(chunk))
        yield chunk


def _listed(transfer: Transfer, sleep: Callable[[float], None]) -> None:
    """Read back until everything that hangs on the image is listed at the destination."""
    place = transfer.destination
    missing = {digest for listed in transfer.hanging.values() for digest in listed}
    for pause in (0.0, *VISIBLE_PAUSES):
        if pause:
            sleep(pause)
        for digest in transfer.hanging:
            missing -= {item.digest for item in place.registry.referrers(place.repository, digest)}
        if not missing:
            return
    names = ", ".join(str(digest) for digest in sorted(missing))
    raise Unavailable("referrers-incomplete", f"were copied, but are not listed: {names}", where=str(place))
