"""What a report says once it is read: findings of a scanner, or results of a test run.

Every reader refuses in the same words: `evidence-malformed`, `evidence-empty`, `subject-mismatch`, `size-limit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import REPORT_BYTES
from stages.finding import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a scanner found in one image; none is a good result, as long as something was looked at.

    `about` are the digests by which the report itself names the image, `data_date` is when the scanner's database was
    made, `scanned_at` when the scan ran, `targets` how many things (system packages, lock files) it looked at.
    """

    tool: str
    tool_version: str
    findings: tuple[Finding, ...]
    data_date: datetime | None
    scanned_at: datetime | None
    about: tuple[Digest, ...]
    targets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResults:
    """How a test run ended: numbers of cases, and the names of those that failed or ended in an error."""

    __test__: ClassVar[bool] = False  # pytest would take it for a test

    tests: int
    failures: int
    errors: int
    skipped: int
    failed: tuple[str, ...]


def by_severity(findings: Iterable[Finding]) -> tuple[tuple[str, int], ...]:
    """How many findings there are of each severity, the worst first."""
    numbers = dict.fromkeys(Severity, 0)
    for finding in findings:
        numbers[finding.severity] += 1
    return tuple((str(severity), number) for severity, number in numbers.items())


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
