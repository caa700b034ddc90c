"""Signed statements of others as reports: what cosign, GitHub or Tekton attested counts like what a step recorded.

The signature was checked before, and the signer is one of the definition's. Here it is decided whether a gate may count
it: the predicate type must be listed, letter for letter, and the signer must be one whom the gate believes.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from attestations.verify import Rejected, Verified
from registries.digest import Digest
from registries.errors import Reason
from stages.evidence import UNDATED, Evidence, Platform, Report
from stages.recorded import of_formats

# Sources: in-toto attestation, spec/predicates (cyclonedx.md, spdx2.md, spdx3.md, test-result.md); SLSA provenance.
# There is no predicate type for SARIF: the addresses are those of its schema, by which reports name it themselves.
PREDICATES: Final[Mapping[str, str]] = {
    "https://cosign.sigstore.dev/attestation/vuln/v1": "cosign-vuln",
    "https://cyclonedx.org/bom": "cyclonedx",
    "https://cyclonedx.org/bom/v1.4": "cyclonedx",
    "https://cyclonedx.org/bom/v1.5": "cyclonedx",
    "https://cyclonedx.org/bom/v1.6": "cyclonedx",
    "https://cyclonedx.org/bom/v1.7": "cyclonedx",
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json": "sarif",
    "https://in-toto.io/attestation/test-result/v0.1": "test-result",
    "https://in-toto.io/attestation/vulns": "in-toto-vulns",
    "https://in-toto.io/attestation/vulns/v0.1": "in-toto-vulns",
    "https://in-toto.io/attestation/vulns/v0.2": "in-toto-vulns",
    "https://json.schemastore.org/sarif-2.1.0.json": "sarif",
    "https://openvex.dev/ns": "openvex",
    "https://openvex.dev/ns/v0.2.0": "openvex",
    "https://slsa.dev/provenance/v0.2": "slsa",
    "https://slsa.dev/provenance/v1": "slsa",
    "https://spdx.dev/Document": "spdx",
    "https://spdx.dev/Document/v2.3": "spdx",
    "https://spdx.dev/Document/v3": "spdx",
}
"""The predicate types that are read, and the format of each predicate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The reports that a gate may count, in an order of their own, and why others of the same formats do not."""

    reports: tuple[Report, ...]
    aside: tuple[Reason, ...]

    @property
    def but(self) -> str:
        """What is there and does not count, for the end of a message; empty when there is nothing."""
        return "".join(f"; {reason.where}: {reason.message} ({reason.code})" for reason in self.aside)


def counted(evidence: Evidence, formats: Container[str], by: Sequence[str]) -> Counted:
    """Recorded reports and attestations of these formats by these signers.

    Where `by` is empty, those recorded by the role of their step count, and attestations by who may admit to the stage.
    """
    recorded = of_formats(evidence, formats)
    foreign = [*_foreign(evidence, formats)]
    believed = by or evidence.admitters
    return Counted(
        reports=(
            *(report for report in recorded if not by or report.signer.name in by),
            *(report for report in foreign if report.signer.name in believed),
        ),
        aside=(
            *(_stranger(report, by) for report in recorded if by and report.signer.name not in by),
            *(_stranger(report, believed) for report in foreign if report.signer.name not in believed),
            *(_rejected(item) for item in sorted(evidence.rejected, key=lambda it: it.record) if _is(item, formats)),
        ),
    )


def covers(report: Report, evidence: Evidence) -> tuple[Platform, ...]:
    """The platforms that the signed statement is about: all of them, where it names the image itself."""
    if not report.about or evidence.subject in report.about:
        return evidence.platforms
    return tuple(platform for platform in evidence.platforms if platform.manifest in report.about)


def _foreign(evidence: Evidence, formats: Container[str]) -> Iterator[Report]:
    for item in sorted(evidence.statements, key=lambda it: it.record):
        if PREDICATES.get(item.statement.predicate_type) in formats:
            about = _about(item, evidence)
            if about:
                yield _report(item, about)


def _about(item: Verified, evidence: Evidence) -> tuple[Digest, ...]:
    digests = (evidence.subject, *(platform.manifest for platform in evidence.platforms))
    return tuple(dict.fromkeys(digest for digest in digests if item.statement.names(digest)))


def _report(item: Verified, about: tuple[Digest, ...]) -> Report:
    return Report(
        format=PREDICATES[item.statement.predicate_type],
        content=item.statement.predicate_content,
        digest=item.record,
        record=item.record,
        signer=item.signer,
        stage="",
        step="",
        finished_at=item.proved_time or UNDATED,
        predicate_type=item.statement.predicate_type,
        about=about,
    )


def _is(item: Rejected, formats: Container[str]) -> bool:
    return PREDICATES.get(item.says[0]) in formats


def _stranger(report: Report, by: Sequence[str]) -> Reason:
    message = f"by {report.signer.name}, and only {' or '.join(by) or 'nobody'} is believed here"
    return Reason("signer-not-for-stage", message, f"{report.format} {report.record}")


def _rejected(item: Rejected) -> Reason:
    return Reason(item.reason.code, "not believed", f"{PREDICATES[item.says[0]]} {item.record}")
