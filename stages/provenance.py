"""The provenance of an image that a gate may count: attested by a builder, or recorded and so signed by a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from registries.errors import ContentError, Reason
from stages.attested import counted, covers
from stages.evidence import Evidence, Platform, Report
from stages.recorded import place, refused
from stages.reports import slsa
from stages.source import Provenance, Source

FORMATS: Final = ("slsa",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One provenance that was read, who signed it, and the platforms that it is about."""

    report: Report
    provenance: Provenance
    platforms: tuple[Platform, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds:
    """All that count, why others could not be read, and words about what is there and does not count."""

    found: tuple[Build, ...]
    faults: tuple[Reason, ...]
    but: str

    def of(self, platform: Platform) -> tuple[Build, ...]:
        """Those about this platform."""
        return tuple(build for build in self.found if platform in build.platforms)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every source that one of them names."""
        return tuple(dict.fromkeys(source for build in self.found for source in build.provenance.sources))


def builds(gate: str, evidence: Evidence, by: Sequence[str]) -> Builds:
    """Every provenance of the image by these signers; see `stages.attested.counted` for whom nobody names.

    One that names another image is `subject-mismatch`, one that was signed as another version `evidence-malformed`.
    """
    seen = counted(evidence, FORMATS, by)
    found: list[Build] = []
    faults: list[Reason] = []
    for report in seen.reports:
        try:
            found.append(_build(report, evidence))
        except ContentError as error:
            faults.extend(refused(gate, report, error))
    return Builds(found=tuple(found), faults=tuple(faults), but=seen.but)


def unknown(gate: str, evidence: Evidence, builds: Builds) -> tuple[Reason, ...]:
    """What is missing for the source to be known: a provenance of each platform, and in each one commit."""
    where = f"gate {gate}"
    hint = "have the builder attest SLSA provenance about the image, and name it in the gate"
    if not evidence.platforms:
        return (Reason("attestation-missing", "the image has no platform that could have provenance", where),)
    missing = tuple(
        Reason(
            "attestation-missing",
            f"no provenance of {platform.name} ({platform.manifest}) counts{builds.but}",
            where,
            hint,
        )
        for platform in evidence.platforms
        if not builds.of(platform)
    )
    silent = tuple(
        Reason("provenance-mismatch", "does not say from which commit the image was built", place(gate, build.report))
        for build in builds.found
        if not build.provenance.sources or not all(source.commit for source in build.provenance.sources)
    )
    return (*missing, *silent)


def _build(report: Report, evidence: Evidence) -> Build:
    provenance = slsa.read(report.content)
    if report.is_attested and slsa.VERSIONS[report.predicate_type] != provenance.version:
        raise ContentError(
            "evidence-malformed", f"signed as {report.predicate_type}, but it is of version {provenance.version}"
        )
    platforms = covers(report, evidence)
    if provenance.about and evidence.subject not in provenance.about:
        platforms = tuple(platform for platform in platforms if platform.manifest in provenance.about)
        if not platforms:
            about = ", ".join(map(str, provenance.about))
            raise ContentError("subject-mismatch", f"is about {about}, and no platform of {evidence.subject}")
    return Build(report=report, provenance=provenance, platforms=platforms)
