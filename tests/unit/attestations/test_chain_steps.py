"""Steps that are no record of ours about the image: what others attested, and what was done on its source commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attestations.bundle import Bundle
from attestations.chain import Chain, verify_chain
from attestations.commit import Commit
from attestations.errors import ChainBroken
from attestations.records.admission import Predecessor, StepLink
from attestations.records.step import StepRecord, StepResult, step_statement
from attestations.signers.identities import IdentityVerifier
from attestations.statement import Statement
from attestations.steps import BuiltFrom, ExpectedStep
from attestations.verify import Verified, sift
from registries.digest import Digest
from tests.chains import IMAGE, LINEAGE, NOW, OTHER_IMAGE, PIPELINE, SIGNERS, STAGES, Pieces, identity, records, role
from tests.chains import signer as signer_of

REVIEW = "https://example.com/review/v1"
TESTED = "https://in-toto.io/attestation/test-result/v0.1"
COMMIT, OTHER_COMMIT = Commit("a" * 40), Commit("b" * 64)


def attested(predicate_type: str = REVIEW, *, by: str = "scanner", about: Digest = IMAGE, **predicate: Any) -> Bundle:
    statement = Statement.about(about, predicate_type=predicate_type, predicate={"said": "fine", **predicate})
    return signer_of(by).sign(statement)


def on_commit(commit: Commit = COMMIT, *, by: str = "scanner", **changes: Any) -> Bundle:
    record = StepRecord(
        pipeline=PIPELINE,
        stage="build",
        step="extra",
        admission=None,
        spec=Digest.of(b"extra"),
        result=StepResult.PASSED,
        started_at=NOW - timedelta(hours=6),
        finished_at=NOW - timedelta(hours=6),
    )
    return signer_of(by).sign(step_statement(replace(record, **changes), commit))


def provenance(commit: Commit | None = COMMIT, *, by: str = "ci-build") -> BuiltFrom:
    return BuiltFrom(commit=commit, signer=identity(by), record=Digest.of(f"{commit} {by}".encode()))


class Case:
    """Build with one step more; the image goes to test, or, with `named`, on to prod."""

    def __init__(self, step: ExpectedStep) -> None:
        self.stages = (replace(STAGES[0], steps=(step,)), replace(STAGES[1], steps=()), STAGES[2])
        self.pieces = Pieces()
        self.pieces.admit("build", by="ci-build")

    def chain(
        self,
        extra: Sequence[Bundle] = (),
        *,
        built: Sequence[BuiltFrom] = (),
        on_source: Sequence[Bundle] = (),
        named: Digest | None = None,
        times: Sequence[datetime | None] = (),
    ) -> Chain:
        if named is not None:
            before = Predecessor(
                stage="build", record=self.pieces.bundles["build"].record, steps=(StepLink(name="extra", record=named),)
            )
            self.pieces.admit("test", by="ci-promote", rests_on=("build",), predecessors=(before,))
        said = records([*self.pieces.bundles.values(), *extra])
        if times:
            proved = {bundle.record: time for bundle, time in zip(extra, times, strict=True)}
            said = replace(said, verified=tuple(replace(it, proved_time=proved.get(it.record)) for it in said.verified))
        done = tuple(item for bundle in on_source for item in believed(bundle))
        return verify_chain(
            replace(said, built_from=tuple(built), on_source=done),
            after=("build",) if named is None else ("test",),
            any_of=False,
            stages=self.stages,
            lineage=LINEAGE,
            now=NOW,
        )

    def refused(self, *arguments: Any, **options: Any) -> list[str]:
        with pytest.raises(ChainBroken) as broken:
            self.chain(*arguments, **options)
        return [reason.code for reason in broken.value.reasons]


def believed(bundle: Bundle) -> tuple[Verified, ...]:
    commit = next(c for c in (COMMIT, OTHER_COMMIT) if c.hex.encode() in bundle.envelope.payload)
    verified, rejected = sift(IdentityVerifier([identity(name) for name in SIGNERS], NOW), (bundle,), commit)
    assert not rejected
    return verified


@pytest.fixture
def foreign() -> Case:
    return Case(ExpectedStep(name="extra", by=role("scanner"), spec=Digest.of(b"extra"), attested=REVIEW))


@pytest.fixture
def tested() -> Case:
    return Case(ExpectedStep(name="extra", by=role("scanner"), spec=Digest.of(b"extra"), attested=TESTED))


@pytest.fixture
def source() -> Case:
    return Case(ExpectedStep(name="extra", by=role("scanner"), spec=Digest.of(b"extra"), builders=role("ci-build")))


# What others attested


def test_what_an_allowed_signer_attested_is_the_step_and_is_named_by_its_digest(foreign: Case) -> None:
    review = attested()
    (proof,) = foreign.chain([review]).links[0].steps
    assert (proof.name, proof.verified.record, proof.step) == ("extra", review.record, None)


@pytest.mark.parametrize(
    ("bundles", "codes"),
    [
        ([], ["step-missing"]),
        ([attested(by="ci-build")], ["signer-not-for-stage"]),
        ([attested("https://example.com/review/v2")], ["step-missing"]),
        ([attested("https://example.com/Review/v1")], ["step-missing"]),
        ([attested(about=OTHER_IMAGE)], ["subject-mismatch", "step-missing"]),
        ([attested(by="stranger")], ["signer-unknown", "step-missing"]),
    ],
    ids=["absent", "another's", "another type", "a type in other letters", "another image", "a stranger's"],
)
def test_anything_else_is_not_the_step(foreign: Case, bundles: list[Bundle], codes: list[str]) -> None:
    assert foreign.refused(bundles) == codes


def test_a_malformed_attestation_is_told_by_its_own_reason(foreign: Case) -> None:
    twice = {"_type": "https://in-toto.io/Statement/v1", "predicateType": REVIEW, "subject": [], "predicate": {}}
    bad = attested()
    assert foreign.refused([_resigned(bad, twice)]) == ["payload-malformed", "step-missing"]


def _resigned(bundle: Bundle, value: dict[str, Any]) -> Bundle:
    """The same signer over a statement that can't be read."""
    import json

    statement = Statement.from_bytes(bundle.envelope.payload)
    return signer_of("scanner").sign(replace(statement, content=json.dumps(value).encode()))


