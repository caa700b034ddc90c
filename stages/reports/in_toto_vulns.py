"""in-toto's vulnerability predicate, versions 0.1 and 0.2: what any scanner found, without the packages.

Source: in-toto attestation framework, spec/predicates/vuln.md and vulns_02.md.
"""

from __future__ import annotations

from typing import Any, Final

from stages.finding import Finding, Severity
from stages.report import Findings, empty, malformed
from stages.reports.fields import Fields
from stages.reports.wrapped import unwrapped
from stages.scores import severity_of, worst

TYPES: Final = (
    "https://in-toto.io/attestation/vulns",
    "https://in-toto.io/attestation/vulns/v0.1",
    "https://in-toto.io/attestation/vulns/v0.2",
)


def read(content: bytes) -> Findings:
    """Without a scanner or its result it is `evidence-empty`; an empty result is a good one."""
    predicate, about = unwrapped(Fields.read(content), TYPES)
    scanner, metadata = predicate.object("scanner"), predicate.object("metadata")
    if not scanner.value or scanner.value.get("result") is None:
        raise empty("the predicate does not say what a scanner found (`scanner.result`)")
    return Findings(
        tool=scanner.text("uri"),
        tool_version=scanner.optional_text("version"),
        findings=tuple(map(_finding, scanner.objects("result"))),
        data_date=scanner.object("db").time("lastUpdate"),
        scanned_at=metadata.time("scanFinishedOn"),
        about=about,
        targets=1,
    )


def _finding(found: Fields) -> Finding:
    ratings = found.objects("severity")
    return Finding(
        id=found.text("id"),
        severity=worst(map(_severity, ratings)),
        package="",
        version="",
    )


def _severity(rating: Fields) -> Severity:
    return severity_of(_score(rating.value.get("score"), rating.path), rating.optional_text("method"))


def _score(value: Any, path: str) -> str:
    """A number or text: both are written."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            raise malformed(f"`{path}.score` is no score")
        case int() | float():
            return str(value)
        case _:
            raise malformed(f"`{path}.score` is no score")
