"""Hanging something on an image: push it, and stay until the place lists it and gives it back.

A list may lag, and another writer of a fallback tag may have dropped an entry of ours; then it is pushed again.
Source: OCI distribution-spec 1.1, "Listing Referrers" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Unavailable
from registries.limits import QUESTIONS_AT_ONCE
from registries.manifest import Manifest
from registries.registry import Listing, Location

LISTED_SECONDS: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0


def push(location: Location, waves: Iterable[Sequence[Manifest]]) -> None:
    """Push manifests, wave after wave; those that have a subject are referrers afterwards. A wave may be made late."""
    registry, repository = location.registry, location.repository
    if isinstance(registry, Listing):
        registry.push_manifests(repository, waves)
        return
    for wave in waves:
        for manifest in wave:
            registry.push_manifest(repository, manifest)


def hang(
    location: Location,
    copied: Sequence[Sequence[Manifest]],
    records: Sequence[Manifest] = (),
    *,
    blobs: Sequence[tuple[Descriptor, bytes]] = (),
    sleep: Callable[[float], None],
    wait_seconds: float,
) -> None:
    """Push what was copied, wave after wave, then records with their `blobs`; return when all of it can be seen.

    Seen means served byte for byte, and listed where it refers to something. What stays invisible:
    `attestation-not-visible` for a record, `referrers-incomplete` for what was copied.
    """
    missing = [manifest for wave in (*copied, records) for manifest in wave]
    lost = list(blobs)
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        for pause in (0.0, *_pauses(wait_seconds)):
            if pause:
                sleep(pause)
            sight = _Sight(location, missing, lost, pool)
            push(location, sight.waves((*copied, records)))
            listed = _listed(location, missing, pool)
            lost = sight.lost()
            missing = [found for found in missing if found.subject is not None and found.digest not in listed]
            if not missing and not lost:
                return
    at = missing[-1].digest if missing else lost[-1][0].digest
    raise Unavailable(
        "attestation-not-visible" if lost or missing[-1] in records else "referrers-incomplete",
        f"was pushed, but can't be seen there after {wait_seconds:g} s",
        where=location.at(at),
        hint="run the same command again",
    )


def read_back(location: Location, manifest: Manifest) -> None:
    """Whether the place gives back the very bytes: none is `destination-incomplete`, others `destination-altered`."""
    where = location.at(manifest.digest)
    try:
        there = location.registry.manifest(location.repository, manifest.digest)
    except NotFound as error:
        raise ContentError(
            "destination-incomplete", "it took the manifest and can't give it back", where=where
        ) from error
    except ContentError as error:
        raise _altered(where) from error
    if there.content != manifest.content:
        raise _altered(where)


def by_subject(manifests: Iterable[Manifest]) -> dict[Digest, list[Manifest]]:
    """The referrers among these manifests, by what they hang on."""
    found: dict[Digest, list[Manifest]] = {}
    for manifest in manifests:
        if manifest.subject is not None:
            found.setdefault(manifest.subject.digest, []).append(manifest)
    return found


class _Sight:
    """Pushes blobs beside the manifests that do not need them, and reads all of it back beside what is left to do."""

    def __init__(
        self,
        location: Location,
        wanted: Sequence[Manifest],
        blobs: Sequence[tuple[Descriptor, bytes]],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._location = location
        self._wanted = wanted
        self._blobs = blobs
        self._pool = pool
        self._served: list[Future[None]] = []
        self._held: list[Future[bool]] = []

    def waves(self, waves: Sequence[Sequence[Manifest]]) -> Iterator[Sequence[Manifest]]:
        """Those that are wanted, in order, the last ones when the blobs are there; then everything is read back."""
        uploads = [self._pool.submit(self._push, *blob) for blob in self._blobs]
        for wave in waves[:-1]:
            yield [manifest for manifest in wave if manifest in self._wanted]
        for upload in uploads:
            upload.result()
        yield [manifest for manifest in waves[-1] if manifest in self._wanted]
        self._served = [self._pool.submit(read_back, self._location, manifest) for manifest in self._wanted]
        self._held = [self._pool.submit(self._holds, blob) for blob, _ in self._blobs]

    def lost(self) -> list[tuple[Descriptor, bytes]]:
        """The blobs that can't be read; manifests that can't be, or that are others, are refused."""
        for answer in self._served:
            answer.result()
        return [blob for blob, there in zip(self._blobs, self._held, strict=True) if not there.result()]

    def _push(self, descriptor: Descriptor, content: bytes) -> None:
        self._location.registry.push_blob(self._location.repository, descriptor, lambda: (content,))

    def _holds(self, descriptor: Descriptor) -> bool:
        return self._location.registry.holds(self._location.repository, descriptor)


def _listed(location: Location, manifests: Iterable[Manifest], pool: ThreadPoolExecutor) -> frozenset[Digest]:
    ask = location.registry.referrers
    answers = pool.map(lambda subject: ask(location.repository, subject), by_subject(manifests))
    return frozenset(entry.digest for entries in answers for entry in entries)


def _altered(where: str) -> ContentError:
    return ContentError("destination-altered", "it serves other bytes than the ones that were pushed", where=where)


def _pauses(seconds: float) -> Iterator[float]:
    """Growing pauses that add up to so many seconds."""
    pause = _FIRST_PAUSE_SECONDS
    while seconds > 0:
        yield min(pause, seconds)
        seconds -= pause
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
