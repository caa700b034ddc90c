from __future__ import annotations

import json
from typing import Any

import pytest

from registries.digest import Digest
from registries.errors import UsageError
from stages.duration import Duration
from stages.evidence import Report
from stages.gate import Outcome, Verdict
from stages.gates.sbom import BillOfMaterials
from tests.evidence import AMD64, ARM64, HOUR, NOW, STRANGER, SUBJECT, attested, cyclonedx, evidence, rejected, report

SBOM = "https://cyclonedx.org/bom"
BOTH = (AMD64, ARM64)
GATE = BillOfMaterials(by=("scanner",), min_components=2, max_age=Duration.parse("1w"))


def bill(*packages: str, step: str = "sbom", at: Any = NOW - HOUR, **said: Any) -> Report:
    return report("cyclonedx", cyclonedx(*(packages or ("flask", "jinja")), **said), step=step, finished_at=at)


def judge(*reports: Report, gate: BillOfMaterials = GATE, **more: Any) -> Verdict:
    return gate.judge(evidence(*reports, **more))


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_a_bill_of_each_platform_passes_and_is_evidence() -> None:
    first, second = bill(), bill(about=ARM64.config, step="more")
    verdict = judge(first, second, platforms=BOTH)
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASSED, ())
    assert set(verdict.evidence) == {first.record, first.digest, second.record, second.digest}
    assert verdict.counts == (("bills", 2), ("components", 4))
    assert verdict.newest_data == NOW - HOUR


def test_a_platform_without_a_bill_is_missing() -> None:
    verdict = judge(bill(), platforms=BOTH)
    assert codes(verdict) == ["attestation-missing"]
    assert f"linux/arm64 ({ARM64.manifest})" in verdict.reasons[0].message
    assert "--report cyclonedx=FILE" in verdict.reasons[0].hint
    assert codes(judge(bill(), platforms=())) == ["subject-mismatch", "attestation-missing"]


def test_too_few_packages_another_image_or_none_is_a_no() -> None:
    assert codes(judge(bill("flask"))) == ["evidence-empty", "attestation-missing"]
    assert codes(judge(bill(about=STRANGER))) == ["subject-mismatch", "attestation-missing"]
    assert codes(judge(bill(about=None))) == ["subject-mismatch", "attestation-missing"]


def test_an_index_alone_does_not_say_which_platform_a_bill_is_of() -> None:
    assert judge(bill(about=SUBJECT)).outcome is Outcome.PASSED, "there is only one"
    assert codes(judge(bill(about=SUBJECT), platforms=BOTH)) == ["subject-mismatch"] + ["attestation-missing"] * 2
    loose = BillOfMaterials(names_image=False)
    assert judge(bill(about=SUBJECT), gate=loose, platforms=BOTH).outcome is Outcome.PASSED


def test_absent_stale_foreign_and_malformed_bills_are_a_no() -> None:
    assert codes(judge()) == ["attestation-missing"]
    assert codes(judge(bill(at=NOW - 8 * 24 * HOUR))) == ["evidence-too-old"]
    assert codes(judge(bill(made_at=NOW - 8 * 24 * HOUR))) == ["evidence-too-old"]
    assert codes(judge(bill(made_at=NOW + HOUR))) == ["clock-skew", "attestation-missing"]
    verdict = judge(report("cyclonedx", cyclonedx("a", "b"), signer="stranger"))
    assert codes(verdict) == ["attestation-missing"]
    assert "by stranger, and only scanner is believed here" in verdict.reasons[0].message
    assert codes(judge(report("spdx", b"{"), bill())) == ["evidence-malformed"]


def said(
    *packages: str, subject: Digest = SUBJECT, about: Digest | None = AMD64.manifest, signer: str = "scanner"
) -> Any:
    return attested(SBOM, json.loads(cyclonedx(*packages, about=about)), about=(subject,), signer=signer)


def test_an_attested_bill_counts_for_what_the_bill_and_the_statement_both_name() -> None:
    made = said("flask", "jinja")
    verdict = judge(statements=(made,))
    assert (verdict.outcome, verdict.evidence) == (Outcome.PASSED, (made.record,))
    assert judge(statements=(said("a", "b", subject=AMD64.manifest),)).outcome is Outcome.PASSED
    swapped = said("a", "b", subject=AMD64.manifest, about=ARM64.manifest)
    assert codes(judge(statements=(swapped,), platforms=BOTH)) == ["subject-mismatch"] + ["attestation-missing"] * 2
    assert codes(judge(statements=(said("a", "b", signer="builder"),))) == ["attestation-missing"]
    assert "signature-invalid" in judge(rejected=(rejected(SBOM),)).reasons[0].message


def test_a_bill_that_names_no_image_counts_only_where_the_gate_says_so() -> None:
    nameless = said("a", "b", about=None)
    assert codes(judge(statements=(nameless,))) == ["subject-mismatch", "attestation-missing"]
    loose = BillOfMaterials(names_image=False, by=("scanner",))
    assert judge(statements=(nameless,), gate=loose, platforms=BOTH).outcome is Outcome.PASSED
    other = said("a", "b", about=STRANGER)
    assert codes(judge(statements=(other,), gate=loose)) == ["subject-mismatch", "attestation-missing"]
    part = said("a", "b", about=None, subject=AMD64.manifest)
    assert codes(judge(statements=(part,), gate=loose, platforms=BOTH)) == ["attestation-missing"]


def test_a_minimum_of_none_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        BillOfMaterials(min_components=0)
    assert error.value.code == "definition-invalid"
