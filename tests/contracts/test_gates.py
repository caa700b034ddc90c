"""What every gate promises; a new line in GATES is tested before a test is written for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import pytest

from registries.digest import Digest
from stages.alerts import On
from stages.duration import Duration
from stages.evidence import Evidence, Report
from stages.finding import Severity
from stages.gate import Gate, Outcome
from stages.gates import GATES
from stages.gates.malware import Malware
from stages.gates.policy_report import PolicyReport
from stages.gates.provenance import BuildProvenance
from stages.gates.sast import StaticAnalysis
from stages.gates.sbom import BillOfMaterials
from stages.gates.tests import PassingTests
from stages.gates.vulnerabilities import Vulnerabilities
from stages.source import Repository
from tests.evidence import (
    AMD64,
    BUILDER,
    HOUR,
    NOW,
    REPOSITORY,
    STRANGER,
    alert,
    clamav,
    cyclonedx,
    evidence,
    flaw,
    grype,
    identity,
    junit,
    match,
    provenance,
    report,
    sarif,
    trivy,
)

DAY = Duration.parse("24h")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A gate that only the scanner's reports count for, with reports that are enough and some that are not."""

    gate: Gate
    enough: tuple[Report, ...]
    not_enough: dict[str, tuple[Report, ...]]


EXAMPLES = {
    "malware": Example(
        gate=Malware(max_age=DAY, by=("scanner",), max_data_age=Duration.parse("3d")),
        enough=(report("clamav", clamav(AMD64.manifest)),),
        not_enough={
            "found": (report("clamav", clamav(AMD64.manifest, found=("Eicar",))),),
            "stale": (report("clamav", clamav(AMD64.manifest), finished_at=NOW - 25 * HOUR),),
            "other image": (report("clamav", clamav(STRANGER)),),
            "malformed": (report("clamav", b"{"), report("clamav", clamav(AMD64.manifest), step="more")),
            "empty": (report("clamav", b"{}"), report("clamav", clamav(AMD64.manifest), step="more")),
        },
    ),
    "policy-report": Example(
        gate=PolicyReport(tools=("Finder",), by=("scanner",), on=On.IMAGE, max_age=DAY),
        enough=(report("sarif", sarif(commit="")),),
        not_enough={
            "found": (report("sarif", sarif(alert(level="note"))),),
            "stale": (report("sarif", sarif(), finished_at=NOW - 25 * HOUR),),
            "other image": (report("sarif", sarif(about=[STRANGER])),),
            "other tool": (report("sarif", sarif(tool="Other")),),
            "malformed": (report("sarif", b"{"), report("sarif", sarif(), step="more")),
            "empty": (report("sarif", b'{"version": "2.1.0", "runs": []}'), report("sarif", sarif(), step="more")),
        },
    ),
    "provenance": Example(
        gate=BuildProvenance(
            builder=BUILDER, source=Repository(REPOSITORY), any_value=("workflow.path",), by=("scanner",)
        ),
        enough=(report("slsa", provenance()),),
        not_enough={
            "other builder": (report("slsa", provenance(builder="https://builder.example/two")),),
            "other source": (report("slsa", provenance(repository="https://github.com/acme/other")),),
            "malformed": (report("slsa", b"{"), report("slsa", provenance(), step="more")),
            "empty": (report("slsa", b"{}"), report("slsa", provenance(), step="more")),
        },
    ),
    "sast": Example(
        gate=StaticAnalysis(by=("scanner",), provenance_by=("scanner",), max_age=DAY),
        enough=(report("slsa", provenance()), report("sarif", sarif())),
        not_enough={
            "found": (report("slsa", provenance()), report("sarif", sarif(alert(level="note")))),
            "stale": (report("slsa", provenance()), report("sarif", sarif(), finished_at=NOW - 25 * HOUR)),
            "other commit": (report("slsa", provenance()), report("sarif", sarif(commit="b2" * 20))),
            "no provenance": (report("sarif", sarif()),),
            "no commit": (report("slsa", provenance()), report("sarif", sarif(commit=""))),
            "malformed": (report("slsa", provenance()), report("sarif", b"{")),
            "empty": (report("slsa", provenance()), report("sarif", b'{"version": "2.1.0", "runs": []}')),
        },
    ),
    "sbom": Example(
        gate=BillOfMaterials(by=("scanner",), min_components=2, max_age=DAY),
        enough=(report("cyclonedx", cyclonedx("flask", "jinja")),),
        not_enough={
            "too few": (report("cyclonedx", cyclonedx("flask")),),
            "stale": (report("cyclonedx", cyclonedx("flask", "jinja"), finished_at=NOW - 25 * HOUR),),
            "other image": (report("cyclonedx", cyclonedx("flask", "jinja", about=STRANGER)),),
            "no image": (report("cyclonedx", cyclonedx("flask", "jinja", about=None)),),
            "malformed": (report("spdx", b"{"), report("cyclonedx", cyclonedx("flask", "jinja"))),
            "empty": (report("spdx", b"{}"), report("cyclonedx", cyclonedx("flask", "jinja"))),
        },
    ),
    "tests": Example(
        gate=PassingTests(by=("scanner",), max_age=DAY, min_tests=2),
        enough=(report("junit", junit(2)), report("junit", junit(1), step="load")),
        not_enough={
            "failed": (report("junit", junit(2, failed=1)), report("junit", junit(2, errors=1), step="load")),
            "too few": (report("junit", junit(1, skipped=1)),),
            "stale": (report("junit", junit(2), finished_at=NOW - 25 * HOUR),),
            "malformed": (report("junit", b"<testsuite>"), report("junit", junit(2), step="load")),
            "empty": (report("junit", b"<testsuites/>"), report("junit", junit(2), step="load")),
        },
    ),
    "vulnerabilities": Example(
        gate=Vulnerabilities(none_at_or_above=Severity.MEDIUM, max_age=DAY, by=("scanner",)),
        enough=(report("trivy", trivy(flaw("CVE-1", "LOW"))), report("grype", grype(match("CVE-1", "Low")))),
        not_enough={
            "found": (report("trivy", trivy(flaw("CVE-1"))), report("grype", grype(match("CVE-1")))),
            "stale": (report("trivy", trivy(), finished_at=NOW - 25 * HOUR),),
            "other image": (report("trivy", trivy(about=[STRANGER])), report("grype", grype())),
            "malformed": (report("trivy", b"{"), report("grype", grype())),
            "empty": (report("trivy", b"{}"), report("grype", grype())),
        },
    ),
}

