"""The reports that can be read, by the name of their format: exact bytes in, findings or test results out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stages.report import Findings, TestResults
from stages.reports import grype, junit, trivy

FINDINGS: Final[Mapping[str, Callable[[bytes], Findings]]] = {
    "grype": grype.read,
    "trivy": trivy.read,
}

TESTS: Final[Mapping[str, Callable[[bytes], TestResults]]] = {
    "junit": junit.read,
}

REPORTS: Final[Mapping[str, Callable[[bytes], Findings | TestResults]]] = {**FINDINGS, **TESTS}
