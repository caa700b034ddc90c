"""What hangs on an image: referrers, what hangs on those, and the tags that older tools keep beside it.

Who may attach something may also attach nonsense. A list is therefore a hint: every entry is fetched, and what is
missing, damaged or about something else is left aside with its reason. Only the limits stop everything.

Source: OCI distribution-spec 1.1, "Listing Referrers"; cosign's signature specification for the tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from registries.digest import Digest
from registries.errors import ContentError, NotFound, Reason
from registries.limits import REFERRER_DEPTH, REFERRERS
from registries.manifest import Manifest
from registries.registry import Location
from registries.shelf import Shelf
from registries.tree import MANIFEST_BYTES_TOGETHER, manifests_below

LEGACY_SUFFIXES: Final = (".sig", ".att", ".sbom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hanging:
    """One thing that hangs on an image, where it was read, all manifests of it, and its tag if it is known by one."""

    manifest: Manifest
    manifests: tuple[Manifest, ...]
    source: Location
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """All that hangs on an image, what a thing hangs on before the thing itself; and why the rest was left aside."""

    things: tuple[Hanging, ...] = ()
    skipped: tuple[Reason, ...] = ()


def referrers(subjects: Sequence[Digest], sources: Sequence[Location], pool: Executor, shelf: Shelf) -> Attached:
    """Everything that refers to one of these digests in any of these places, and to what refers to them.

    More than 4 levels: `limit-exceeded`. More than 1,000 entries or manifests in all: `too-many-referrers`.
    """
    found: dict[Digest, Hanging] = {}
    skipped: dict[tuple[Digest, Digest], Reason] = {}
    seen: set[Digest] = set()
    level = tuple(subjects)
    depth = 0
    while level:
        listed = _listed(level, sources, pool)
        seen.update(digest for _, digest in listed)
        _check_number(len(seen), subjects, sources)
        things = pool.map(lambda item: _referrer(item[0], item[1], shelf), listed.items())
        level = ()
        for entry, thing in zip(listed, things, strict=True):
            if isinstance(thing, Reason):
                skipped[entry] = thing
            elif thing.manifest.digest not in found and thing.manifest.digest not in subjects:
                found[thing.manifest.digest] = thing
                level = (*level, thing.manifest.digest)
        depth += 1
        _check_size(tuple(found.values()), depth if level else 0, subjects, sources)
    return Attached(things=tuple(found.values()), skipped=tuple(skipped.values()))


def legacy_tags(subjects: Sequence[Digest], source: Location, pool: Executor) -> Attached:
    """What cosign keeps under `sha256-<hex>.sig`, `.att` and `.sbom` for these digests."""
    names = [f"{digest.algorithm}-{digest.hex}{suffix}" for digest in subjects for suffix in LEGACY_SUFFIXES]
    found = list(pool.map(lambda name: _legacy_tag(name, source), names))
    return Attached(
        things=tuple(thing for thing in found if isinstance(thing, Hanging)),
        skipped=tuple(thing for thing in found if isinstance(thing, Reason)),
    )


def _listed(
    subjects: Sequence[Digest], sources: Sequence[Location], pool: Executor
) -> dict[tuple[Digest, Digest], list[Location]]:
    """What each place lists for each digest: (subject, referrer) -> the places that say so."""
    questions = [(subject, place) for subject in subjects for place in sources]
    answers = pool.map(lambda asked: asked[1].registry.referrers(asked[1].repository, asked[0]), questions)
    found: dict[tuple[Digest, Digest], list[Location]] = {}
    for (subject, place), entries in zip(questions, answers, strict=True):
        for digest in dict.fromkeys(entry.digest for entry in entries):
            found.setdefault((subject, digest), []).append(place)
    return found


def _referrer(entry: tuple[Digest, Digest], places: Sequence[Location], shelf: Shelf) -> Hanging | Reason:
    """A listed referrer from the first place that has it whole."""
    subject, digest = entry
    reasons: list[Reason] = []
    for place in places:
        try:
            manifests = manifests_below(place, digest, shelf=shelf)
        except (ContentError, NotFound) as error:
            reasons.append(error.reasons[0])
            continue
        manifest = manifests[digest]
        if manifest.subject is not None and manifest.subject.digest == subject:
            return Hanging(manifest=manifest, manifests=tuple(manifests.values()), source=place)
        hangs_on = manifest.subject.digest if manifest.subject is not None else "nothing"
        message = f"is listed as hanging on {subject}, but hangs on {hangs_on}"
        return Reason("referrer-subject-mismatch", message, place.at(digest))
    return reasons[0]


def _legacy_tag(tag: str, source: Location) -> Hanging | Reason | None:
    try:
        digest = source.registry.resolve(source.repository, tag)
    except NotFound:
        return None
    except ContentError as error:
        return error.reasons[0]
    try:
        manifests = manifests_below(source, digest)
    except (ContentError, NotFound) as error:
        return error.reasons[0]
    return Hanging(manifest=manifests[digest], manifests=tuple(manifests.values()), source=source, tag=tag)


def _check_number(number: int, subjects: Sequence[Digest], sources: Sequence[Location]) -> None:
    if number > REFERRERS:
        raise ContentError(
            "too-many-referrers",
            f"more than the limit of {REFERRERS} hang on the image",
            where=" and ".join(place.at(subjects[0]) for place in sources),
        )


def _check_size(found: Sequence[Hanging], depth: int, subjects: Sequence[Digest], sources: Sequence[Location]) -> None:
    _check_number(sum(len(thing.manifests) for thing in found), subjects, sources)
    where = " and ".join(place.at(subjects[0]) for place in sources)
    if depth > REFERRER_DEPTH:
        raise ContentError("limit-exceeded", f"referrers hang on referrers deeper than {REFERRER_DEPTH}", where=where)
    if sum(len(manifest.content) for thing in found for manifest in thing.manifests) > MANIFEST_BYTES_TOGETHER:
        raise ContentError("size-limit", f"referrers have more than {MANIFEST_BYTES_TOGETHER} bytes", where=where)
