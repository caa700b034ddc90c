"""cosign's vulnerability predicate: the report of a scanner, whole, with when it ran (`trivy --format cosign-vuln`).

Source: cosign, specs/COSIGN_VULN_ATTESTATION_SPEC.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from stages.report import Findings, empty, malformed
from stages.reports import grype, osv, trivy
from stages.reports.fields import Fields
from stages.reports.wrapped import unwrapped

TYPES: Final = ("https://cosign.sigstore.dev/attestation/vuln/v1",)
SCANNERS: Final[Mapping[str, Callable[[Fields], Findings]]] = {
    "SchemaVersion": trivy.findings,
    "matches": grype.findings,
    "results": osv.findings,
}
"""The reports that are read within it, by a member that only they have."""


def read(content: bytes) -> Findings:
    """Without a result it is `evidence-empty`; that of a scanner that is not read here `evidence-malformed`."""
    predicate, about = unwrapped(Fields.read(content), TYPES)
    scanner, metadata = predicate.object("scanner"), predicate.object("metadata")
    result = scanner.object("result")
    if not result.value:
        raise empty("the predicate does not say what a scanner found (`scanner.result`)")
    reader = next((read for member, read in SCANNERS.items() if member in result.value), None)
    if reader is None:
        raise malformed("`scanner.result` is no report of Trivy, Grype or OSV-Scanner")
    found = reader(result)
    dates = [date for date in (found.scanned_at, metadata.time("scanFinishedOn")) if date is not None]
    return replace(
        found,
        tool_version=found.tool_version or scanner.optional_text("version"),
        scanned_at=min(dates, default=None),
        data_date=found.data_date or scanner.object("db").time("lastUpdate"),
        about=tuple(dict.fromkeys((*about, *found.about))),
    )
