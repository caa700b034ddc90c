"""in-toto test results v0.1: the predicate, as an attestation brings it or as a file.

Source: in-toto attestation framework, spec/predicates/test-result.md. A verdict that its own lists deny says no.
"""

from __future__ import annotations

from typing import Final

from stages.report import TestResults, empty, malformed
from stages.reports.fields import Fields

_VERDICTS: Final = ("PASSED", "WARNED", "FAILED")


def read(content: bytes) -> TestResults:
    """Without one test by name it is `evidence-empty`, whatever the verdict, unless that is `FAILED`."""
    predicate = Fields.read(content)
    verdict = predicate.text("result")
    if verdict not in _VERDICTS:
        raise malformed(f"`result` is {verdict!r:.40}, and none of {', '.join(_VERDICTS)}")
    passed, warned, failed = (predicate.texts(name) for name in ("passedTests", "warnedTests", "failedTests"))
    if verdict == "FAILED" and not failed:
        failed = ("the run as a whole",)
    tests = len(passed) + len(warned) + len(failed)
    if not tests:
        raise empty("no test is named")
    if verdict == "WARNED" and not warned:
        warned = ("the run as a whole",)
    return TestResults(tests=tests, failures=len(failed), errors=0, skipped=0, failed=failed, warned=warned)
