"""A bill of materials of every platform of exactly this image, with something on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from registries.errors import ContentError, Reason, UsageError
from stages.attested import counted, covers
from stages.duration import Duration
from stages.evidence import UNDATED, Evidence, Platform, Report
from stages.gate import Outcome, Verdict
from stages.recorded import ANY_STEP, again, ahead, command, date_of, digests, place, refused, stage_of, too_old
from stages.report import Components
from stages.reports import COMPONENTS

NAME: Final = "sbom"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillOfMaterials:
    """A CycloneDX or SPDX bill of each platform, recorded or attested, that lists at least `min_components` packages.

    A bill must name the platform's digest itself; with `names_image: false` it is enough that a signed statement is
    about the image. `by` limits bills to those of these signers. `max_age` is the greatest age of a bill.
    """

    by: tuple[str, ...] = ()
    min_components: int = 1
    names_image: bool = True
    max_age: Duration | None = None

    def __post_init__(self) -> None:
        if self.min_components < 1:
            message = f"`min-components` is {self.min_components}; a bill of nothing shows nothing"
            raise UsageError("definition-invalid", message)

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at every bill; one that can't be read, lists too little or is about another image, is a no."""
        bills, faults = self._bills(evidence)
        faults.extend(self._uncovered(evidence, bills))
        faults.extend(reason for bill in bills for reason in self._age(evidence, bill))
        return Verdict(
            gate=NAME,
            outcome=Outcome.NOT_CHECKED if faults else Outcome.PASSED,
            reasons=tuple(faults),
            counts=(("bills", len(bills)), ("components", sum(bill.components.number for bill in bills))),
            evidence=digests(bill.report for bill in bills),
            newest_data=max((bill.date for bill in bills if bill.date != UNDATED), default=None),
        )

    def _bills(self, evidence: Evidence) -> tuple[list[_Bill], list[Reason]]:
        bills: list[_Bill] = []
        faults: list[Reason] = []
        for report in counted(evidence, COMPONENTS, self.by).reports:
            try:
                bill = self._bill(report, evidence)
            except ContentError as error:
                faults.extend(refused(NAME, report, error))
                continue
            late = list(_ahead(bill, evidence.now))
            faults.extend(late)
            if not late:
                bills.append(bill)
        return bills, faults

    def _bill(self, report: Report, evidence: Evidence) -> _Bill:
        """Raises `evidence-empty` for too few packages, `subject-mismatch` for another image, or one not named."""
        components = COMPONENTS[report.format](report.content)
        if components.number < self.min_components:
            message = f"lists {components.number} packages; at least {self.min_components} are asked for"
            raise ContentError("evidence-empty", message, hint="let the tool look at the image, not at an empty folder")
        platforms = _platforms(report, components, evidence, named=self.names_image)
        return _Bill(report=report, components=components, platforms=platforms)

    def _uncovered(self, evidence: Evidence, bills: Sequence[_Bill]) -> Iterator[Reason]:
        """What no bill is about."""
        where, but = f"gate {NAME}", counted(evidence, COMPONENTS, self.by).but
        hint = command(evidence, stage_of(evidence, ANY_STEP), ANY_STEP, "cyclonedx")
        for platform in evidence.platforms:
            if not any(platform in bill.platforms for bill in bills):
                what = f"no bill of materials of {platform.name} ({platform.manifest}) counts{but}"
                yield Reason("attestation-missing", what, where, f"one --report for each platform: {hint}")
        if not evidence.platforms:
            yield Reason("attestation-missing", "the image has no platform that could have a bill", where)

    def _age(self, evidence: Evidence, bill: _Bill) -> Iterator[Reason]:
        if self.max_age is not None:
            where, hint = place(NAME, bill.report), again(evidence, bill.report)
            yield from too_old("the bill", bill.date, self.max_age, now=evidence.now, where=where, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bill:
    """A bill that was read, and the platforms that it is about. The older one of two dates counts."""

    report: Report
    components: Components
    platforms: tuple[Platform, ...]

    @property
    def date(self) -> datetime:
        return date_of(self.report, self.components.made_at)


def _platforms(report: Report, components: Components, evidence: Evidence, *, named: bool) -> tuple[Platform, ...]:
    """What the bill is about, by the digest in it and by the signed statement; the two must agree.

    The digest of an index does not say which of its platforms a bill is of.
    """
    covered = covers(report, evidence)
    if not components.about:
        if named:
            message = "the bill names no digest: it may be of the source tree, or of another image"
            raise ContentError("subject-mismatch", message, hint="make it from the image by digest")
        return covered
    whole = covered if evidence.subject in components.about else ()
    found = tuple(it for it in covered if {it.manifest, it.config} & {*components.about}) or whole
    about = ", ".join(map(str, components.about))
    if not found:
        raise ContentError("subject-mismatch", f"the bill names {about}, and no platform of {evidence.subject}")
    if named and len({platform.config for platform in found}) > 1:
        names = ", ".join(platform.name for platform in found)
        raise ContentError("subject-mismatch", f"the bill names {about}, which is several platforms ({names})")
    return found


def _ahead(bill: _Bill, now: datetime) -> Iterator[Reason]:
    for date in (bill.report.finished_at, bill.components.made_at):
        if date is not None:
            yield from ahead(date, now=now, where=place(NAME, bill.report))
