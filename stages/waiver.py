"""Which findings may stand for a while, because whoever owns the gate has said so: exactly those, there, until then.

The rule (design, section 5): what has a fix is updated and never waived. Without one, critical and high findings need
an alternative solution with its evidence; for a medium or lesser one, secured by practice is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from attestations.chain import CLOCK_TOLERANCE
from attestations.records.admission import WaiverUsed
from attestations.records.waivers import Waiver, WaiverKind, WaiversRecord
from registries.digest import Digest
from registries.errors import Reason
from stages.evidence import Evidence
from stages.finding import Severity, cves

SOON: Final = timedelta(days=14)
"""When a waiver that is used begins to be told as ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waivable:
    """A finding as a waiver names it. `manifests` are the platforms that have it; `has_fix` that an update exists."""

    names: tuple[str, ...]
    severity: Severity
    manifests: tuple[Digest, ...]
    package: str = ""
    version: str = ""
    has_fix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived:
    """What became of one finding: the waiver that covers it, or why those that name it do not."""

    used: WaiverUsed | None = None
    faults: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Waivers:
    """The waivers of one gate that its owners have signed, with the record of each, by the findings that they name.

    Of each signer the latest record alone counts: it replaces the one before, whole.
    """

    gate: str
    evidence: Evidence
    by_name: Mapping[str, Sequence[tuple[Digest, Waiver]]]

    @classmethod
    def of(cls, gate: str, evidence: Evidence, by: Sequence[str]) -> Waivers:
        """Without owners there are none. A record from the future does not count yet."""
        pipeline = evidence.asked.pipeline.name if evidence.asked else None
        latest: dict[str, tuple[WaiversRecord, Digest]] = {}
        for item in evidence.waivers:
            claim = item.claim
            if not isinstance(claim, WaiversRecord) or item.signer.name not in by or claim.pipeline != pipeline:
                continue
            if claim.issued_at > evidence.now + CLOCK_TOLERANCE:
                continue
            known = latest.get(item.signer.name)
            if known is None or (claim.issued_at, item.record) > (known[0].issued_at, known[1]):
                latest[item.signer.name] = (claim, item.record)
        given = [(record, one) for claim, record in latest.values() for one in claim.waivers if one.gate == gate]
        by_name: dict[str, list[tuple[Digest, Waiver]]] = {}
        for pair in given:
            for name in pair[1].findings:
                by_name.setdefault(name, []).append(pair)
        return cls(gate, evidence, by_name)

    def cover(self, finding: Waivable) -> Waived:
        """The first waiver that covers it, or the reason of each that names it and does not."""
        faults: list[Reason] = []
        named = dict.fromkeys(pair for name in finding.names for pair in self.by_name.get(name, ()))
        for record, waiver in sorted(named, key=lambda pair: (pair[1].id, pair[0])):
            found = list(self._faults(waiver, finding))
            if not found:
                return Waived(used=WaiverUsed(id=waiver.id, record=record, expires=waiver.expires))
            faults += found
        return Waived(faults=tuple(faults))

    def ending(self, used: Sequence[WaiverUsed]) -> tuple[Reason, ...]:
        """Those that were used and end soon."""
        return tuple(
            Reason("waiver-expiring", f"the waiver {one.id} ends at {one.expires.isoformat()}", f"gate {self.gate}")
            for one in used
            if one.expires - self.evidence.now <= SOON
        )

    def _faults(self, waiver: Waiver, finding: Waivable) -> Iterator[Reason]:
        where = f"gate {self.gate}, waiver {waiver.id}"
        if self.evidence.now > waiver.expires:
            hint = "update the package; or have its owner give a new one: samebits waive add"
            yield Reason("waiver-expired", f"it ended at {waiver.expires.isoformat()}", where, hint)
        elif not self._in_scope(waiver, finding):
            message = f"it is for {waiver.scope}, not for {finding.package} {finding.version}".rstrip()
            yield Reason("waiver-invalid", message, where)
        elif missing := _more(finding) - frozenset(waiver.findings):
            message = f"it does not name {', '.join(sorted(missing))}, which is the same finding here"
            yield Reason("waiver-invalid", message, where)
        elif finding.has_fix:
            yield Reason("waiver-invalid", "there is a fix, so it does not apply", where, "update the package")
        elif waiver.kind is not WaiverKind.ALTERNATIVE_SOLUTION and finding.severity.rank >= Severity.HIGH.rank:
            message = f"a {finding.severity} finding needs an {WaiverKind.ALTERNATIVE_SOLUTION}, not {waiver.kind}"
            yield Reason("waiver-invalid", message, where)

    def _in_scope(self, waiver: Waiver, finding: Waivable) -> bool:
        """Every part of a scope that is given must fit; an image or platform covers what is nowhere else."""
        scope = waiver.scope
        image = scope.image in (None, self.evidence.subject) or {*finding.manifests} == {scope.image}
        package = scope.package in (None, finding.package) and scope.version in (None, finding.version)
        return image and package


def _more(finding: Waivable) -> frozenset[str]:
    """The CVEs that have grown into one finding, where they are several: a waiver has to name each of them."""
    found = cves(finding.names)
    return found if len(found) > 1 else frozenset()


def ended_waivers(evidence: Evidence) -> tuple[Reason, ...]:
    """Waivers by which the image came through a stage before, that have ended since, and that nobody has given again.

    What they let stand stands by nothing now, so the image goes no further. Who gave them then is not asked now: the
    stage's own gate has counted them.
    """
    live = {
        waiver.id
        for item in evidence.waivers
        if isinstance(item.claim, WaiversRecord)
        for waiver in item.claim.waivers
        if waiver.expires >= evidence.now
    }
    return tuple(
        Reason(
            "waiver-expired",
            f"{link.stage} was admitted by the waiver {used.id}, which ended at {used.expires.isoformat()}",
            f"gate {gate.gate} of {link.stage}, record {used.record}",
            f"update what it was for; or have its owner give {used.id} again: samebits waive add",
        )
        for link in evidence.chain.links
        for gate in link.admission.gates
        for used in gate.waivers
        if used.expires < evidence.now and used.id not in live
    )
