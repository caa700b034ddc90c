"""What a report says once it is read: findings of a scanner, results of a test run, components, alerts about code.

Every reader refuses in the same words: `evidence-malformed`, `evidence-empty`, `subject-mismatch`, `size-limit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import REPORT_BYTES
from stages.finding import Finding, Severity
from stages.source import Source


class Read(Protocol):
    """What any report says: whatever else it is, it can be counted."""

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """What a step record notes of it; a test run with `failed` above 0 makes a failed step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a scanner found in one image; none is a good result, as long as something was looked at.

    `about` are the digests by which the report itself names the image, `data_date` is when the scanner's database was
    made, `scanned_at` when the scan ran, `targets` how many things (system packages, lock files) it looked at.
    `layers` are the image's layers, uncompressed, where the report names those instead of a digest of the image.
    """

    tool: str
    tool_version: str
    findings: tuple[Finding, ...]
    data_date: datetime | None
    scanned_at: datetime | None
    about: tuple[Digest, ...]
    targets: int
    layers: tuple[Digest, ...] = ()

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """The number of each severity that occurs."""
        return _those_there(by_severity(self.findings))


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResults:
    """How a test run ended: numbers of cases, and the names of those that failed or ended in an error."""

    __test__: ClassVar[bool] = False  # pytest would take it for a test

    tests: int
    failures: int
    errors: int
    skipped: int
    failed: tuple[str, ...]
    warned: tuple[str, ...] = ()

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many there are, have failed, and did not run."""
        return (("tests", self.tests), ("failed", len(self.failed)), ("skipped", self.skipped))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a tool found in source code, configuration or an image: its rule, how bad, where, and in which words.

    `file` is the place without its line. `suppressed`: the tool was told to leave it aside, nobody knows by whom.
    """

    rule: str
    severity: Severity
    place: str
    message: str
    suppressed: bool = False
    file: str = ""

    def __str__(self) -> str:
        return f"{self.severity} {self.rule} at {self.place or 'no place'}: {self.message:.200}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One run of one tool. None found is a good result, as long as the tool says that it ran.

    `sources` are the commits that the run says it looked at, `about` the digests by which it names an image.
    """

    tool: str
    tool_version: str
    alerts: tuple[Alert, ...]
    sources: tuple[Source, ...]
    about: tuple[Digest, ...]
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyses:
    """All runs of one report."""

    runs: tuple[Analysis, ...]

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """The number of each severity that occurs, suppressed or not."""
        return _those_there(by_severity(alert for run in self.runs for alert in run.alerts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What a bill of materials lists: how many packages, of what (`about`), and when it was made.

    Files, data and operating systems are no packages: a bill of the source tree has them too.
    """

    number: int
    about: tuple[Digest, ...]
    made_at: datetime | None

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many packages."""
        return (("components", self.number),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Infection:
    """A file in which a signature of malware was found."""

    signature: str
    path: str
    layer: Digest

    def __str__(self) -> str:
        return f"{self.signature} in {self.path} of layer {self.layer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MalwareScan:
    """A scan of all files of some platforms (`about`, by manifest) for malware; `unscanned` could not be looked at."""

    tool: str
    tool_version: str
    data_date: datetime | None
    scanned_at: datetime | None
    about: tuple[Digest, ...]
    files: int
    found: tuple[Infection, ...]
    unscanned: tuple[str, ...]

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many files, what was found, and what was not scanned."""
        return (("files", self.files), ("found", len(self.found)), ("unscanned", len(self.unscanned)))


def by_severity(findings: Iterable[Finding | Alert]) -> tuple[tuple[str, int], ...]:
    """How many findings there are of each severity, the worst first."""
    numbers = dict.fromkeys(Severity, 0)
    for finding in findings:
        numbers[finding.severity] += 1
    return tuple((str(severity), number) for severity, number in numbers.items())


def _those_there(numbers: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple((name, number) for name, number in numbers if number)


def presented(content: bytes) -> bytes:
    """The report's bytes, if there are any and not too many."""
    if len(content) > REPORT_BYTES:
        raise ContentError("size-limit", f"a report of {len(content)} bytes; the limit is {REPORT_BYTES}")
    if not content.strip():
        raise empty("the report is an empty file")
    return content


def malformed(message: str) -> ContentError:
    """The refusal for a report that is not what its format says."""
    return ContentError("evidence-malformed", message)


def empty(message: str) -> ContentError:
    """The refusal for a report that shows nothing: the tool crashed, or looked at nothing."""
    return ContentError("evidence-empty", message, hint="see whether the tool ran to its end, and on the image")
