"""Copying an image with all that hangs on it: first a plan, which reads only, then what the plan says.

Blobs go before the manifests that name them, manifests before the indexes that list them, the image before its
referrers, and each keeps its exact bytes. What somebody attached badly is skipped and told; it can't stop the image.
Nothing counts as there because of a status: blobs are read, manifests are read back, referrers are found in the list.

Source: OCI distribution-spec 1.1, "Pushing Manifests" and "Listing Referrers".
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Event
from typing import Final, Protocol, TypeVar

from registries.descriptor import Descriptor
from registries.errors import ContentError, NotFound, Unavailable
from registries.manifest import Manifest
from registries.registry import Location, Mounting
from registries.transfer import BlobMove, Transfer, by_subject, plan_copy
from registries.tree import Platform, Tree, tree

__all__ = ["Moved", "Platform", "Progress", "Transfer", "Tree", "copy_image", "plan_copy", "tree"]

LISTED_SECONDS: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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


def copy_image(
    transfer: Transfer,
    *,
    progress: Progress | None = None,
    jobs: int = 8,
    sleep: Callable[[float], None] = time.sleep,
    wait_seconds: float = LISTED_SECONDS,
) -> Moved:
    """Do what the plan says, and read back that it was done. The first thing that fails stops everything else.

    A byte that is wrong at the source raises before any manifest is pushed. Done again, it writes nothing.
    """
    to = transfer.destination
    if progress is not None:
        for descriptor in transfer.present:
            progress.done(descriptor, "present")
    stop = Event()
    ways = _all_at_once(lambda move: _move_blob(move, to, progress, stop), transfer.blobs, jobs, stop)
    for wave in transfer.waves:
        _all_at_once(lambda manifest: _push(manifest, to), wave, jobs, stop)
    _see_listed(transfer.manifests, to, sleep, wait_seconds)
    for move in transfer.legacy:
        to.registry.tag(to.repository, move.tag, move.manifest, expected=move.expected)
    copied = [move.descriptor for move, way in zip(transfer.blobs, ways, strict=True) if way == "copied"]
    return Moved(
        manifests=len(transfer.manifests),
        blobs=len(copied),
        bytes=sum(blob.size for blob in copied),
        mounted=len(transfer.blobs) - len(copied),
    )


def _move_blob(move: BlobMove, to: Location, progress: Progress | None, stop: Event) -> str:
    """Bring one blob to the destination, and see that it can be read there; says how."""
    blob, how = move.descriptor, "copied"
    if progress is not None:
        progress.start(blob, blob.size)
    if move.mountable and _mount(move, to):
        how = "mounted"
    else:
        told = _Told()
        to.registry.push_blob(to.repository, blob, lambda: _watched(move, progress, stop, told))
        if not to.registry.holds(to.repository, blob):
            raise ContentError(
                "destination-incomplete", "it took the blob and can't give it back", where=to.at(blob.digest)
            )
    if progress is not None:
        progress.done(blob, how)
    return how


def _mount(move: BlobMove, to: Location) -> bool:
    """A mount counts when the blob can be read afterwards; else it is uploaded."""
    registry, blob = to.registry, move.descriptor
    return (
        isinstance(registry, Mounting)
        and registry.mount(to.repository, blob, move.source.repository)
        and to.registry.holds(to.repository, blob)
    )


class _Stopped(Exception):
    """Ends a blob that is under way when something else has failed; nobody sees it."""


@dataclass(slots=True)
class _Told:
    """How many bytes of a blob were reported as passed: an upload that is tried again reports only what is new."""

    bytes: int = 0


def _watched(move: BlobMove, progress: Progress | None, stop: Event, told: _Told) -> Iterator[bytes]:
    """The bytes at the source, which hashes them, until they end or something else has failed."""
    passed = 0
    for chunk in move.source.registry.blob(move.source.repository, move.descriptor):
        if stop.is_set():
            raise _Stopped
        passed += len(chunk)
        if progress is not None and passed > told.bytes:
            progress.advance(move.descriptor, passed - told.bytes)
            told.bytes = passed
        yield chunk


def _push(manifest: Manifest, to: Location) -> None:
    """Push the exact bytes and read them back."""
    to.registry.push_manifest(to.repository, manifest)
    try:
        there = to.registry.manifest(to.repository, manifest.digest)
    except NotFound as error:
        raise ContentError(
            "destination-incomplete", "it took the manifest and can't give it back", where=to.at(manifest.digest)
        ) from error
    except ContentError as error:
        raise _altered(to.at(manifest.digest)) from error
    if there.content != manifest.content:
        raise _altered(to.at(manifest.digest))


def _altered(where: str) -> ContentError:
    return ContentError("destination-altered", "it serves other bytes than the ones that were pushed", where=where)


def _see_listed(
    manifests: Sequence[Manifest], to: Location, sleep: Callable[[float], None], wait_seconds: float
) -> None:
    """Wait until every pushed referrer is listed. Another writer of a list may have dropped one, so push it again."""
    missing = tuple(manifest for manifest in manifests if manifest.subject is not None)
    for pause in (0.0, *_pauses(wait_seconds)):
        if pause:
            sleep(pause)
            for manifest in missing:
                _push(manifest, to)
        listed = {
            entry.digest for subject in by_subject(missing) for entry in to.registry.referrers(to.repository, subject)
        }
        missing = tuple(manifest for manifest in missing if manifest.digest not in listed)
        if not missing:
            return
    raise Unavailable(
        "referrers-incomplete",
        f"{len(missing)} referrers were pushed, but are not listed after {wait_seconds:g} s",
        where=to.at(missing[0].digest),
        hint="run the same command again",
    )


def _pauses(seconds: float) -> Iterator[float]:
    """Growing pauses that add up to so many seconds."""
    pause = _FIRST_PAUSE_SECONDS
    while seconds > 0:
        yield min(pause, seconds)
        seconds -= pause
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


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
