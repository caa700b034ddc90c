"""The reports that can be read, by the name of their format: exact bytes in, what they say out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stages.report import Analyses, Components, Findings, MalwareScan, Read, TestResults
from stages.reports import (
    clamav,
    cosign_vuln,
    cyclonedx,
    grype,
    in_toto_vulns,
    junit,
    openvex,
    osv,
    sarif,
    slsa,
    spdx,
    test_result,
    trivy,
)
from stages.vex import VexDocument

ANALYSES: Final[Mapping[str, Callable[[bytes], Analyses]]] = {
    "sarif": sarif.read,
}

COMPONENTS: Final[Mapping[str, Callable[[bytes], Components]]] = {
    "cyclonedx": cyclonedx.read,
    "spdx": spdx.read,
}

FINDINGS: Final[Mapping[str, Callable[[bytes], Findings]]] = {
    "cosign-vuln": cosign_vuln.read,
    "grype": grype.read,
    "in-toto-vulns": in_toto_vulns.read,
    "osv": osv.read,
    "trivy": trivy.read,
}

MALWARE: Final[Mapping[str, Callable[[bytes], MalwareScan]]] = {
    "clamav": clamav.read,
}

TESTS: Final[Mapping[str, Callable[[bytes], TestResults]]] = {
    "junit": junit.read,
    "test-result": test_result.read,
}

VEX: Final[Mapping[str, Callable[[bytes], VexDocument]]] = {
    "openvex": openvex.read,
}

REPORTS: Final[Mapping[str, Callable[[bytes], Read]]] = {
    **ANALYSES,
    **COMPONENTS,
    **FINDINGS,
    **MALWARE,
    **TESTS,
    **VEX,
    "slsa": slsa.read,
}

NAMES_LAYERS: Final = frozenset({"osv"})
"""Those that name the layers of an image and not the image: whoever reads them needs its configuration."""
