"""The reports that can be read, by the name of their format: exact bytes in, what they say out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stages.report import Analyses, Components, Findings, MalwareScan, Read, TestResults
from stages.reports import clamav, cyclonedx, grype, junit, sarif, slsa, spdx, test_result, trivy

ANALYSES: Final[Mapping[str, Callable[[bytes], Analyses]]] = {
    "sarif": sarif.read,
}

COMPONENTS: Final[Mapping[str, Callable[[bytes], Components]]] = {
    "cyclonedx": cyclonedx.read,
    "spdx": spdx.read,
}

FINDINGS: Final[Mapping[str, Callable[[bytes], Findings]]] = {
    "grype": grype.read,
    "trivy": trivy.read,
}

MALWARE: Final[Mapping[str, Callable[[bytes], MalwareScan]]] = {
    "clamav": clamav.read,
}

TESTS: Final[Mapping[str, Callable[[bytes], TestResults]]] = {
    "junit": junit.read,
    "test-result": test_result.read,
}

REPORTS: Final[Mapping[str, Callable[[bytes], Read]]] = {
    **ANALYSES,
    **COMPONENTS,
    **FINDINGS,
    **MALWARE,
    **TESTS,
    "slsa": slsa.read,
}
