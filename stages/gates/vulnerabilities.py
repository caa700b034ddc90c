"""No vulnerability that is too bad, by recent scans of every platform of exactly this image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from registries.errors import ContentError, Reason, UsageError
from stages.attested import Counted, covers
from stages.attested import counted as counted_reports
from stages.duration import Duration
from stages.evidence import Evidence, Platform, Report
from stages.finding import Finding, Fix, Severity
from stages.gate import Outcome, Verdict
from stages.image_layers import diff_ids
from stages.recorded import ANY_STEP, again, ahead, command, date_of, digests, place, refused, stage_of, too_old
from stages.report import Findings, by_severity
from stages.reports import FINDINGS, VEX
from stages.vex import Statements, Subject, untrusted
from stages.waiver import Waivable, Waivers

NAME: Final = "vulnerabilities"
NOBODY: Final = "(nobody)"
"""No signer has such a name: without `vex-by` every document is somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerabilities:
    """No finding at or above a severity; of each tool the newest scan of each platform counts, of all tools together.

    `max_age` is the greatest age of a scan, `max_data_age` that of the scanner's database, which the report must then
    state. `by` limits the reports to those of these signers; otherwise the role of the step is enough. Waivers that
    `waivers_by` sign let findings without a fix stand for a while (`stages.waiver`). What signers in `vex_by` say about
    this image in OpenVEX takes findings away (`stages.vex`); without that option nobody's word does.
    """

    none_at_or_above: Severity
    max_age: Duration
    by: tuple[str, ...] = ()
    max_data_age: Duration | None = None
    waivers_by: tuple[str, ...] = ()
    vex_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.none_at_or_above is Severity.UNKNOWN:
            message = (
                "`none-at-or-above: unknown` would let critical findings in: unknown counts as worse than critical"
            )
            raise UsageError("definition-invalid", message)

    def judge(self, evidence: Evidence) -> Verdict:
        """Judge all findings together; a report that can't be read, or is about another image, is a no."""
        scans, faults = self._scans(evidence)
        newest = {platform.manifest: _newest(scans, platform) for platform in evidence.platforms}
        counted = tuple(dict.fromkeys(scan for found in newest.values() for scan in found))
        faults.extend(self._uncovered(evidence, [p for p in evidence.platforms if not newest[p.manifest]]))
        faults.extend(reason for scan in counted for reason in self._age(evidence, scan))
        vulnerabilities = _merged(counted)
        blocking = [found for found in vulnerabilities if found.finding.severity.rank >= self.none_at_or_above.rank]
        said = self._said(evidence)
        settled = [(found, said.about(found.subject())) for found in blocking]
        waivers = Waivers.of(NAME, evidence, self.waivers_by)
        answers = [(found, vex, waivers.cover(found.waivable())) for found, vex in settled if not vex.records]
        standing = [(found, (*vex.aside, *waived.faults)) for found, vex, waived in answers if waived.used is None]
        used = tuple(dict.fromkeys(waived.used for _, _, waived in answers if waived.used is not None))
        return Verdict(
            gate=NAME,
            outcome=Outcome.BLOCKED if standing else Outcome.NOT_CHECKED if faults else Outcome.PASSED,
            reasons=(*faults, *(reason for found, whys in standing for reason in (found.reason(), *whys))),
            counts=by_severity(found.finding for found in vulnerabilities),
            evidence=(
                *digests(scan.report for scan in counted),
                *dict.fromkeys(record for _, vex in settled for record in vex.records),
            ),
            newest_data=max((s.findings.data_date for s in counted if s.findings.data_date), default=None),
            waivers=used,
            warnings=(*waivers.ending(used), *said.warnings),
        )

    def _said(self, evidence: Evidence) -> Statements:
        """The OpenVEX documents that count; one that does not, or can't be read, is told and takes nothing away."""
        seen = counted_reports(evidence, VEX, self.vex_by or (NOBODY,))
        said = Statements(evidence)
        said.warnings += (untrusted(f"{it.message} ({it.code})", f"gate {NAME}, {it.where}") for it in seen.aside)
        for report in seen.reports:
            try:
                said.add(VEX[report.format](report.content), report, covers(report, evidence), place(NAME, report))
            except ContentError as error:
                said.warnings += (untrusted(f"{it.message} ({it.code})", place(NAME, report)) for it in error.reasons)
        return said

    def _scans(self, evidence: Evidence) -> tuple[list[_Scan], list[Reason]]:
        """The scans that count as evidence about this image, and why others do not."""
        scans: list[_Scan] = []
        faults: list[Reason] = []
        for report in self._reports(evidence).reports:
            try:
                scan = _scan(report, evidence)
            except ContentError as error:
                faults.extend(refused(NAME, report, error))
                continue
            late = list(_ahead(scan, evidence.now))
            faults.extend(late)
            if not late:
                scans.append(scan)
        return scans, faults

    def _reports(self, evidence: Evidence) -> Counted:
        return counted_reports(evidence, FINDINGS, self.by)

    def _uncovered(self, evidence: Evidence, platforms: Sequence[Platform]) -> Iterator[Reason]:
        """What no scan is about."""
        reports = self._reports(evidence)
        aside = reports.but
        hint = next(
            (again(evidence, report) for report in reports.reports),
            command(evidence, stage_of(evidence, ANY_STEP), ANY_STEP, "trivy"),
        )
        where = f"gate {NAME}"
        for platform in platforms:
            what = f"no scan of {platform.name} ({platform.manifest}) is recorded{aside}"
            yield Reason("attestation-missing", what, where, f"scan it; one --report for each platform: {hint}")
        if not evidence.platforms:
            yield Reason("attestation-missing", "the image has no platform that could be scanned", where)

    def _age(self, evidence: Evidence, scan: _Scan) -> Iterator[Reason]:
        now, where = evidence.now, place(NAME, scan.report)
        hint = f"scan again, then: {again(evidence, scan.report)}"
        yield from too_old("the scan", scan.date, self.max_age, now=now, where=where, hint=hint)
        if self.max_data_age is None:
            return
        if scan.findings.data_date is None:
            message = f"the report does not say how old the database of {scan.findings.tool} was"
            yield Reason("evidence-too-old", message, where, "record a report that does, such as Grype's")
        else:
            date = scan.findings.data_date
            yield from too_old("the database", date, self.max_data_age, now=now, where=where, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    """A report that was read, and the platforms that it is about. The older one of two dates counts."""

    report: Report
    findings: Findings
    platforms: tuple[Platform, ...]

    @property
    def together(self) -> str:
        """Scans by one tool stand side by side where they were recorded in one stage; an attestation stands alone."""
        return str(self.report.record) if self.report.is_attested else self.report.stage

    @property
    def date(self) -> datetime:
        return date_of(self.report, self.findings.scanned_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vulnerability:
    """What several reports say about one vulnerability of one package version."""

    finding: Finding
    platforms: tuple[Platform, ...]
    names: tuple[str, ...]
    purls: tuple[str, ...]

    def subject(self) -> Subject:
        finding = self.finding
        return Subject(
            names=self.names,
            ids=(finding.id, *finding.aliases),
            package=finding.package,
            version=finding.version,
            purls=self.purls,
            platforms=self.platforms,
        )

    def waivable(self) -> Waivable:
        finding = self.finding
        return Waivable(
            names=self.names,
            severity=finding.severity,
            manifests=tuple(platform.manifest for platform in self.platforms),
            package=finding.package,
            version=finding.version,
            has_fix=finding.has_fix,
        )

    def reason(self) -> Reason:
        finding = self.finding
        also = f" (also {', '.join(finding.aliases)})" if finding.aliases else ""
        fix = f"update {finding.package} to {finding.fixed_in}, and build again" if finding.fixed_in else ""
        message = f"{finding}{also}, on {', '.join(sorted(platform.name for platform in self.platforms))}"
        return Reason("vulnerability-found", message, f"gate {NAME}", fix)


def _scan(report: Report, evidence: Evidence) -> _Scan:
    """Read a report; `subject-mismatch` unless it names one platform of the image, and only one.

    The digest of an index does not say which of its platforms was scanned.
    """
    findings = FINDINGS[report.format](report.content)
    covered = covers(report, evidence)
    whole = covered if evidence.subject in findings.about or (report.is_attested and not findings.about) else ()
    named = [p for p in covered if {p.manifest, p.config} & {*findings.about}] or whole
    if findings.layers and not findings.about:
        named = [p for p in covered if diff_ids(evidence.configs.get(p.config)) == findings.layers]
    if not named:
        about = ", ".join(map(str, findings.about)) or "no digest"
        raise ContentError("subject-mismatch", f"the report names {about}, and no platform of {evidence.subject}")
    if len({platform.config for platform in named}) > 1:
        names = ", ".join(platform.name for platform in named)
        raise ContentError("subject-mismatch", f"the report names several platforms ({names}); a scan is of one")
    return _Scan(report=report, findings=findings, platforms=tuple(named))


def _ahead(scan: _Scan, now: datetime) -> Iterator[Reason]:
    for date in (scan.report.finished_at, scan.findings.scanned_at, scan.findings.data_date):
        if date is not None:
            yield from ahead(date, now=now, where=place(NAME, scan.report))


def _newest(scans: Sequence[_Scan], platform: Platform) -> tuple[_Scan, ...]:
    """Of each tool the newest scan of a platform, with all others from the same stage: each may be of one part only."""
    found: list[_Scan] = []
    for tool in sorted({scan.findings.tool for scan in scans}):
        of_tool = [scan for scan in scans if scan.findings.tool == tool and platform in scan.platforms]
        latest = max((scan.date for scan in of_tool), default=None)
        together = {scan.together for scan in of_tool if scan.date == latest}
        found.extend(scan for scan in of_tool if scan.together in together)
    return tuple(found)


def _merged(scans: Iterable[_Scan]) -> list[_Vulnerability]:
    """All findings, each once: what has the same package, version and a name in common is one, as bad as the worst."""
    seen: dict[Finding, set[Platform]] = {}
    for scan in scans:
        for finding in scan.findings.findings:
            seen.setdefault(finding, set()).update(scan.platforms)
    groups = _Groups()
    for finding in seen:
        groups.join([(finding.package, finding.version, name) for name in finding.names])
    together: dict[_Key, list[Finding]] = {}
    for finding in seen:
        together.setdefault(groups.of((finding.package, finding.version, finding.id)), []).append(finding)
    merged = (
        _Vulnerability(
            finding=_one(findings),
            platforms=_sorted(platform for f in findings for platform in seen[f]),
            names=tuple(sorted({name for f in findings for name in f.names})),
            purls=tuple(sorted({f.purl for f in findings if f.purl})),
        )
        for findings in together.values()
    )
    return sorted(merged, key=lambda v: (-v.finding.severity.rank, v.finding.id, v.finding.package, v.finding.version))


def _sorted(platforms: Iterable[Platform]) -> tuple[Platform, ...]:
    return tuple(sorted(set(platforms), key=lambda platform: (platform.name, platform.manifest)))


def _one(findings: Sequence[Finding]) -> Finding:
    """One finding for several of the same vulnerability, named by its CVE where it has one."""
    names = {name for finding in findings for name in (finding.id, *finding.aliases)}
    chosen = min((name for f in findings for name in f.names), key=lambda name: (not name.startswith("CVE-"), name))
    fixes = {finding.fixed_in for finding in findings if finding.fixed_in}
    return Finding(
        id=chosen,
        severity=max((finding.severity for finding in findings), key=lambda severity: severity.rank),
        package=findings[0].package,
        version=findings[0].version,
        aliases=tuple(sorted(names - {chosen})),
        fixed_in=" or ".join(sorted(fixes)),
        fix=Fix.FIXED if any(finding.has_fix for finding in findings) else findings[0].fix,
    )


_Key = tuple[str, str, str]


class _Groups:
    """Which keys belong together, in near-constant time each (disjoint sets)."""

    def __init__(self) -> None:
        self._parents: dict[_Key, _Key] = {}

    def of(self, key: _Key) -> _Key:
        """The key that stands for the group."""
        self._parents.setdefault(key, key)
        while (parent := self._parents[key]) != key:
            self._parents[key] = self._parents[parent]
            key = parent
        return key

    def join(self, keys: Sequence[_Key]) -> None:
        """Make one group of all these."""
        first = self.of(keys[0])
        for key in keys[1:]:
            self._parents[self.of(key)] = first
