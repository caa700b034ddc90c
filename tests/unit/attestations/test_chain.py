"""What leads to a stage: the whole chain passes, and each way of breaking it is refused for its own reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from attestations.bundle import Bundle
from attestations.errors import ChainBroken
from attestations.records.admission import AdmissionKind, PipelineReference
from attestations.records.step import StepResult
from registries.digest import Digest
from tests.chains import (
    DEFINITION,
    FORMER,
    IMAGE,
    LINEAGE,
    NOW,
    OTHER_IMAGE,
    PIPELINE,
    STAGES,
    Pieces,
    chain,
    expected,
    signer,
    spec,
    whole,
)


def codes(bundles: Sequence[Bundle], **options: object) -> list[str]:
    with pytest.raises(ChainBroken) as error:
        chain(bundles, **options)  # type: ignore[arg-type]
    return [reason.code for reason in error.value.reasons]


def everything(pieces: Pieces) -> list[Bundle]:
    return list(pieces.bundles.values())


def test_a_whole_chain_is_returned_from_the_entry_on_with_the_proof_of_every_step() -> None:
    pieces = whole()
    found = chain(everything(pieces))
    assert [link.stage for link in found.links] == ["build", "test"]
    assert [link.record for link in found.links] == [pieces.bundles["build"].record, pieces.bundles["test"].record]
    assert [proof.name for proof in found.links[0].steps] == ["unit", "scan"]


def test_an_entry_stage_rests_on_nothing() -> None:
    assert chain([], after=()).links == ()


def test_the_order_of_the_records_does_not_matter() -> None:
    bundles = everything(whole())
    assert chain(bundles) == chain(list(reversed(bundles)))


def test_an_image_without_records_has_no_chain() -> None:
    assert codes([]) == ["predecessor-missing"]


def test_a_chain_of_another_image_is_no_chain_of_this_one() -> None:
    assert set(codes(everything(whole(OTHER_IMAGE)))) == {"subject-mismatch", "predecessor-missing"}


def test_t087_a_stage_can_not_be_skipped() -> None:
    pieces = whole().without("test", "test/integration")
    assert codes(everything(pieces)) == ["stage-skipped"]


@pytest.mark.parametrize("rests_on", [(), ("test",), ("build", "test"), ("prod",)])
def test_t087_an_admission_that_rests_on_other_stages_than_the_definition_says_is_refused(
    rests_on: tuple[str, ...],
) -> None:
    pieces = whole()
    links = tuple(replace(pieces.predecessor("build"), stage=stage) for stage in rests_on)
    pieces.admit("test", by="ci-promote", predecessors=links, source="dev.test/shop")
    assert "stage-skipped" in codes(everything(pieces))


@pytest.mark.parametrize("missing", ["build", "build/unit", "build/scan"])
def test_t086_a_record_that_a_later_one_names_must_be_there(missing: str) -> None:
    assert "predecessor-missing" in codes(everything(whole().without(missing)))


def test_t077_a_withheld_admission_shows_in_the_steps_that_name_it() -> None:
    assert codes(everything(whole().without("test"))) == ["predecessor-missing"]


def test_t093_an_admission_signed_again_does_not_replace_the_one_that_was_named() -> None:
    pieces = whole()
    bundles = everything(pieces.without("build"))
    bundles.append(pieces.admit("build", by="ci-build", name="again"))
    assert "predecessor-changed" in codes(bundles)


def test_t093_a_step_record_signed_again_does_not_replace_the_one_that_was_named() -> None:
    pieces = whole()
    bundles = everything(pieces.without("build/unit"))
    bundles.append(pieces.step("build", "unit", by="ci-build", name="again"))
    assert codes(bundles) == ["predecessor-changed"]


def test_a_second_admission_beside_the_named_one_changes_nothing() -> None:
    pieces = whole()
    pieces.admit("build", by="ci-build", name="again")
    assert chain(everything(pieces)).links[0].record == pieces.bundles["build"].record


def test_t088_two_admissions_on_different_grounds_are_refused_while_nothing_names_one() -> None:
    pieces = Pieces()
    pieces.admit("build", by="ci-build")
    pieces.admit("build", by="ci-build", name="other", source="oci:elsewhere")
    stages = (replace(STAGES[0], steps=()),)
    assert codes(everything(pieces), after=("build",), stages=stages) == ["chain-branched"]


def test_two_admissions_on_the_same_grounds_are_one_decision_and_the_earlier_one_counts() -> None:
    pieces = Pieces()
    first = pieces.admit("build", by="ci-build")
    pieces.admit("build", by="ci-build", name="again")
    stages = (replace(STAGES[0], steps=()),)
    assert chain(everything(pieces), after=("build",), stages=stages).links[0].record == first.record


def test_t089_a_step_done_after_another_admission_does_not_count() -> None:
    pieces = whole().without("test/integration")
    pieces.step("test", "integration", by="ci-promote", admission=Digest.of(b"another admission"))
    assert codes(everything(pieces)) == ["run-mismatch"]


def test_t041_the_signer_of_one_stage_can_not_admit_to_another() -> None:
    pieces = whole()
    pieces.admit("test", by="ci-build", rests_on=("build",))
    assert codes(everything(pieces)) == ["signer-not-for-stage"]


def test_t041_a_step_signed_by_another_role_is_no_record_of_it() -> None:
    pieces = whole()
    pieces.step("test", "integration", by="scanner")
    assert codes(everything(pieces)) == ["signer-not-for-stage"]


def test_a_record_by_an_unknown_key_is_named_with_the_gap_it_leaves() -> None:
    pieces = whole()
    pieces.step("test", "integration", by="stranger")
    assert codes(everything(pieces)) == ["signer-unknown", "step-missing"]


def test_a_foreign_record_beside_a_good_one_does_not_block() -> None:
    pieces = whole()
    pieces.step("test", "integration", by="scanner", name="foreign")
    pieces.step("test", "integration", by="stranger", name="stranger")
    pieces.admit("test", by="ci-build", rests_on=("build",), name="foreign admission")
    assert len(chain(everything(pieces)).links) == 2


def test_a_step_that_was_never_done_blocks() -> None:
    assert codes(everything(whole().without("test/integration"))) == ["step-missing"]


def test_a_named_admission_must_name_every_step_of_the_stage_before() -> None:
    pieces = whole()
    named = pieces.predecessor("build")
    pieces.admit("test", by="ci-promote", predecessors=(replace(named, steps=named.steps[:1]),), source="dev.test/shop")
    pieces.step("test", "integration", by="ci-promote")
    assert codes(everything(pieces)) == ["step-missing"]


def test_a_failed_step_blocks() -> None:
    pieces = whole()
    pieces.step("test", "integration", by="ci-promote", result=StepResult.FAILED)
    assert codes(everything(pieces)) == ["step-failed"]


def test_a_later_failure_of_a_step_further_back_blocks_what_was_built_on_it() -> None:
    pieces = whole()
    passed = pieces.bundles["build/scan"].record
    pieces.step("build", "scan", by="scanner", name="again", result=StepResult.FAILED, supersedes=(passed,))
    assert codes(everything(pieces)) == ["step-failed"]


def test_a_failure_that_was_done_again_with_success_passes() -> None:
    pieces = whole()
    failed = pieces.step("test", "integration", by="ci-promote", name="failed", result=StepResult.FAILED)
    good = pieces.bundles["test/integration"].record
    last = pieces.step("test", "integration", by="ci-promote", supersedes=(failed.record, good))
    assert chain(everything(pieces)).links[1].steps[0].verified.record == last.record


def test_two_records_of_a_step_where_neither_replaces_the_other_are_ambiguous() -> None:
    pieces = whole()
    pieces.step("test", "integration", by="ci-promote", name="rival")
    assert codes(everything(pieces)) == ["step-ambiguous"]


def twin(bundle: Bundle) -> Bundle:
    """The same record in other words, as anybody who may push can write it."""
    return Bundle.from_bytes(bundle.content.replace(b"{", b"{ ", 1))


def test_a_twin_of_a_step_record_neither_blocks_nor_counts_twice() -> None:
    pieces = whole()
    pieces.bundles["twin"] = twin(pieces.bundles["test/integration"])
    assert pieces.bundles["twin"].record != pieces.bundles["test/integration"].record
    assert len(chain(everything(pieces)).links) == 2


def test_a_twin_of_a_failure_is_replaced_together_with_it() -> None:
    pieces = whole().without("test/integration")
    failed = pieces.step("test", "integration", by="ci-promote", name="failed", result=StepResult.FAILED)
    pieces.bundles["twin"] = twin(failed)
    pieces.step("test", "integration", by="ci-promote", supersedes=(failed.record,))
    assert len(chain(everything(pieces)).links) == 2


def test_a_twin_of_an_admission_changes_nothing() -> None:
    pieces = whole()
    pieces.bundles["twin"] = twin(pieces.bundles["test"])
    assert chain(everything(pieces)).links[1].record == pieces.bundles["test"].record


def test_a_foreign_record_can_not_supersede_a_failure() -> None:
    pieces = whole()
    failed = pieces.step("test", "integration", by="ci-promote", result=StepResult.FAILED)
    pieces.step("test", "integration", by="scanner", name="rival", supersedes=(failed.record,))
    assert codes(everything(pieces)) == ["step-failed"]


def test_a_step_that_is_defined_otherwise_now_must_be_done_again() -> None:
    pieces = whole()
    pieces.step("test", "integration", by="ci-promote", spec=spec("test", "something else"))
    assert codes(everything(pieces)) == ["step-changed"]


def test_t029_records_of_another_pipeline_do_not_count() -> None:
    other = PipelineReference(name="other", definition=DEFINITION, version=2)
    assert set(codes(everything(whole(pipeline=other)))) == {"pipeline-mismatch"}


def test_t092_records_made_under_a_foreign_definition_do_not_count() -> None:
    changed = PipelineReference(name="shop", definition=Digest.of(b"swapped"), version=2)
    assert set(codes(everything(whole(pipeline=changed)))) == {"pipeline-changed"}


def test_t092_where_signatures_are_missing_the_refusal_says_whose_and_how_to_find_them() -> None:
    pieces = whole(pipeline=PipelineReference(name="shop", definition=Digest.of(b"long ago"), version=1))
    with pytest.raises(ChainBroken) as error:
        chain(everything(pieces), lineage=replace(LINEAGE, unknown_before=FORMER))
    assert {reason.code for reason in error.value.reasons} == {"pipeline-changed"}
    assert f"what {FORMER} replaced" in error.value.reasons[0].message
    assert "git log" in error.value.reasons[0].hint


def test_records_made_under_a_definition_that_this_one_replaced_go_on() -> None:
    former = PipelineReference(name="shop", definition=FORMER, version=1)
    assert len(chain(everything(whole(pipeline=former))).links) == 2


def test_t096_an_admission_made_for_another_place_does_not_count() -> None:
    pieces = whole()
    pieces.admit("test", by="ci-promote", rests_on=("build",), destination="elsewhere.test/shop")
    assert codes(everything(pieces)) == ["repository-mismatch"]


def test_t096_an_admission_that_took_the_image_from_elsewhere_does_not_count() -> None:
    pieces = whole()
    pieces.admit("test", by="ci-promote", rests_on=("build",), source="elsewhere.test/shop")
    pieces.step("test", "integration", by="ci-promote")
    assert codes(everything(pieces)) == ["repository-mismatch"]


@pytest.mark.parametrize(("ahead", "passes"), [(4, True), (5, True), (6, False), (24 * 60, False)])
def test_t104_a_record_from_the_future_is_refused_beyond_five_minutes(ahead: int, passes: bool) -> None:  # noqa: FBT001
    pieces = whole()
    later = NOW + timedelta(minutes=ahead)
    pieces.admit("test", by="ci-promote", rests_on=("build",), decided_at=later)
    pieces.step("test", "integration", by="ci-promote")
    if passes:
        assert len(chain(everything(pieces)).links) == 2
    else:
        assert codes(everything(pieces)) == ["clock-skew"]


def test_a_step_from_the_future_is_refused() -> None:
    pieces = whole()
    pieces.step("test", "integration", by="ci-promote", finished_at=NOW + timedelta(minutes=6))
    assert codes(everything(pieces)) == ["clock-skew"]


def test_an_emergency_admission_carries_nothing_further() -> None:
    pieces = whole()
    pieces.admit("test", by="ci-promote", rests_on=("build",), kind=AdmissionKind.BREAK_GLASS)
    assert codes(everything(pieces)) == ["break-glass-expired"]


def test_every_fault_is_told_at_once() -> None:
    pieces = whole().without("build/unit")
    pieces.step("test", "integration", by="ci-promote", result=StepResult.FAILED)
    assert set(codes(everything(pieces))) == {"predecessor-missing", "step-failed"}


def _parallel() -> Pieces:
    pieces = Pieces()
    pieces.admit("build", by="ci-build")
    for stage in ("eu", "us"):
        pieces.admit(stage, by="ci-promote", rests_on=("build",))
    return pieces


PARALLEL = (
    expected("build", (), "ci-build", ()),
    expected("eu", ("build",), "ci-promote", ()),
    expected("us", ("build",), "ci-promote", ()),
)


def test_with_several_predecessors_all_must_be_whole() -> None:
    pieces = _parallel()
    found = chain(everything(pieces), after=("eu", "us"), stages=PARALLEL)
    assert [link.stage for link in found.links] == ["build", "eu", "us"]
    assert codes(everything(pieces.without("us")), after=("eu", "us"), stages=PARALLEL) == ["stage-skipped"]


def test_with_any_of_one_whole_predecessor_is_enough_and_none_is_not() -> None:
    pieces = _parallel()
    found = chain(everything(pieces.without("us")), after=("eu", "us"), any_of=True, stages=PARALLEL)
    assert [link.stage for link in found.links] == ["build", "eu"]
    assert codes(everything(pieces.without("eu", "us")), after=("eu", "us"), any_of=True, stages=PARALLEL) == [
        "stage-skipped",
        "stage-skipped",
    ]


def test_a_lineage_includes_the_definition_in_force_and_those_it_replaced() -> None:
    assert LINEAGE.includes(DEFINITION)
    assert LINEAGE.includes(FORMER)
    assert not LINEAGE.includes(IMAGE)
    assert PIPELINE.definition == DEFINITION


def test_every_signer_of_these_tests_has_a_key_of_its_own() -> None:
    names = ("ci-build", "scanner", "ci-promote", "stranger")
    assert len({signer(name).public_key for name in names}) == len(names)


def test_a_named_admission_that_does_not_count_is_refused_for_its_own_reason() -> None:
    pieces = Pieces()
    pieces.admit("build", by="scanner")
    pieces.step("build", "unit", by="ci-build")
    pieces.step("build", "scan", by="scanner")
    pieces.admit("test", by="ci-promote", rests_on=("build",))
    pieces.step("test", "integration", by="ci-promote")
    assert codes(everything(pieces)) == ["signer-not-for-stage"]


def test_a_step_that_came_with_a_later_definition_need_not_be_named_but_must_be_there() -> None:
    former = PipelineReference(name="shop", definition=FORMER, version=1)
    pieces = whole(pipeline=former)
    named = pieces.predecessor("build")
    pieces.admit("test", by="ci-promote", predecessors=(replace(named, steps=named.steps[:1]),), source="dev.test/shop")
    pieces.step("test", "integration", by="ci-promote")
    assert len(chain(everything(pieces)).links) == 2
    assert codes(everything(pieces.without("build/scan"))) == ["step-missing"]


JOINED = (*PARALLEL, expected("join", ("eu", "us"), "ci-release", ()))
JOINED_ANY = (*PARALLEL, expected("join", ("eu", "us"), "ci-release", (), any_of=True))


def test_an_admission_after_any_of_several_stages_may_rest_on_one_of_them() -> None:
    pieces = _parallel()
    pieces.admit("join", by="ci-release", rests_on=("eu",), source="eu.test/shop")
    found = chain(everything(pieces), after=("join",), stages=JOINED_ANY)
    assert [link.stage for link in found.links] == ["build", "eu", "join"]
    with pytest.raises(ChainBroken, match="comes after eu and us") as error:
        chain(everything(pieces), after=("join",), stages=JOINED)
    assert error.value.code == "stage-skipped"


def test_an_admission_after_any_of_several_stages_must_rest_on_one_of_them() -> None:
    pieces = _parallel()
    pieces.admit("join", by="ci-release", rests_on=("build",), source="dev.test/shop")
    with pytest.raises(ChainBroken, match="comes after eu or us") as error:
        chain(everything(pieces), after=("join",), stages=JOINED_ANY)
    assert [reason.code for reason in error.value.reasons] == ["stage-skipped"]
