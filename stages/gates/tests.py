"""Every test that the chain's steps or signed attestations report has passed, and there were tests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from registries.errors import ContentError, Reason, UsageError
from stages.attested import counted, covers
from stages.duration import Duration
from stages.evidence import Evidence, Report
from stages.gate import Outcome, Verdict
from stages.recorded import ANY_STEP, again, ahead, command, digests, place, refused, stage_of, too_old
from stages.report import TestResults
from stages.reports import TESTS

NAME: Final = "tests"
NAMED_CASES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PassingTests:
    """No test failed, and at least `min_tests` ran; tests that were skipped did not run.

    All test reports of the chain count, and attested test results about the image, or about each of its platforms. `by`
    limits them to those of these signers, `steps` to those of these steps, each of which must then have one. `max_age`
    is the greatest age of a report. `accept_warnings` lets tests pass that ended with a warning.
    """

    by: tuple[str, ...] = ()
    min_tests: int = 1
    max_age: Duration | None = None
    steps: tuple[str, ...] = ()
    accept_warnings: bool = False

    def __post_init__(self) -> None:
        if self.min_tests < 1:
            raise UsageError("definition-invalid", f"`min-tests` is {self.min_tests}; no test at all shows nothing")

    def judge(self, evidence: Evidence) -> Verdict:
        """Count over all reports; one that can't be read is a no."""
        seen = counted(evidence, TESTS, self.by)
        reports = [report for report in seen.reports if not self.steps or report.step in self.steps]
        faults = list(self._absent(evidence, reports, seen.but))
        read: dict[Report, TestResults] = {}
        for report in reports:
            try:
                read[report] = TESTS[report.format](report.content)
            except ContentError as error:
                faults.extend(refused(NAME, report, error))
        faults.extend(reason for report in read for reason in self._age(evidence, report))
        faults.extend(self._too_few(tuple(read.values())))
        failed = [reason for report, result in read.items() for reason in self._failed(evidence, report, result)]
        return Verdict(
            gate=NAME,
            outcome=Outcome.BLOCKED if failed else Outcome.NOT_CHECKED if faults else Outcome.PASSED,
            reasons=(*faults, *failed),
            counts=_sums(read.values()),
            evidence=digests(read),
        )

    def _absent(self, evidence: Evidence, reports: Sequence[Report], but: str) -> Iterator[Reason]:
        """What is missing: the report of a step that the gate names, any report at all, or one about a platform."""
        there = {report.step for report in reports}
        signed = f" signed by {' or '.join(self.by)}" if self.by else ""
        for step in self.steps or (() if reports else (ANY_STEP,)):
            if step not in there:
                who = "no step of the chain has a" if step == ANY_STEP else f"the step {step} has no"
                hint = command(evidence, stage_of(evidence, step), step, "junit")
                yield Reason("attestation-missing", f"{who} test report{signed}{but}", f"gate {NAME}", hint)
        tested = {platform for report in reports for platform in covers(report, evidence)}
        for platform in evidence.platforms if reports else ():
            if platform not in tested:
                what = f"no test result is about {platform.name} ({platform.manifest}){but}"
                yield Reason("attestation-missing", what, f"gate {NAME}", "attest one about the image as a whole")

    def _age(self, evidence: Evidence, report: Report) -> Iterator[Reason]:
        now, where = evidence.now, place(NAME, report)
        yield from ahead(report.finished_at, now=now, where=where)
        if self.max_age is not None:
            hint = again(evidence, report)
            yield from too_old("the test run", report.finished_at, self.max_age, now=now, where=where, hint=hint)

    def _too_few(self, results: Sequence[TestResults]) -> Iterator[Reason]:
        skipped = sum(result.skipped for result in results)
        ran = sum(result.tests for result in results) - skipped
        if results and ran < self.min_tests:
            message = f"{ran} tests ran, {skipped} were skipped; at least {self.min_tests} must run"
            yield Reason("evidence-empty", message, f"gate {NAME}")

    def _failed(self, evidence: Evidence, report: Report, result: TestResults) -> Iterator[Reason]:
        where, hint = place(NAME, report), f"fix them, then: {again(evidence, report)}"
        if result.failed:
            message = f"{len(result.failed)} of {result.tests} tests failed: {_named(result.failed)}"
            yield Reason("tests-failed", message, where, hint)
        if result.warned and not self.accept_warnings:
            message = f"{len(result.warned)} of {result.tests} tests ended with a warning: {_named(result.warned)}"
            yield Reason("tests-failed", message, where, hint)


def _named(cases: Sequence[str]) -> str:
    named = ", ".join(f"{name:.200}" for name in cases[:NAMED_CASES])
    return f"{named} and {len(cases) - NAMED_CASES} more" if len(cases) > NAMED_CASES else named


def _sums(results: Collection[TestResults]) -> tuple[tuple[str, int], ...]:
    return (
        ("tests", sum(result.tests for result in results)),
        ("failures", sum(result.failures for result in results)),
        ("errors", sum(result.errors for result in results)),
        ("skipped", sum(result.skipped for result in results)),
    )