def test_t093_a_later_admission_demands_exactly_the_attestation_that_it_names(foreign: Case) -> None:
    several = [attested(said=str(number)) for number in range(3)]
    for one in several:
        assert foreign.chain(several, named=one.record).links[0].steps[0].verified.record == one.record


def test_t093_an_attestation_that_was_exchanged_since_is_refused(foreign: Case) -> None:
    first, second = attested(), attested(said="fine again")
    assert foreign.refused([second], named=first.record) == ["predecessor-changed"]


def test_t093_an_attestation_that_is_gone_is_refused(foreign: Case) -> None:
    assert foreign.refused([], named=attested().record) == ["predecessor-missing"]


def test_of_several_attestations_the_one_proven_to_be_the_newest_is_named(foreign: Case) -> None:
    bundles = [attested(said=str(number)) for number in range(3)]
    times = [NOW - timedelta(hours=2), NOW - timedelta(hours=1), None]
    assert foreign.chain(bundles, times=times).links[0].steps[0].verified.record == bundles[1].record
    assert foreign.chain(bundles[::-1], times=times[::-1]).links[0].steps[0].verified.record == bundles[1].record


@pytest.mark.parametrize("result", ["FAILED", "passed", None, 1])
def test_a_result_that_is_no_success_is_none(tested: Case, result: object) -> None:
    assert tested.refused([attested(TESTED, result=result)]) == ["step-failed"]


@pytest.mark.parametrize("result", ["PASSED", "WARNED"])
def test_a_result_that_is_a_success_is_one(tested: Case, result: str) -> None:
    assert tested.chain([attested(TESTED, result=result)]).links[0].steps[0].name == "extra"


@pytest.mark.parametrize(
    ("failed_at", "passed_at", "stands"),
    [(-2, -1, True), (-1, -2, False), (-1, -1, False), (None, -1, False), (-1, None, False), (None, None, False)],
)
def test_a_failure_blocks_until_a_success_is_proven_to_be_later(
    tested: Case, failed_at: int | None, passed_at: int | None, *, stands: bool
) -> None:
    bundles = [attested(TESTED, result="FAILED"), attested(TESTED, result="PASSED")]
    times = [None if hours is None else NOW + timedelta(hours=hours) for hours in (failed_at, passed_at)]
    if stands:
        assert tested.chain(bundles, times=times).links[0].steps[0].verified.record == bundles[1].record
    else:
        assert tested.refused(bundles, times=times) == ["step-failed"]


def test_a_failure_after_the_admission_blocks_what_rests_on_it(tested: Case) -> None:
    passed, failed = attested(TESTED, result="PASSED"), attested(TESTED, result="FAILED")
    assert tested.refused([passed, failed], named=passed.record) == ["step-failed"]


WRONG = (
    attested(by="ci-build"),
    attested("https://example.com/review/v2"),
    attested(about=OTHER_IMAGE),
    attested(by="stranger"),
    attested(TESTED, result="FAILED"),
    on_commit(),
)


