"""Attestations in cosign's older form, carried over into bundles, so that the first bundle does not hide them.

The envelopes and their signatures are kept; what of their proof a bundle can't hold is told, and the older form stays
where it is. Nothing is believed or refused here: whoever reads a bundle verifies it.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from registries.tree import tree


class Outcome(StrEnum):
    """What became of one attestation."""

    CARRIED = "carried"
    THERE = "there"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One layer under an `.att` tag. `record` is the bundle it became; `left` is what was not carried, and why."""

    subject: Digest
    layer: Digest
    where: str
    predicate_type: str
    outcome: Outcome
    record: Digest | None = None
    left: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrapped:
    """Every attestation in the older form, of the image and of all manifests below it."""

    image: Image
    items: tuple[Item, ...]
    dry_run: bool

    @property
    def faults(self) -> tuple[Reason, ...]:
        """Why some attestations could not be carried at all."""
        return tuple(reason for item in self.items if item.outcome is Outcome.LEFT for reason in item.left)


def rewrap(image: Image, *, tools: Tools, now: datetime, dry_run: bool) -> Rewrapped:
    """Carry over what can be, and hang it where the older form is; what is there already is not written again."""
    found = tree(image.place, image.digest, shelf=tools.shelf)
    items = [
        item for manifest in found.manifests.values() for item in _one(image, manifest, tools, now, dry_run=dry_run)
    ]
    return Rewrapped(image=image, items=tuple(items), dry_run=dry_run)


def _one(image: Image, manifest: Manifest, tools: Tools, now: datetime, *, dry_run: bool) -> list[Item]:
    older = legacy_attestations(image.place, manifest.digest, shelf=tools.shelf)
    if not older:
        return []
    fetched = store.fetch((image.place,), manifest.digest, shelf=tools.shelf)
    judged = [_judge(one, manifest.digest, fetched.records[image.place]) for one in older]
    fresh = {bundle.record: bundle for item, bundle in judged if bundle and item.outcome is Outcome.CARRIED}
    listed = len(fetched.listed[image.place])
    if listed + len(fresh) > REFERRERS:
        message = f"{listed} referrers and {len(fresh)} more would be over the limit of {REFERRERS}"
        raise ContentError("too-many-referrers", message, where=image.place.at(manifest.digest))
    if fresh and not dry_run:
        bundles = tuple(fresh.values())
        store.attach(image.place, manifest.descriptor, bundles, created=now, sleep=tools.sleep)
    return [item for item, _ in judged]


def _judge(one: Found, subject: Digest, there: frozenset[Digest]) -> tuple[Item, Bundle | None]:
    """What becomes of one layer: it must be a statement about this manifest in an envelope that a bundle can hold."""
    about = one.attachment
    reason = about.reason
    predicate_type = about.says
    if one.bundle is not None:
        try:
            predicate_type = _statement(one.bundle, subject, about.where).predicate_type
            wrapped = wrap(one.bundle, where=about.where)
        except (AttestationError, ContentError) as error:
            reason = error.reasons[0]
        else:
            known = wrapped.bundle.record in there
            item = Item(
                subject=subject,
                layer=about.record,
                where=about.where,
                predicate_type=predicate_type,
                outcome=Outcome.THERE if known else Outcome.CARRIED,
                record=wrapped.bundle.record,
                left=wrapped.left,
            )
            return item, wrapped.bundle
    item = Item(
        subject=subject,
        layer=about.record,
        where=about.where,
        predicate_type=predicate_type,
        outcome=Outcome.LEFT,
        left=(reason,) if reason else (),
    )
    return item, None


def _statement(loose: Bundle, subject: Digest, where: str) -> Statement:
    statement = Statement.from_bytes(loose.envelope.payload)
    if not statement.names(subject):
        raise AttestationError("subject-mismatch", f"the statement is not about {subject}", where=where)
    return statement
