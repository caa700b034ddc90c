"""What static analysis of any kind found, as a gate judges it: which runs count, and which alerts are too bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, Protocol

from registries.errors import ContentError, Reason, UsageError
from stages import provenance
from stages.attested import counted, covers
from stages.duration import Duration
from stages.evidence import UNDATED, Evidence, Report
from stages.finding import Severity
from stages.gate import Outcome, Verdict
from stages.recorded import ANY_STEP, again, ahead, command, date_of, digests, place, refused, stage_of, too_old
from stages.report import Alert, Analysis, by_severity
from stages.reports import ANALYSES
from stages.waiver import Waivable, Waivers

NAMED: Final = 50
"""How many alerts are told one by one."""


class On(StrEnum):
    """What was looked at: the source commit that provenance names, or the image."""

    SOURCE = "source"
    IMAGE = "image"


class Options(Protocol):
    """What a gate over alerts can be told; see `stages.gates.sast`."""

    @property
    def max(self) -> Literal["none"] | int: ...
    @property
    def at_or_above(self) -> Severity: ...
    @property
    def on(self) -> On: ...
    @property
    def by(self) -> tuple[str, ...]: ...
    @property
    def provenance_by(self) -> tuple[str, ...]: ...
    @property
    def tools(self) -> tuple[str, ...]: ...
    @property
    def steps(self) -> tuple[str, ...]: ...
    @property
    def max_age(self) -> Duration | None: ...
    @property
    def accept_suppressions(self) -> bool: ...
    @property
    def waivers_by(self) -> tuple[str, ...]: ...


def check(options: Options) -> None:
    """Refuse options that would let everything in, or that nothing could meet."""
    if options.at_or_above is Severity.UNKNOWN:
        message = "`at-or-above: unknown` would let critical alerts in: unknown counts as worse than critical"
        raise UsageError("definition-invalid", message)
    if options.max != "none" and options.max < 1:
        raise UsageError("definition-invalid", f"`max` is {options.max}; write `none`, or a number from 1")
    if options.provenance_by and options.on is On.IMAGE:
        raise UsageError("definition-invalid", "`provenance-by` says whose word counts on the source: `on: source`")


def judge(gate: str, options: Options, evidence: Evidence) -> Verdict:
    """Judge the alerts of all runs together; a report that can't be read, or is about something else, is a no."""
    targets = _commits(gate, options, evidence) if options.on is On.SOURCE else _platforms(gate, evidence)
    runs, faults = _runs(gate, options, evidence, targets)
    faults = (*targets.faults, *faults)
    newest = {about: _newest(runs, about) for about in targets.abouts}
    counting = tuple(dict.fromkeys(run for found in newest.values() for run in found))
    faults = (*faults, *_missing(gate, options, evidence, newest), *_stale(gate, options.max_age, counting, evidence))
    alerts = {alert for run in counting for alert in run.analysis.alerts}
    bad = _too_bad(alerts, options)
    waivers = Waivers.of(gate, evidence, options.waivers_by)
    answers = [(alert, waivers.cover(_waivable(alert, evidence))) for alert in bad]
    used = tuple(dict.fromkeys(waived.used for _, waived in answers if waived.used is not None))
    standing = [(alert, waived.faults) for alert, waived in answers if waived.used is None]
    over = _told(gate, standing, 0 if options.max == "none" else options.max)
    return Verdict(
        gate=gate,
        outcome=Outcome.BLOCKED if over else Outcome.NOT_CHECKED if faults else Outcome.PASSED,
        reasons=(*faults, *over),
        counts=by_severity(alerts),
        evidence=digests([*(run.report for run in counting), *targets.reports]),
        newest_data=max((run.date for run in counting if run.date != UNDATED), default=None),
        waivers=used,
        warnings=waivers.ending(used),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    """What must have been looked at, in words; which of it a run is about, or `subject-mismatch`; what shows that."""

    abouts: tuple[str, ...]
    of: Callable[[Report, Analysis], tuple[str, ...]]
    faults: tuple[Reason, ...]
    reports: tuple[Report, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of a tool, the report that it is in, and what it is about."""

    report: Report
    analysis: Analysis
    about: tuple[str, ...]

    @property
    def date(self) -> datetime:
        """When the tool ended; of two dates the older one."""
        return date_of(self.report, self.analysis.ended_at)

    @property
    def together(self) -> str:
        """Runs of one tool stand side by side where they were recorded in one stage, or are in one statement."""
        return str(self.report.record) if self.report.is_attested else self.report.stage


def _commits(gate: str, options: Options, evidence: Evidence) -> _Targets:
    """Every commit that counted provenance names."""
    builds = provenance.builds(gate, evidence, options.provenance_by)
    commits = {(source.repository, source.commit) for source in builds.sources if source.commit}

    def of(report: Report, analysis: Analysis) -> tuple[str, ...]:
        named = {(source.repository, source.commit) for source in analysis.sources}
        found = [it for it in commits if (report.commit == it[1] if report.commit else it in named)]
        if not found:
            said = report.commit or ", ".join(map(str, analysis.sources)) or "no commit (`versionControlProvenance`)"
            message = f"{analysis.tool} names {said}, and no commit that the image was built from"
            raise ContentError("subject-mismatch", message, hint="name the `steps` or `tools` that count in the gate")
        return tuple(f"{repository} at {commit}" for repository, commit in found)

    return _Targets(
        abouts=tuple(sorted(f"{repository} at {commit}" for repository, commit in commits)),
        of=of,
        faults=(*builds.faults, *provenance.unknown(gate, evidence, builds)),
        reports=tuple(build.report for build in builds.found),
    )


def _platforms(gate: str, evidence: Evidence) -> _Targets:
    """Every platform of the image."""

    def of(report: Report, analysis: Analysis) -> tuple[str, ...]:
        covered = covers(report, evidence)
        if analysis.about and evidence.subject not in analysis.about:
            covered = tuple(it for it in covered if {it.manifest, it.config} & {*analysis.about})
            if not covered:
                about = ", ".join(map(str, analysis.about))
                raise ContentError("subject-mismatch", f"{analysis.tool} names {about}, and no platform of the image")
        return tuple(f"{platform.name} ({platform.manifest})" for platform in covered)

    none = Reason("attestation-missing", "the image has no platform that could be looked at", f"gate {gate}")
    return _Targets(
        abouts=tuple(f"{platform.name} ({platform.manifest})" for platform in evidence.platforms),
        of=of,
        faults=() if evidence.platforms else (none,),
    )


def _runs(
    gate: str, options: Options, evidence: Evidence, targets: _Targets
) -> tuple[tuple[_Run, ...], tuple[Reason, ...]]:
    """The runs that count, and why others do not."""
    runs: list[_Run] = []
    faults: list[Reason] = []
    for report in counted(evidence, ANALYSES, options.by).reports:
        if options.steps and report.step not in options.steps:
            continue
        try:
            found = [
                _Run(report=report, analysis=analysis, about=targets.of(report, analysis))
                for analysis in ANALYSES[report.format](report.content).runs
                if not options.tools or analysis.tool in options.tools
            ]
        except ContentError as error:
            faults.extend(refused(gate, report, error))
            continue
        late = dict.fromkeys(reason for run in found for reason in _ahead(gate, run, evidence.now))
        faults.extend(late)
        runs.extend(() if late else found)
    return tuple(runs), tuple(faults)


def _newest(runs: Sequence[_Run], about: str) -> tuple[_Run, ...]:
    """Of each tool the newest run about this, with all that stand beside it: each may have looked at a part only."""
    found: list[_Run] = []
    for tool in sorted({run.analysis.tool for run in runs}):
        of_tool = [run for run in runs if run.analysis.tool == tool and about in run.about]
        latest = max((run.date for run in of_tool), default=None)
        beside = {run.together for run in of_tool if run.date == latest}
        found.extend(run for run in of_tool if run.together in beside)
    return tuple(found)


def _missing(gate: str, options: Options, evidence: Evidence, newest: dict[str, tuple[_Run, ...]]) -> Iterator[Reason]:
    """What no run is about; of which tool, where tools are named; and which step has none, where steps are named."""
    where, but = f"gate {gate}", counted(evidence, ANALYSES, options.by).but
    for about, runs in newest.items():
        there = {run.analysis.tool for run in runs}
        for tool in options.tools or ("",):
            if not (tool in there if tool else there):
                what = f"no SARIF report{f' of {tool}' if tool else ''} about {about} counts{but}"
                step = options.steps[0] if options.steps else ANY_STEP
                hint = command(evidence, stage_of(evidence, step), step, "sarif")
                yield Reason("attestation-missing", what, where, hint)
    reported = {run.report.step for runs in newest.values() for run in runs}
    for step in options.steps:
        if step not in reported and newest:
            hint = command(evidence, stage_of(evidence, step), step, "sarif")
            yield Reason("attestation-missing", f"the step {step} has no SARIF report that counts{but}", where, hint)


def _stale(gate: str, limit: Duration | None, runs: Sequence[_Run], evidence: Evidence) -> Iterator[Reason]:
    """Which of them are older than the gate allows."""
    for run in runs if limit else ():
        where, hint = place(gate, run.report), f"run {run.analysis.tool} again, then: {again(evidence, run.report)}"
        if limit is not None:
            what = f"the run of {run.analysis.tool}"
            yield from too_old(what, run.date, limit, now=evidence.now, where=where, hint=hint)


def _too_bad(alerts: set[Alert], options: Options) -> tuple[Alert, ...]:
    """The alerts at or above the severity, the worst first; suppressed ones only count less where that is allowed."""
    bad = (
        alert
        for alert in alerts
        if alert.severity.rank >= options.at_or_above.rank and not (alert.suppressed and options.accept_suppressions)
    )
    return tuple(sorted(bad, key=lambda it: (-it.severity.rank, it.rule, it.place, it.message, it.suppressed)))


def _waivable(alert: Alert, evidence: Evidence) -> Waivable:
    """As a waiver names it: the rule, and as package the file that it is in."""
    manifests = tuple(platform.manifest for platform in evidence.platforms)
    return Waivable(names=(alert.rule,), severity=alert.severity, manifests=manifests, package=alert.file)


def _told(gate: str, alerts: Sequence[tuple[Alert, tuple[Reason, ...]]], most: int) -> tuple[Reason, ...]:
    """A reason for each alert, and why no waiver covers it, when there are more than `most`; after 50 only a count."""
    if len(alerts) <= most:
        return ()
    where = f"gate {gate}"
    over = f"; {len(alerts)} are more than {most}" if most else ""
    reasons: list[Reason] = []
    for alert, whys in alerts[:NAMED]:
        reasons += [Reason("alert-found", f"{alert}{_suppressed(alert)}{over}", where), *whys]
    if len(alerts) > NAMED:
        reasons.append(Reason("alert-found", f"and {len(alerts) - NAMED} more", where))
    return tuple(reasons)


def _suppressed(alert: Alert) -> str:
    return " (suppressed in the tool, which does not count here)" if alert.suppressed else ""


def _ahead(gate: str, run: _Run, now: datetime) -> Iterator[Reason]:
    for date in (run.report.finished_at, run.analysis.ended_at):
        if date is not None:
            yield from ahead(date, now=now, where=place(gate, run.report))
