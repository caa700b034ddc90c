"""Trivy's JSON report of a container image (`trivy image --format json`), schema version 2.

Findings that Trivy was told to leave out and still lists (`--show-suppressed`) count like the others: an ignore file or
an unsigned VEX document is no waiver. NOTE: what it was told to leave out and does not list can't be seen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from registries.errors import ContentError
from stages.finding import Finding, Fix, Severity
from stages.report import Findings, empty, malformed
from stages.reports.fields import Fields, digest_in, digests
from stages.scores import severity_of, worst

SCHEMA_VERSION: Final = 2
IMAGE: Final = "container_image"
VECTORS: Final = ("V40Vector", "V3Vector", "V2Vector")
# Source: trivy, pkg/types/status in trivy-db.
FIXES: Final = {
    "fixed": Fix.FIXED,
    "will_not_fix": Fix.WONT_FIX,
    "affected": Fix.NOT_FIXED,
    "fix_deferred": Fix.NOT_FIXED,
    "end_of_life": Fix.NOT_FIXED,
}
PACKAGES: Final = frozenset({"os-pkgs", "lang-pkgs", ""})  # the other classes are secrets, licences, configuration


def read(content: bytes) -> Findings:
    """A report about something else than an image is `subject-mismatch`, one without targets `evidence-empty`."""
    return findings(Fields.read(content))


def findings(report: Fields) -> Findings:
    """What a report says that stands by itself or within another document."""
    version = report.value.get("SchemaVersion")
    if version != SCHEMA_VERSION:
        raise malformed(f"`SchemaVersion` is {version!r:.40}, and no Trivy report of version {SCHEMA_VERSION}")
    if report.optional_text("ArtifactType") != IMAGE:
        raise ContentError(
            "subject-mismatch", f"a scan of {report.optional_text('ArtifactType')!r:.60}, not of an image"
        )
    targets = [result for result in report.objects("Results") if result.optional_text("Class") in PACKAGES]
    if not targets:
        raise empty("no packages were looked at: `Results` lists no target")
    metadata, tool = report.object("Metadata"), report.object("Trivy")
    return Findings(
        tool="trivy",
        tool_version=tool.optional_text("Version"),
        findings=tuple(finding for target in targets for finding in _findings(target)),
        data_date=tool.object("VulnerabilityDB").time("UpdatedAt"),
        scanned_at=report.time("CreatedAt"),
        about=digests(
            metadata.optional_text("ImageID"),
            *map(digest_in, metadata.texts("RepoDigests")),
            digest_in(report.optional_text("ArtifactName")),
        ),
        targets=len(targets),
    )


def _findings(target: Fields) -> Iterator[Finding]:
    for found in target.objects("Vulnerabilities"):
        yield _finding(found)
    for modified in target.objects("ExperimentalModifiedFindings"):
        if modified.optional_text("Type") in ("vulnerability", ""):
            yield _finding(modified.object("Finding"))


def _finding(found: Fields) -> Finding:
    fixed_in = found.optional_text("FixedVersion")
    return Finding(
        id=found.text("VulnerabilityID"),
        severity=_severity(found),
        package=found.text("PkgName"),
        version=found.optional_text("InstalledVersion"),
        fixed_in=fixed_in,
        title=found.optional_text("Title"),
        fix=Fix.FIXED if fixed_in else FIXES.get(found.optional_text("Status"), Fix.UNKNOWN),
        purl=found.object("PkgIdentifier").optional_text("PURL"),
    )


def _severity(found: Fields) -> Severity:
    """Trivy's own word; where it has none, the worst of the scores that it lists."""
    told = Severity.told(found.optional_text("Severity"))
    if told is not Severity.UNKNOWN:
        return told
    sources = [found.object("CVSS").object(name) for name in found.object("CVSS").value]
    return worst(severity_of(source.optional_text(member)) for source in sources for member in VECTORS)