COUNT_NO_REPORTS = {"cel", "approvals", "base-image", "freeze", "freshness", "image-config", "soak"}
"""What these ask for is no report; each has tests of its own."""

BAD = [(name, why) for name, example in EXAMPLES.items() for why in example.not_enough]


@pytest.fixture(params=sorted(EXAMPLES))
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[str(request.param)]


def unrelated() -> list[Report]:
    """Good reports that are none of the gate's business: by a stranger, about another image, of another format."""
    return [
        report("junit", junit(9), signer="stranger", step="more"),
        report("trivy", trivy(), signer="stranger", step="more"),
        report("trivy", trivy(about=[STRANGER]), step="more"),
        report("grype", grype(about=[]), step="more"),
        report("another-format", b"{}", step="more"),
    ]


def digests(reports: Sequence[Report]) -> set[Digest]:
    return {digest for given in reports for digest in (given.record, given.digest)}


def test_every_gate_has_examples_and_is_known_by_its_name() -> None:
    assert set(EXAMPLES) == set(GATES) - COUNT_NO_REPORTS
    assert all(isinstance(example.gate, GATES[name]) for name, example in EXAMPLES.items())


def test_a_verdict_names_its_gate() -> None:
    assert all(example.gate.judge(evidence()).gate == name for name, example in EXAMPLES.items())


def test_enough_evidence_passes_and_is_named(example: Example) -> None:
    verdict = example.gate.judge(evidence(*example.enough))
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASSED, ())
    assert set(verdict.evidence) == digests(example.enough)


def test_without_any_evidence_a_gate_says_no(example: Example) -> None:
    for seen in (evidence(), evidence(platforms=()), evidence(stages=()), evidence(*unrelated()[:2])):
        assert refused(example.gate, seen)


def test_a_gate_that_believes_one_signer_does_not_believe_another(example: Example) -> None:
    def by_stranger(given: Report) -> Report:
        return report(given.format, given.content, step=given.step, signer="stranger")

    assert refused(example.gate, evidence(*map(by_stranger, example.enough)))


def test_a_name_alone_makes_no_signer(example: Example) -> None:
    assert refused(example.gate, evidence(*(report(r.format, r.content, signer="Scanner") for r in example.enough)))
    assert identity("scanner") != identity("Scanner")


@pytest.mark.parametrize(("name", "why"), BAD)
def test_evidence_that_is_not_enough_is_a_no_with_reasons(name: str, why: str) -> None:
    example = EXAMPLES[name]
    assert refused(example.gate, evidence(*example.not_enough[why]))


@pytest.mark.parametrize(("name", "why"), BAD)
def test_unrelated_reports_never_turn_a_no_into_a_yes(name: str, why: str) -> None:
    example = EXAMPLES[name]
    assert refused(example.gate, evidence(*example.not_enough[why], *unrelated()))
    assert refused(example.gate, evidence(*unrelated()))


def test_reports_of_strangers_and_of_other_formats_never_turn_a_yes_into_a_no(example: Example) -> None:
    first, second, *_, last = unrelated()
    others = [first, second, last]
    assert example.gate.judge(evidence(*example.enough, *others)).outcome is Outcome.PASSED


def test_the_same_evidence_gives_the_same_verdict(example: Example) -> None:
    for reports in (example.enough, *example.not_enough.values()):
        seen = evidence(*reports)
        assert example.gate.judge(seen) == example.gate.judge(seen)


def test_the_order_of_reports_never_matters(example: Example) -> None:
    for reports in (example.enough, *example.not_enough.values()):
        verdicts = [example.gate.judge(evidence(*order)) for order in permutations((*reports, unrelated()[2]))]
        assert all(verdict == verdicts[0] for verdict in verdicts)


def refused(gate: Gate, seen: Evidence) -> bool:
    """Whether the gate says no, properly: every reason with a code, words and a place."""
    verdict = gate.judge(seen)
    assert all(reason.code and reason.message and reason.where for reason in verdict.reasons)
    return verdict.outcome is not Outcome.PASSED and bool(verdict.reasons)