@settings(max_examples=60)
@given(wrong=st.lists(st.sampled_from(WRONG), unique_by=lambda bundle: bundle.record), data=st.data())
def test_what_is_not_the_step_changes_no_decision_in_any_number_and_order(
    wrong: list[Bundle], data: st.DataObject
) -> None:
    """Adding unrelated referrers never changes a decision, and their order never matters."""
    case = Case(ExpectedStep(name="extra", by=role("scanner"), spec=Digest.of(b"extra"), attested=REVIEW))
    right = attested()
    order = data.draw(st.permutations([right, *wrong]))
    assert case.chain(order).links[0].steps[0].verified.record == right.record
    assert case.refused(wrong)[-1] in ("step-missing", "signer-not-for-stage")


# What was done on the source


def test_a_step_on_the_commit_that_provenance_names_is_the_step(source: Case) -> None:
    done = on_commit()
    (proof,) = source.chain(built=[provenance()], on_source=[done]).links[0].steps
    assert proof.verified.record == done.record
    assert proof.step is not None
    assert proof.step.commit == COMMIT


@pytest.mark.parametrize(
    ("built", "done", "codes"),
    [
        ([], [on_commit()], ["attestation-missing"]),
        ([provenance(by="scanner")], [on_commit()], ["attestation-missing"]),
        ([provenance(OTHER_COMMIT)], [on_commit()], ["provenance-mismatch"]),
        ([provenance(), provenance(OTHER_COMMIT)], [on_commit()], ["provenance-mismatch"]),
        ([provenance(None)], [on_commit()], ["provenance-mismatch"]),
        ([provenance(None)], [], ["provenance-mismatch"]),
        ([provenance(), provenance(None)], [on_commit()], ["provenance-mismatch"]),
        ([provenance()], [], ["step-missing"]),
        ([provenance()], [on_commit(by="ci-build")], ["signer-not-for-stage"]),
        ([provenance()], [on_commit(result=StepResult.FAILED)], ["step-failed"]),
        ([provenance()], [on_commit(spec=Digest.of(b"easier"))], ["step-changed"]),
        ([provenance()], [on_commit(), on_commit(finished_at=NOW - timedelta(hours=5))], ["step-ambiguous"]),
        ([provenance()], [on_commit(finished_at=NOW + timedelta(hours=1))], ["clock-skew"]),
        ([provenance()], [on_commit(pipeline=replace(PIPELINE, name="other"))], ["pipeline-mismatch"]),
        ([provenance()], [on_commit(stage="test")], ["step-missing"]),
    ],
)
def test_t112_a_step_on_another_commit_or_without_provenance_does_not_count(
    source: Case, built: list[BuiltFrom], done: list[Bundle], codes: list[str]
) -> None:
    assert source.refused(built=built, on_source=done) == codes


def test_records_about_other_commits_hide_none(source: Case) -> None:
    right, wrong = on_commit(), on_commit(OTHER_COMMIT, result=StepResult.FAILED)
    assert (
        source.chain(built=[provenance()], on_source=[wrong, right]).links[0].steps[0].verified.record == right.record
    )


def test_a_provenance_by_nobody_who_builds_changes_nothing(source: Case) -> None:
    built = [provenance(), provenance(OTHER_COMMIT, by="scanner")]
    assert source.chain(built=built, on_source=[on_commit()]).links[0].steps[0].name == "extra"


def test_a_step_that_was_done_again_on_the_commit_replaces_the_failure(source: Case) -> None:
    failed = on_commit(result=StepResult.FAILED)
    again = on_commit(supersedes=(failed.record,), finished_at=NOW - timedelta(hours=5))
    assert (
        source.chain(built=[provenance()], on_source=[failed, again]).links[0].steps[0].verified.record == again.record
    )


def test_a_failure_on_the_commit_after_the_admission_blocks_what_rests_on_it(source: Case) -> None:
    passed = on_commit()
    failed = on_commit(supersedes=(passed.record,), finished_at=NOW - timedelta(hours=1), result=StepResult.FAILED)
    options = {"built": [provenance()], "named": passed.record}
    assert source.refused(on_source=[passed, failed], **options) == ["step-failed"]


def test_t093_a_record_on_the_commit_that_is_named_and_gone_is_refused(source: Case) -> None:
    codes = source.refused(built=[provenance()], on_source=[], named=on_commit().record)
    assert codes == ["predecessor-missing"]


def test_a_record_about_the_image_does_not_count_for_a_step_on_the_source(source: Case) -> None:
    source.pieces.step("build", "extra", by="scanner", spec=Digest.of(b"extra"))
    assert source.refused(built=[provenance()]) == ["step-missing"]


def test_a_record_about_a_commit_does_not_count_for_a_step_on_the_image() -> None:
    case = Case(ExpectedStep(name="extra", by=role("scanner"), spec=Digest.of(b"extra")))
    assert case.refused(built=[provenance()], on_source=[on_commit()]) == ["step-missing"]
