"""Attestations in cosign's older form and in files, hung on their image as bundles, where every reader looks.

The envelopes and their signatures are kept; what of their proof a bundle can't hold is told, and the older form stays
where it is. Nothing is believed or refused here: whoever reads a bundle verifies it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from attestations import store
from attestations.bundle import Bundle
from attestations.errors import AttestationError
from attestations.foreign.envelopes import wrap
from attestations.foreign.look import Found, legacy_attestations
from attestations.statement import Statement
from pipeline.places import Image
from pipeline.promote import Tools
from registries.digest import Digest
from registries.errors import ContentError, Reason
from registries.limits import REFERRERS
from registries.manifest import Manifest
from registries.registry import Location
from registries.tree import tree


class Outcome(StrEnum):
    """What became of one attestation."""

    CARRIED = "carried"
    THERE = "there"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One attestation: a layer under an `.att` tag, or a line of a file. `where` says which.

    `record` is the bundle that it became; `left` is what was not carried, and why.
    """

    subject: Digest
    layer: Digest
    where: str
    predicate_type: str
    outcome: Outcome
    record: Digest | None = None
    left: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrapped:
    """Every attestation in the older form, of the image and of all manifests below it, and those of files."""

    image: Image
    items: tuple[Item, ...]
    dry_run: bool

    @property
    def faults(self) -> tuple[Reason, ...]:
        """Why some attestations could not be carried at all."""
        return tuple(reason for item in self.items if item.outcome is Outcome.LEFT for reason in item.left)


_Judged = tuple[Item, Bundle | None]


def rewrap(
    image: Image, *, tools: Tools, now: datetime, dry_run: bool, files: Sequence[tuple[str, bytes]] = ()
) -> Rewrapped:
    """Carry over what can be, and hang it where the older form is; what is there already is not written again.

    `files`, each (name, content), hold bundles, one in a line, as `gh attestation download` writes them. Each is hung,
    as it is, on the manifest that it is about.
    """
    found = tree(image.place, image.digest, shelf=tools.shelf).manifests
    judged = [pair for file in files for pair in _file(*file, tuple(found))]
    items: list[Item] = []
    for manifest in found.values():
        brought = [pair for pair in judged if pair[0].subject == manifest.digest]
        items += _one(image.place, manifest, brought, tools, now, dry_run=dry_run)
    return Rewrapped(image=image, items=tuple(items), dry_run=dry_run)


def _one(
    place: Location, manifest: Manifest, brought: Sequence[_Judged], tools: Tools, now: datetime, *, dry_run: bool
) -> list[Item]:
    """What becomes of the attestations of one manifest; `brought` are those of files."""
    older = legacy_attestations(place, manifest.digest, shelf=tools.shelf)
    judged = [*(_judge(one, manifest.digest) for one in older), *brought]
    if not judged:
        return []
    fetched = store.fetch((place,), manifest.digest, shelf=tools.shelf)
    there = fetched.records[place]
    fresh = {bundle.record: bundle for _, bundle in judged if bundle is not None and bundle.record not in there}
    listed = len(fetched.listed[place])
    if listed + len(fresh) > REFERRERS:
        message = f"{listed} referrers and {len(fresh)} more would be over the limit of {REFERRERS}"
        raise ContentError("too-many-referrers", message, where=place.at(manifest.digest))
    if fresh and not dry_run:
        store.attach(place, manifest.descriptor, tuple(fresh.values()), created=now, sleep=tools.sleep)
    return [replace(item, outcome=Outcome.THERE) if item.record in there else item for item, _ in judged]


def _judge(one: Found, subject: Digest) -> _Judged:
    """What becomes of one layer: it must be a statement about this manifest in an envelope that a bundle can hold."""
    about = one.attachment
    item = Item(subject=subject, layer=about.record, where=about.where, predicate_type=about.says, outcome=Outcome.LEFT)
    if one.bundle is None:
        return replace(item, left=(about.reason,) if about.reason else ()), None
    try:
        statement = _statement(one.bundle, (subject,), about.where)[0]
        wrapped = wrap(one.bundle, where=about.where)
    except (AttestationError, ContentError) as error:
        return replace(item, left=(error.reasons[0],)), None
    carried = replace(
        item,
        predicate_type=statement.predicate_type,
        outcome=Outcome.CARRIED,
        record=wrapped.bundle.record,
        left=wrapped.left,
    )
    return carried, wrapped.bundle


def _file(name: str, content: bytes, subjects: Sequence[Digest]) -> Iterator[_Judged]:
    """The bundles of a file, each with the first of these manifests that it is about."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        where, record = f"{name}:{number}", Digest.of(line)
        item = Item(subject=subjects[0], layer=record, where=where, predicate_type="", outcome=Outcome.LEFT)
        try:
            bundle = Bundle.from_bytes(line, where=where)
            statement, subject = _statement(bundle, subjects, where)
        except (AttestationError, ContentError) as error:
            yield replace(item, left=(error.reasons[0],)), None
        else:
            kind = statement.predicate_type
            yield replace(item, subject=subject, predicate_type=kind, outcome=Outcome.CARRIED, record=record), bundle


def _statement(bundle: Bundle, subjects: Sequence[Digest], where: str) -> tuple[Statement, Digest]:
    """The statement, and the first of these manifests that it is about: `subject-mismatch`."""
    statement = Statement.from_bytes(bundle.envelope.payload)
    for subject in subjects:
        if statement.names(subject):
            return statement, subject
    raise AttestationError("subject-mismatch", f"the statement is not about {subjects[0]}", where=where)
