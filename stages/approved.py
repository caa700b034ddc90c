"""Which approvals count: by somebody else than those who built or promote, for exactly this, and not too long ago."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from attestations.identity import Identity
from attestations.records.approval import Approval, ApprovalKind
from attestations.verify import Verified
from registries.digest import Digest
from registries.errors import Reason
from stages.duration import Duration
from stages.evidence import Evidence
from stages.recorded import ahead


class Other(StrEnum):
    """Who an approver may not be."""

    BUILDER = "builder"
    PROMOTER = "promoter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an approval must be: by one of these names, of this kind, by none of the others, and at most this old."""

    by: tuple[str, ...]
    kind: ApprovalKind
    others: tuple[Other, ...]
    max_age: Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """The approvals that count, one for each person, and why other people's do not."""

    records: tuple[Digest, ...]
    missing: tuple[str, ...]
    faults: tuple[Reason, ...]


def approvals(evidence: Evidence, wanted: Wanted, *, where: str) -> Approved:
    """Sort the approvals that are attached. Of each person one that counts is enough, whatever else there is."""
    records: list[Digest] = []
    missing: list[str] = []
    faults: list[Reason] = []
    for name in wanted.by:
        given = [(item, claim) for item, claim in _given(evidence) if item.signer.name == name]
        judged = [(item, list(_faults(item, claim, evidence, wanted, where))) for item, claim in given]
        good = [item.record for item, found in judged if not found]
        if good:
            records.append(good[-1])
            continue
        missing.append(name)
        faults += [fault for _, found in judged for fault in found]
    return Approved(records=tuple(records), missing=tuple(missing), faults=tuple(faults))


def _given(evidence: Evidence) -> Sequence[tuple[Verified, Approval]]:
    """All approvals, each once, the oldest first."""
    found = {item.record: (item, claim) for item in evidence.statements if isinstance(claim := item.claim, Approval)}
    return sorted(found.values(), key=lambda pair: (pair[1].approved_at, pair[0].record))


def _faults(item: Verified, claim: Approval, evidence: Evidence, wanted: Wanted, where: str) -> Iterator[Reason]:
    """Why an approval does not count; the first thing that is wrong, as all that follows is about something else."""
    place = f"{where}, record {item.record}"
    asked, who = evidence.asked, item.signer
    if claim.kind is not wanted.kind:
        yield Reason("approval-mismatch", f"{who.name} approved a {claim.kind}, not a {wanted.kind}", place)
    elif asked is None or claim.stage != asked.stage:
        yield Reason("approval-mismatch", f"{who.name} approved an admission to {claim.stage}", place)
    elif claim.pipeline != asked.pipeline:
        message = f"{who.name} approved it under definition {claim.pipeline.definition} of {claim.pipeline.name}"
        yield Reason("approval-mismatch", message, place)
    elif other := _is_other(who, evidence, wanted.others):
        yield Reason("self-approval", f"{who.name} is the {other} of this image", place)
    elif claim.findings != asked.findings:
        message = f"{who.name} approved findings {claim.findings}; they are {asked.findings} now"
        yield Reason("approval-stale", message, place)
    else:
        yield from _time(item, claim, wanted, evidence.now, place)


def _time(item: Verified, claim: Approval, wanted: Wanted, now: datetime, where: str) -> Iterator[Reason]:
    """An approval holds until it expires, and no longer than the gate allows; the older of two dates counts."""
    proved = item.proved_time
    given = claim.approved_at if proved is None else min(claim.approved_at, proved)
    yield from ahead(claim.approved_at, now=now, where=where)
    if now > claim.expires:
        yield Reason("approval-expired", f"{item.signer.name} approved it until {claim.expires.isoformat()}", where)
    elif wanted.max_age is not None and now - given > wanted.max_age.timedelta:
        message = f"{item.signer.name} approved it at {given.isoformat()}, more than {wanted.max_age} ago"
        yield Reason("approval-expired", message, where)


def _is_other(approver: Identity, evidence: Evidence, others: Collection[Other]) -> Other | None:
    """Compared by what a signer is, not by what it is called (T100)."""
    asked, links = evidence.asked, evidence.chain.links
    promoter = asked.promoter if asked is not None else None
    if Other.BUILDER in others and any(link.verified.signer.who == approver.who for link in links[:1]):
        return Other.BUILDER
    if Other.PROMOTER in others and promoter is not None and promoter.who == approver.who:
        return Other.PROMOTER
    return None
