"""What has to move so that an image, with all that hangs on it, is at another place: a plan, made by reading only.

Source: OCI distribution-spec 1.1, "Pushing Manifests" and "Listing Referrers".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from graphlib import TopologicalSorter

from registries.attached import Attached, Hanging, legacy_tags, referrers
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Reason
from registries.hang import by_subject
from registries.limits import QUESTIONS_AT_ONCE
from registries.manifest import Manifest
from registries.presence import Presence, blob_key, blobs_of
from registries.registry import Location, Mounting
from registries.shelf import ONE_BYTES, Shelf
from registries.tree import Tree, tree

_BLOB_REQUESTS, _MOUNT_REQUESTS, _MANIFEST_REQUESTS, _LIST_REQUESTS, _TAG_REQUESTS = 3, 2, 2, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobMove:
    """A blob that the destination lacks. `mount_from`: another repository of the destination's registry has it."""

    descriptor: Descriptor
    source: Location
    mount_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMove:
    """A legacy tag to set, and where it points now."""

    tag: str
    manifest: Manifest
    expected: Digest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What would move. All manifests of a wave may be pushed at once, when the waves before it are there.

    `content` are the manifests of the image, `hanging` those of all that hangs on it. `present` are the blobs that were
    proven to be there already; `skipped` says what is left behind and why; `carried` are the blobs of all the rest.
    """

    subject: Digest
    source: Location
    destination: Location
    blobs: tuple[BlobMove, ...]
    content: tuple[tuple[Manifest, ...], ...]
    hanging: tuple[tuple[Manifest, ...], ...]
    legacy: tuple[TagMove, ...]
    present: tuple[Descriptor, ...]
    skipped: tuple[Reason, ...]
    carried: frozenset[Digest]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """What is pushed, in order: children, the image, what hangs on it."""
        return tuple(manifest for wave in (*self.content, *self.hanging) for manifest in wave)

    @property
    def is_empty(self) -> bool:
        """Whether everything is there already."""
        return not (self.blobs or self.content or self.hanging or self.legacy)

    @property
    def bytes(self) -> int:
        """How many bytes of blobs go from source to destination."""
        return sum(move.descriptor.size for move in self.blobs if move.mount_from is None)

    @property
    def mounts(self) -> int:
        """How many blobs need not travel."""
        return sum(move.mount_from is not None for move in self.blobs)

    @property
    def requests(self) -> int:
        """About how many requests the copy sends; a registry may ask for more of them."""
        return (
            _BLOB_REQUESTS * (len(self.blobs) - self.mounts)
            + _MOUNT_REQUESTS * self.mounts
            + _MANIFEST_REQUESTS * len(self.manifests)
            + _LIST_REQUESTS * len(by_subject(self.manifests))
            + _TAG_REQUESTS * len(self.legacy)
        )


def plan_copy(
    subject: Digest,
    source: Location,
    destination: Location,
    *,
    more_sources: Sequence[Location] = (),
    holders: Sequence[Location] = (),
    whole: bool = False,
    shelf: Shelf | None = None,
) -> Transfer:
    """What has to move so that the image, and all that hangs on it, is at the destination. Only reads.

    `more_sources` contribute what refers to the image there. No place contributes anything to itself. `holders` are
    other places that have the image: what lies in the destination's registry can be mounted from them. With `whole`,
    every byte of a blob is read before it counts as present.
    """
    shelf = shelf or Shelf()
    image = tree(source, subject, shelf=shelf)
    own = Hanging(manifest=image.manifest, manifests=tuple(image.manifests.values()), source=source)
    places = [place for place in (source, *more_sources) if place != destination]
    needed = [own] if source in places else []
    with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool, ThreadPoolExecutor(1) as beside:
        there = Presence(destination, pool, whole=whole)
        there.ask(needed)
        older = beside.submit(_older, tuple(image.manifests), source, destination, pool) if needed else None
        found = referrers(tuple(image.manifests), places, pool, shelf)
        legacy, moves = older.result() if older is not None else (Attached(), [])
        wanted = [thing for thing, move in zip(legacy.things, moves, strict=True) if isinstance(move, TagMove)]
        extras = [*found.things, *wanted]
        there.ask(extras)
        held = there.held([*needed, *extras])
        unreadable = _unreadable(extras, held, pool, shelf)
        needed += [thing for thing, reason in zip(extras, unreadable, strict=True) if reason is None]
        waves = _waves(there.absent(needed), image)
    tags = {thing.tag for thing in needed}
    reasons = (*found.skipped, *legacy.skipped, *moves, *unreadable)
    return Transfer(
        subject=subject,
        source=source,
        destination=destination,
        blobs=_blob_moves(needed, held, destination, [place for place in holders if place != destination]),
        content=_split(waves, lambda manifest: manifest.digest in image.manifests),
        hanging=_split(waves, lambda manifest: manifest.digest not in image.manifests),
        legacy=tuple(move for move in moves if isinstance(move, TagMove) and move.tag in tags),
        present=tuple(held.values()),
        skipped=tuple(reason for reason in reasons if isinstance(reason, Reason)),
        carried=frozenset(blob.digest for blob in blobs_of(needed)),
    )


def _older(
    subjects: Sequence[Digest], source: Location, destination: Location, pool: Executor
) -> tuple[Attached, list[TagMove | Reason | None]]:
    """The legacy tags at the source, and which of them have to move."""
    found = legacy_tags(subjects, source, pool)
    return found, list(pool.map(lambda thing: _tag_move(thing, destination), found.things))


def _tag_move(thing: Hanging, destination: Location) -> TagMove | Reason | None:
    """Whether a legacy tag has to move: None if the destination has all of it. Both sides may have added layers."""
    tag, ours = thing.tag or "", thing.manifest
    try:
        now = destination.registry.resolve(destination.repository, tag)
        theirs = destination.registry.manifest(destination.repository, now)
    except NotFound:
        return TagMove(tag=tag, manifest=ours, expected=None)
    except ContentError as error:
        return error.reasons[0]
    if _layers(ours) <= _layers(theirs):
        return None
    if _layers(theirs) <= _layers(ours):
        return TagMove(tag=tag, manifest=ours, expected=now)
    message = f"points at {now}, which has layers that {ours.digest} does not have, and the other way round"
    return Reason("tag-conflict", message, f"{destination}:{tag}")


def _layers(manifest: Manifest) -> frozenset[tuple[Digest, tuple[tuple[str, str], ...]]]:
    """What a legacy tag holds. cosign writes a signature into the annotations of the layer that it signs."""
    entries = (*manifest.layers, *manifest.children)
    return frozenset((entry.digest, tuple(sorted(entry.annotations.items()))) for entry in entries)


def _unreadable(
    things: Sequence[Hanging], held: Mapping[tuple[Digest, int], Descriptor], pool: Executor, shelf: Shelf
) -> list[Reason | None]:
    """What each of these lacks at both ends, if anything; it may have been attached to stop the copy."""
    lacking = [[blob for blob in blobs_of((thing,)) if blob_key(blob) not in held] for thing in things]
    asked = {
        (id(thing.source.registry), thing.source.repository, blob_key(blob)): (thing.source, blob)
        for thing, blobs in zip(things, lacking, strict=True)
        for blob in blobs
    }
    answers = pool.map(lambda pair: _can_be_read(pair[0], pair[1], shelf), asked.values())
    readable = {key for key, there in zip(asked, answers, strict=True) if there}
    found: list[Reason | None] = []
    for thing, blobs in zip(things, lacking, strict=True):
        place = thing.source
        lost = [blob for blob in blobs if (id(place.registry), place.repository, blob_key(blob)) not in readable]
        message = f"can't be read whole: blob {lost[0].digest} of {lost[0].size} bytes" if lost else ""
        found.append(Reason("blob-not-found", message, place.at(thing.manifest.digest)) if lost else None)
    return found


def _can_be_read(place: Location, blob: Descriptor, shelf: Shelf) -> bool:
    """Whether the source can give this blob. A small one is read whole, and need not be read again for the copy."""
    if blob.size > ONE_BYTES:
        return place.registry.holds(place.repository, blob)
    try:
        shelf.blob(place, blob)
    except (ContentError, NotFound):
        return False
    return True


def _blob_moves(
    things: Sequence[Hanging],
    held: Mapping[tuple[Digest, int], Descriptor],
    to: Location,
    holders: Sequence[Location],
) -> tuple[BlobMove, ...]:
    moves: dict[Digest, BlobMove] = {}
    for thing in things:
        mount_from = _neighbour(to, (thing.source, *(holders if thing is things[0] else ())))
        for blob in blobs_of((thing,)):
            if blob_key(blob) not in held:
                moves.setdefault(blob.digest, BlobMove(descriptor=blob, source=thing.source, mount_from=mount_from))
    return tuple(moves.values())


def _neighbour(to: Location, places: Sequence[Location]) -> str | None:
    """The repository of the first of these places that shares a registry with the destination, if that can mount."""
    if not isinstance(to.registry, Mounting):
        return None
    return next((place.repository for place in places if place.registry is to.registry), None)


def _split(waves: Sequence[Sequence[Manifest]], wanted: Callable[[Manifest], bool]) -> tuple[tuple[Manifest, ...], ...]:
    """These waves with the wanted manifests only."""
    split = (tuple(manifest for manifest in wave if wanted(manifest)) for wave in waves)
    return tuple(wave for wave in split if wave)


def _waves(absent: Sequence[Manifest], image: Tree) -> tuple[tuple[Manifest, ...], ...]:
    """Each manifest after its children, the image before all that hangs on it, that in turn after its subject.

    What a part of the image itself hangs on may come later or never: as an order it could contradict the others.
    """
    waiting = {manifest.digest: manifest for manifest in absent}
    graph: TopologicalSorter[Digest] = TopologicalSorter()
    for manifest in absent:
        before = {child.digest for child in manifest.children}
        if manifest.digest not in image.manifests:
            before.add(image.manifest.digest)
            before.update(subject.digest for subject in (manifest.subject,) if subject is not None)
        graph.add(manifest.digest, *(before & waiting.keys()))
    graph.prepare()
    waves: list[tuple[Manifest, ...]] = []
    while graph.is_active():
        ready = frozenset(graph.get_ready())
        waves.append(tuple(manifest for digest, manifest in waiting.items() if digest in ready))
        graph.done(*ready)
    return tuple(waves)
