"""What has to move so that an image, with all that hangs on it, is at another place: a plan, made by reading only.

Source: OCI distribution-spec 1.1, "Pushing Manifests" and "Listing Referrers".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from graphlib import TopologicalSorter

from registries.attached import Attached, Hanging, legacy_tags, referrers
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Reason
from registries.manifest import Manifest
from registries.registry import Location, Mounting
from registries.tree import Tree, tree

_BLOB_REQUESTS, _MOUNT_REQUESTS, _MANIFEST_REQUESTS, _LIST_REQUESTS, _TAG_REQUESTS = 4, 2, 2, 2, 3

_Key = tuple[Digest, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobMove:
    """A blob that the destination lacks. `mountable`: another repository of the same registry has it."""

    descriptor: Descriptor
    source: Location
    mountable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMove:
    """A legacy tag to set, and where it points now."""

    tag: str
    manifest: Manifest
    expected: Digest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What would move. All manifests of a wave may be pushed at once, when the waves before it are there.

    `present` are the blobs that were proven to be there already; `skipped` says what is left behind and why.
    """

    subject: Digest
    source: Location
    destination: Location
    blobs: tuple[BlobMove, ...]
    waves: tuple[tuple[Manifest, ...], ...]
    legacy: tuple[TagMove, ...]
    present: tuple[Descriptor, ...]
    skipped: tuple[Reason, ...]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """What is pushed, in order: children, the image, what hangs on it."""
        return tuple(manifest for wave in self.waves for manifest in wave)

    @property
    def is_empty(self) -> bool:
        """Whether everything is there already."""
        return not (self.blobs or self.waves or self.legacy)

    @property
    def bytes(self) -> int:
        """How many bytes of blobs go from source to destination."""
        return sum(move.descriptor.size for move in self.blobs if not move.mountable)

    @property
    def mounts(self) -> int:
        """How many blobs need not travel."""
        return sum(move.mountable for move in self.blobs)

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
    subject: Digest, source: Location, destination: Location, *, more_sources: Sequence[Location] = (), jobs: int = 8
) -> Transfer:
    """What has to move so that the image, and all that hangs on it, is at the destination. Only reads.

    `more_sources` contribute what refers to the image there. No place contributes anything to itself.
    """
    image = tree(source, subject, jobs=jobs)
    own = Hanging(manifest=image.manifest, manifests=tuple(image.manifests.values()), source=source)
    places = [place for place in (source, *more_sources) if place != destination]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        found = referrers(tuple(image.manifests), places, pool)
        legacy = legacy_tags(tuple(image.manifests), source, pool) if source in places else Attached()
        moves = list(pool.map(lambda thing: _tag_move(thing, destination), legacy.things))
        wanted = [thing for thing, move in zip(legacy.things, moves, strict=True) if isinstance(move, TagMove)]
        extras = [*found.things, *wanted]
        needed = [own] if source in places else []
        held = _held([*needed, *extras], destination, pool)
        unreadable = _unreadable(extras, held, pool)
        needed += [thing for thing, reason in zip(extras, unreadable, strict=True) if reason is None]
        absent = _absent(needed, destination, pool)
    tags = {thing.tag for thing in needed}
    reasons = (*found.skipped, *legacy.skipped, *moves, *unreadable)
    return Transfer(
        subject=subject,
        source=source,
        destination=destination,
        blobs=_blob_moves(needed, held, destination),
        waves=_waves(absent, image),
        legacy=tuple(move for move in moves if isinstance(move, TagMove) and move.tag in tags),
        present=tuple(held.values()),
        skipped=tuple(reason for reason in reasons if isinstance(reason, Reason)),
    )


def by_subject(manifests: Sequence[Manifest]) -> dict[Digest, list[Manifest]]:
    """The referrers among these manifests, by what they hang on."""
    found: dict[Digest, list[Manifest]] = {}
    for manifest in manifests:
        if manifest.subject is not None:
            found.setdefault(manifest.subject.digest, []).append(manifest)
    return found


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


def _held(things: Sequence[Hanging], to: Location, pool: Executor) -> dict[_Key, Descriptor]:
    """The blobs that the destination has, each proven by reading."""
    asked = _blobs(things)
    answers = pool.map(lambda blob: to.registry.holds(to.repository, blob), asked)
    return {_key(blob): blob for blob, there in zip(asked, answers, strict=True) if there}


def _unreadable(things: Sequence[Hanging], held: Mapping[_Key, Descriptor], pool: Executor) -> list[Reason | None]:
    """What each of these lacks at both ends, if anything; it may have been attached to stop the copy."""
    lacking = [[blob for blob in _blobs((thing,)) if _key(blob) not in held] for thing in things]
    asked = {
        (id(thing.source.registry), thing.source.repository, _key(blob)): (thing.source, blob)
        for thing, blobs in zip(things, lacking, strict=True)
        for blob in blobs
    }
    answers = pool.map(lambda pair: pair[0].registry.holds(pair[0].repository, pair[1]), asked.values())
    readable = {key for key, there in zip(asked, answers, strict=True) if there}
    found: list[Reason | None] = []
    for thing, blobs in zip(things, lacking, strict=True):
        place = thing.source
        lost = [blob for blob in blobs if (id(place.registry), place.repository, _key(blob)) not in readable]
        message = f"can't be read whole: blob {lost[0].digest} of {lost[0].size} bytes" if lost else ""
        found.append(Reason("blob-not-found", message, place.at(thing.manifest.digest)) if lost else None)
    return found


def _absent(things: Sequence[Hanging], to: Location, pool: Executor) -> tuple[Manifest, ...]:
    """The manifests that the destination does not serve, or does not list where they refer to something."""
    manifests = {manifest.digest: manifest for thing in things for manifest in thing.manifests}
    served = pool.map(lambda manifest: _serves(to, manifest), manifests.values())
    listed = _listed(by_subject(tuple(manifests.values())), to, pool)
    return tuple(
        manifest
        for manifest, there in zip(manifests.values(), served, strict=True)
        if not there or (manifest.subject is not None and manifest.digest not in listed)
    )


def _serves(to: Location, manifest: Manifest) -> bool:
    try:
        return to.registry.manifest(to.repository, manifest.digest).content == manifest.content
    except (ContentError, NotFound):
        return False


def _listed(subjects: Iterable[Digest], to: Location, pool: Executor) -> frozenset[Digest]:
    answers = pool.map(lambda subject: to.registry.referrers(to.repository, subject), subjects)
    return frozenset(entry.digest for entries in answers for entry in entries)


def _blob_moves(things: Sequence[Hanging], held: Mapping[_Key, Descriptor], to: Location) -> tuple[BlobMove, ...]:
    moves: dict[Digest, BlobMove] = {}
    for thing in things:
        mountable = thing.source.registry is to.registry and isinstance(to.registry, Mounting)
        for blob in _blobs((thing,)):
            if _key(blob) not in held:
                moves.setdefault(blob.digest, BlobMove(descriptor=blob, source=thing.source, mountable=mountable))
    return tuple(moves.values())


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


def _blobs(things: Iterable[Hanging]) -> list[Descriptor]:
    return list({_key(blob): blob for one in things for manifest in one.manifests for blob in manifest.blobs}.values())


def _key(descriptor: Descriptor) -> _Key:
    """Two descriptors of one digest may differ in size; then one of them lies, and is not the other's alibi."""
    return descriptor.digest, descriptor.size
