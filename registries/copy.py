"""Copying an image with all that hangs on it: first a plan, which reads only, then what the plan says.

Blobs go before the manifests that name them, manifests before the indexes that list them, the image before its
referrers, and each keeps its exact bytes. What somebody attached badly is skipped and told; it can't stop the image.
Nothing counts as there because of a status: blobs are read, manifests are read back, referrers are found in the list.
Several destinations are fed from one read.

Source: OCI distribution-spec 1.1, "Pushing Manifests" and "Listing Referrers".
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from threading import BoundedSemaphore, Event
from typing import Final, Protocol, TypeVar

from registries.descriptor import Descriptor
from registries.errors import ContentError
from registries.feed import shared
from registries.hang import LISTED_SECONDS, hang, push, read_back
from registries.limits import QUESTIONS_AT_ONCE
from registries.registry import Location, Mounting
from registries.shelf import ONE_BYTES, Shelf
from registries.transfer import BlobMove, Transfer, plan_copy
from registries.tree import Platform, Tree, platforms, tree

__all__ = [
    "Moved",
    "Platform",
    "Progress",
    "Transfer",
    "Tree",
    "copy_content",
    "copy_image",
    "plan_copy",
    "platforms",
    "tree",
]

JOBS: Final = 8

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Chunks = Callable[[], Iterable[bytes]]


class Progress(Protocol):
    """Whoever wants to see how a copy is going on. Called by several threads at once."""

    def start(self, descriptor: Descriptor, total: int, /) -> None:
        """A blob of so many bytes begins to move."""

    def advance(self, descriptor: Descriptor, count: int, /) -> None:
        """So many more of its bytes have passed."""

    def done(self, descriptor: Descriptor, how: str, /) -> None:
        """The blob is there: `copied`, `mounted`, or `present` all along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What did move. `blobs` and `bytes` went from source to destination; `mounted` blobs did not need to."""

    manifests: int
    blobs: int
    bytes: int
    mounted: int


@dataclass(frozen=True, slots=True, eq=False)
class _Arriving:
    """A blob on its way to the destination of one transfer."""

    move: BlobMove
    transfer: Transfer

    @property
    def to(self) -> Location:
        """Where it goes."""
        return self.transfer.destination


def copy_image(
    transfer: Transfer,
    *,
    progress: Progress | None = None,
    jobs: int = JOBS,
    whole: bool = False,
    shelf: Shelf | None = None,
    sleep: Callable[[float], None] = time.sleep,
    wait_seconds: float = LISTED_SECONDS,
) -> Moved:
    """Do what the plan says, and read back that it was done. The first thing that fails stops everything else.

    A byte that is wrong at the source raises before any manifest is pushed. Done again, it writes nothing.
    """
    (moved,) = copy_content((transfer,), progress=progress, jobs=jobs, whole=whole, shelf=shelf)
    hang(transfer.destination, transfer.hanging, sleep=sleep, wait_seconds=wait_seconds)
    set_legacy_tags(transfer)
    return moved


def copy_content(
    transfers: Sequence[Transfer],
    *,
    progress: Progress | None = None,
    jobs: int = JOBS,
    whole: bool = False,
    shelf: Shelf | None = None,
) -> tuple[Moved, ...]:
    """Bring the image itself, and the blobs of all that hangs on it, to every destination, and prove both there.

    What hangs on it and the legacy tags are left to `hang` and `set_legacy_tags`. `whole` has every byte read back.
    """
    if progress is not None:
        for descriptor in (blob for transfer in transfers for blob in transfer.present):
            progress.done(descriptor, "present")
    stop = Event()
    slots = BoundedSemaphore(jobs)
    bring = _Bringing(progress=progress, whole=whole, shelf=shelf or Shelf(), stop=stop, slots=slots)
    groups = _by_blob(transfers)
    ways = [pair for pairs in _all_at_once(bring.blob, groups, max(jobs, QUESTIONS_AT_ONCE), stop) for pair in pairs]
    _all_at_once(_push_content, transfers, QUESTIONS_AT_ONCE, stop)
    return tuple(_moved(transfer, ways) for transfer in transfers)


def set_legacy_tags(transfer: Transfer) -> None:
    """Point the tags of older tools at what was copied."""
    to = transfer.destination
    for move in transfer.legacy:
        to.registry.tag(to.repository, move.tag, move.manifest, expected=move.expected)


def _by_blob(transfers: Sequence[Transfer]) -> list[list[_Arriving]]:
    """Where each blob has to go."""
    groups: dict[tuple[str, int], list[_Arriving]] = {}
    for transfer in transfers:
        for move in transfer.blobs:
            key = str(move.descriptor.digest), move.descriptor.size
            groups.setdefault(key, []).append(_Arriving(move, transfer))
    return list(groups.values())


def _moved(transfer: Transfer, ways: Sequence[tuple[_Arriving, str]]) -> Moved:
    copied = [it.move.descriptor for it, how in ways if it.transfer is transfer and how == "copied"]
    return Moved(
        manifests=len(transfer.manifests),
        blobs=len(copied),
        bytes=sum(blob.size for blob in copied),
        mounted=len(transfer.blobs) - len(copied),
    )


def _push_content(transfer: Transfer) -> None:
    """Push the manifests of the image, children first, and read them back."""
    push(transfer.destination, transfer.content)
    manifests = [manifest for wave in transfer.content for manifest in wave]
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        for _ in pool.map(lambda manifest: read_back(transfer.destination, manifest), manifests):
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bringing:
    """How blobs are brought to their destinations."""

    progress: Progress | None
    whole: bool
    shelf: Shelf
    stop: Event
    slots: BoundedSemaphore

    def blob(self, group: Sequence[_Arriving]) -> list[tuple[_Arriving, str]]:
        """Bring one blob to all its destinations with one read; says how it came to each.

        A registry with several of them gets it once, and is asked to take it over from there. Only large blobs are
        counted among those that move at the same time.
        """
        large = group[0].move.descriptor.size > ONE_BYTES
        with self.slots if large else contextlib.nullcontext():
            return self._blob(group)

    def _blob(self, group: Sequence[_Arriving]) -> list[tuple[_Arriving, str]]:
        blob = group[0].move.descriptor
        if self.progress is not None:
            self.progress.start(blob, blob.size)
        first, rest = _one_each(group)
        ways = self._together(first)
        for arriving, other in rest:
            move = replace(arriving.move, mount_from=arriving.move.mount_from or other.to.repository)
            how = self._bring(replace(arriving, move=move), self._chunks(move))
            ways.append((arriving, how))
        if self.progress is not None:
            self.progress.done(blob, "copied" if "copied" in [how for _, how in ways] else "mounted")
        return ways

    def _together(self, group: Sequence[_Arriving]) -> list[tuple[_Arriving, str]]:
        if len(group) == 1:
            return [(group[0], self._bring(group[0], self._chunks(group[0].move)))]
        lanes = shared(self._chunks(group[0].move), len(group))

        def bring(number: int) -> str:
            try:
                return self._bring(group[number], lanes[number])
            finally:
                lanes[number].close()

        ways = _all_at_once(bring, range(len(group)), len(group), self.stop)
        return list(zip(group, ways, strict=True))

    def _bring(self, arriving: _Arriving, chunks: _Chunks) -> str:
        """A mount counts when the blob can be read afterwards; else it is uploaded, twice at most, and read."""
        registry, repository, blob = arriving.to.registry, arriving.to.repository, arriving.move.descriptor
        neighbour = arriving.move.mount_from
        if (
            neighbour is not None
            and isinstance(registry, Mounting)
            and registry.mount(repository, blob, neighbour)
            and self._holds(blob, arriving.to)
        ):
            return "mounted"
        for attempt in (chunks, self._chunks(arriving.move)):
            registry.push_blob(repository, blob, attempt)
            if self._holds(blob, arriving.to):
                return "copied"
        raise ContentError(
            "destination-incomplete", "it took the blob and can't give it back", where=arriving.to.at(blob.digest)
        )

    def _holds(self, blob: Descriptor, to: Location) -> bool:
        return to.registry.holds(to.repository, blob, whole=self.whole)

    def _chunks(self, move: BlobMove) -> _Chunks:
        """The bytes at the source, which hashes them, until they end or something else has failed."""
        told = _Told()
        return lambda: self._watched(move, told)

    def _watched(self, move: BlobMove, told: _Told) -> Iterator[bytes]:
        known = self.shelf.held(move.descriptor)
        source = move.source
        passed = 0
        for chunk in (known,) if known is not None else source.registry.blob(source.repository, move.descriptor):
            if self.stop.is_set():
                raise _Stopped
            passed += len(chunk)
            if self.progress is not None and passed > told.bytes:
                self.progress.advance(move.descriptor, passed - told.bytes)
                told.bytes = passed
            yield chunk


@dataclass(slots=True)
class _Told:
    """How many bytes of a blob were reported as passed: an upload that is tried again reports only what is new."""

    bytes: int = 0


class _Stopped(Exception):
    """Ends a blob that is under way when something else has failed; nobody sees it."""


def _one_each(group: Sequence[_Arriving]) -> tuple[list[_Arriving], list[tuple[_Arriving, _Arriving]]]:
    """One destination in each registry, and the others with the one that they have for a neighbour."""
    first: dict[int, _Arriving] = {}
    rest: list[tuple[_Arriving, _Arriving]] = []
    for arriving in group:
        neighbour = first.setdefault(id(arriving.to.registry), arriving)
        if neighbour is not arriving:
            rest.append((arriving, neighbour))
    return list(first.values()), rest


def _all_at_once(act: Callable[[_Item], _Result], items: Sequence[_Item], jobs: int, stop: Event) -> list[_Result]:
    """Do it for all, several at a time. The first that fails, or Ctrl-C, stops the others and is raised."""

    def attempt(item: _Item) -> _Result:
        if stop.is_set():
            raise _Stopped
        try:
            return act(item)
        except BaseException:
            stop.set()
            raise

    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        running = [pool.submit(attempt, item) for item in items]
        for future in as_completed(running):
            with contextlib.suppress(_Stopped):
                future.result()
        return [future.result() for future in running]
    except BaseException as error:
        stop.set()
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)  # an interrupted run waits for nobody
        raise
    finally:
        pool.shutdown(wait=False)
