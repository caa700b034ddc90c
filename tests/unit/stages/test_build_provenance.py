from __future__ import annotations

from typing import Any

import pytest

from attestations.verify import Verified
from registries.errors import UsageError
from stages.gate import Outcome, Verdict
from stages.gates.provenance import BuildProvenance
from stages.source import Repository
from tests.evidence import (
    AMD64,
    ARM64,
    BUILDER,
    REPOSITORY,
    STRANGER,
    SUBJECT,
    attested,
    evidence,
    provenance,
    rejected,
    report,
    slsa,
)

V1, V02 = "https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v0.2"
BOTH = (AMD64, ARM64)
GATE = BuildProvenance(
    builder=BUILDER,
    source=Repository(REPOSITORY),
    ref=("refs/heads/main", "refs/tags/*"),
    parameters={"workflow.path": "build.yml", "inputs.target": ("prod", "test")},
    any_value=("vars",),
    by=("builder",),
)


def said(about: Any = (SUBJECT,), signer: str = "builder", **changed: Any) -> Verified:
    return attested(V1, slsa(**{"inputs": {"target": "prod"}, **changed}), about=about, signer=signer)


def judge(*statements: Verified, gate: BuildProvenance = GATE, **more: Any) -> Verdict:
    return gate.judge(evidence(statements=statements, **more))


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


def test_the_right_builder_source_ref_and_parameters_pass_and_are_evidence() -> None:
    made = said(vars={"a": 1, "b": [2]})
    verdict = judge(made)
    assert (verdict.outcome, verdict.reasons, verdict.evidence) == (Outcome.PASSED, (), (made.record,))
    assert judge(said(ref="refs/tags/v1.0")).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"builder": "https://builder.example/two"}, "the builder is 'https://builder.example/two', and must be"),
        ({"builder": BUILDER.upper()}, "the builder is"),
        ({"repository": "https://github.com/evil/shop"}, "the source is 'github.com/evil/shop'"),
        ({"repository": "http://github.com/acme/shop"}, "the source is 'http://github.com/acme/shop'"),
        ({"repository": "nowhere"}, "does not say from which source"),
        ({"ref": "refs/heads/evil"}, "the ref is 'refs/heads/evil'"),
        ({"ref": "refs/tags/"}, "the ref is 'refs/tags/'"),
        ({"ref": "refs/tagsx/v1"}, "the ref is"),
        ({"ref": ""}, "the ref is not said"),
        ({"inputs": {"target": "dev"}}, "the parameter inputs.target is 'dev', and must be prod or test"),
        ({"inputs": {}}, "does not say what the parameter inputs.target was"),
        ({"inputs": {"target": "prod", "debug": True}}, "the parameter inputs.debug is 'true', and the gate does not"),
        ({"varsx": 1}, "the parameter varsx is '1'"),
        ({"source": "https://github.com/evil/shop"}, "the source is 'github.com/evil/shop'"),
    ],
)
def test_each_field_that_is_swapped_blocks_and_is_told(changed: dict[str, Any], told: str) -> None:
    verdict = judge(said(**changed))
    assert verdict.outcome is Outcome.BLOCKED
    assert set(codes(verdict)) == {"provenance-mismatch"}
    assert any(told in reason.message for reason in verdict.reasons), verdict.reasons
    assert verdict.evidence == ()


def test_without_named_parameters_or_refs_only_the_source_may_be_said() -> None:
    plain = BuildProvenance(builder=BUILDER, source=Repository(REPOSITORY), by=("builder",))
    verdict = judge(attested(V1, slsa()), gate=plain)
    assert [reason.message for reason in verdict.reasons] == [
        "the parameter workflow.path is 'build.yml', and the gate does not name it"
    ]
    assert "parameters: {workflow.path: 'build.yml'}" in verdict.reasons[0].hint


def test_a_build_type_that_is_asked_for_must_be_it() -> None:
    def typed(name: str) -> BuildProvenance:
        return BuildProvenance(
            builder=BUILDER, source=Repository(REPOSITORY), build_type=name, any_value=("workflow",), by=("builder",)
        )

    assert judge(attested(V1, slsa()), gate=typed("https://builder.example/type/v1")).outcome is Outcome.PASSED
    assert codes(judge(attested(V1, slsa()), gate=typed("other"))) == ["provenance-mismatch"]


def test_one_good_provenance_is_enough_whatever_else_is_said() -> None:
    verdict = judge(said(), said(builder="https://builder.example/two"))
    assert (verdict.outcome, len(verdict.evidence)) == (Outcome.PASSED, 1)


def test_every_platform_needs_one() -> None:
    parts = said(about=(AMD64.manifest,)), said(about=(ARM64.manifest,))
    assert judge(*parts, platforms=BOTH).outcome is Outcome.PASSED
    assert judge(said(), platforms=BOTH).outcome is Outcome.PASSED
    verdict = judge(parts[0], platforms=BOTH)
    assert (verdict.outcome, codes(verdict)) == (Outcome.NOT_CHECKED, ["attestation-missing"])
    bad = said(about=(ARM64.manifest,), builder="https://builder.example/two")
    assert codes(judge(parts[0], bad, platforms=BOTH)) == ["provenance-mismatch"]
    assert codes(judge(said(), platforms=())) == ["attestation-missing"]


def test_absent_foreign_and_malformed_provenance_is_a_no() -> None:
    assert codes(judge()) == ["attestation-missing"]
    verdict = judge(said(signer="stranger"))
    assert codes(verdict) == ["attestation-missing"]
    assert "by stranger, and only builder is believed here" in verdict.reasons[0].message
    assert "signature-invalid" in judge(rejected=(rejected(V1),)).reasons[0].message
    assert codes(judge(said(), attested(V1, {"buildType": "x"}))) == ["evidence-malformed"]
    assert codes(judge(attested(V02, slsa()))) == ["evidence-malformed", "attestation-missing"], (
        "signed as another version"
    )


def test_unsigned_provenance_counts_once_a_step_recorded_it_and_only_about_this_image() -> None:
    gate = BuildProvenance(builder=BUILDER, source=Repository(REPOSITORY), any_value=("workflow",), by=("ci",))

    def recorded(content: bytes) -> Verdict:
        return gate.judge(evidence(report("slsa", content, signer="ci"), platforms=BOTH))

    def statement(*about: Any) -> bytes:
        return attested(V1, slsa(), about=about).statement.content

    assert recorded(provenance()).outcome is Outcome.PASSED
    assert recorded(statement(SUBJECT)).outcome is Outcome.PASSED
    assert recorded(statement(AMD64.manifest, ARM64.manifest)).outcome is Outcome.PASSED
    assert codes(recorded(statement(AMD64.manifest))) == ["attestation-missing"]
    assert codes(recorded(statement(STRANGER))) == ["subject-mismatch"] + ["attestation-missing"] * 2


@pytest.mark.parametrize("ref", ["*", "refs/*/v1", "refs/tags/v*", "", "/*"])
def test_a_star_stands_only_for_all_that_is_below_a_ref(ref: str) -> None:
    with pytest.raises(UsageError) as error:
        BuildProvenance(builder=BUILDER, source=Repository(REPOSITORY), ref=ref)
    assert error.value.code == "definition-invalid"


@pytest.mark.parametrize("builder", ["", (), ("",)])
def test_a_builder_must_be_named(builder: Any) -> None:
    with pytest.raises(UsageError) as error:
        BuildProvenance(builder=builder, source=Repository(REPOSITORY))
    assert error.value.code == "definition-invalid"
