"""What gates ask of every recorded report alike: which ones they read, how old it is, and how to record it again."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from datetime import datetime
from typing import Final

from attestations.chain import CLOCK_TOLERANCE
from registries.digest import Digest
from registries.errors import ContentError, Reason
from stages.duration import Duration
from stages.evidence import UNDATED, Evidence, Report

ANY_STAGE: Final = "STAGE"
ANY_STEP: Final = "STEP"


def of_formats(evidence: Evidence, formats: Container[str]) -> tuple[Report, ...]:
    """The reports of these formats, in an order of their own, whatever order they came in."""
    found = (report for report in evidence.reports if report.format in formats)
    return tuple(sorted(found, key=lambda report: (report.stage, report.step, report.record, report.digest)))


def place(gate: str, report: Report) -> str:
    """Where a reason about this report is."""
    if report.is_attested:
        return f"gate {gate}, {report.format} attestation {report.record} by {report.signer.name}"
    return f"gate {gate}, {report.stage} {report.step}, {report.format} report {report.digest}"


def refused(gate: str, report: Report, error: ContentError) -> tuple[Reason, ...]:
    """Why a report can't be used, with its place."""
    return tuple(Reason(reason.code, reason.message, place(gate, report), reason.hint) for reason in error.reasons)


def again(evidence: Evidence, report: Report) -> str:
    """The command that records a newer report in the place of this one, or attests it again."""
    if report.is_attested:
        about = (*report.about, evidence.subject)[0]
        return f"cosign attest --type {report.predicate_type} --predicate FILE IMAGE@{about}"
    return command(evidence, report.stage, report.step, report.format)


def command(evidence: Evidence, stage: str, step: str, report_format: str) -> str:
    """The command that records a report of a step."""
    return f"samebits step {stage} {step} {evidence.subject} --report {report_format}=FILE"


def stage_of(evidence: Evidence, step: str) -> str:
    """The stage of the chain that this step belongs to; for an unknown one, the last stage."""
    links = evidence.chain.links
    known = [link.stage for link in links if any(proof.name == step for proof in link.steps)]
    return (known or [link.stage for link in links] or [ANY_STAGE])[-1]


def digests(reports: Iterable[Report]) -> tuple[Digest, ...]:
    """What a verdict names as its evidence: the step records and the reports in them."""
    return tuple(dict.fromkeys(digest for report in reports for digest in (report.record, report.digest)))


def date_of(report: Report, said: datetime | None) -> datetime:
    """When it was made: the older one of what its signature shows and what it says itself, where it says it.

    An attestation whose time nothing proves is as old as it says: its signer vouches for that, as that of a step does.
    """
    if report.finished_at == UNDATED:
        return said or UNDATED
    return report.finished_at if said is None else min(report.finished_at, said)


def ahead(date: datetime, *, now: datetime, where: str) -> Iterator[Reason]:
    """Whether a date lies in the future, beyond what clocks may differ by."""
    if date > now + CLOCK_TOLERANCE:
        yield Reason("clock-skew", f"says {date.isoformat()}, which is ahead of {now.isoformat()}", where)


def too_old(what: str, date: datetime, limit: Duration, *, now: datetime, where: str, hint: str) -> Iterator[Reason]:
    """Whether something is older than the gate allows."""
    if date == UNDATED:
        yield Reason("evidence-too-old", f"nothing shows when {what} was made; it may be {limit} old", where, hint)
    elif now - date > limit.timedelta:
        message = f"{what} is of {date.isoformat()}, more than {limit} before {now.isoformat()}"
        yield Reason("evidence-too-old", message, where, hint)
