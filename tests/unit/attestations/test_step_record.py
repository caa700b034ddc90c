"""A step record: what came later may be left out, and a step on a commit is none on an image."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attestations.commit import Commit
from attestations.errors import AttestationError
from attestations.records.step import STEP, FileLink, InImage, StepRecord, step_statement
from attestations.signers.identities import IdentityVerifier
from attestations.statement import Statement
from attestations.verify import sift
from tests.chains import NOW, identity, signer
from tests.unit.attestations.samples import IMAGE, OTHER, STEPPED


def test_a_step_record_without_what_came_later_is_read_and_written_as_before() -> None:
    assert not {"reason", "program", "environment", "inImage", "streams", "produced"} & set(
        step_statement(STEPPED, IMAGE).predicate
    )


def test_what_came_later_is_read_as_it_was_written() -> None:
    link = FileLink(name="stdout", digest=OTHER, size=3)
    whole = replace(
        STEPPED,
        reason="it ended with exit code 1",
        program=link,
        environment=("CI",),
        in_image=InImage(network=True, writable=False),
        streams=(link,),
        produced=(link,),
    )
    statement = step_statement(whole, IMAGE)
    assert StepRecord.read(statement) == whole
    for member, wrong in (("reason", 1), ("program", []), ("environment", "CI"), ("inImage", {"network": True})):
        bent = Statement.about(IMAGE, predicate_type=STEP, predicate={**statement.predicate, member: wrong})
        with pytest.raises(AttestationError) as error:
            StepRecord.read(bent)
        assert error.value.code in ("payload-malformed", "predicate-incomplete"), member


def test_a_step_on_a_commit_names_no_admission_and_every_other_one_does() -> None:
    commit = Commit("a" * 40)
    on_source = replace(STEPPED, admission=None)
    assert StepRecord.read(step_statement(on_source, commit)) == replace(on_source, commit=commit)
    for record, subject in ((STEPPED, commit), (on_source, IMAGE)):
        with pytest.raises(AttestationError) as error:
            step_statement(record, subject)
        assert error.value.code == "payload-malformed"


@pytest.mark.parametrize("name", ["abc", "A" * 40, "a" * 41])
def test_a_commit_that_is_no_full_id_is_refused(name: str) -> None:
    value = json.loads(step_statement(replace(STEPPED, admission=None), Commit("a" * 40)).content)
    value["subject"][0]["digest"]["gitCommit"] = name
    with pytest.raises(AttestationError) as error:
        StepRecord.read(Statement.from_bytes(json.dumps(value).encode()))
    assert error.value.code == "digest-malformed"


def test_of_a_commit_only_what_a_step_records_is_read() -> None:
    commit = Commit("a" * 40)
    for predicate_type, code in ((STEP, ""), ("https://example.com/review/v1", "predicate-type-mismatch")):
        predicate = step_statement(replace(STEPPED, admission=None), commit).predicate
        bundle = signer("scanner").sign(Statement.about(commit, predicate_type=predicate_type, predicate=predicate))
        verified, rejected = sift(IdentityVerifier([identity("scanner")], NOW), (bundle,), commit)
        assert [item.reason.code for item in rejected] == ([code] if code else [])
        assert len(verified) == (0 if code else 1)


def test_a_record_about_a_commit_is_not_believed_about_an_image_nor_about_another_commit() -> None:
    bundle = signer("scanner").sign(step_statement(replace(STEPPED, admission=None), Commit("a" * 40)))
    for subject, code in ((IMAGE, "algorithm-not-allowed"), (Commit("b" * 40), "subject-mismatch")):
        _, rejected = sift(IdentityVerifier([identity("scanner")], NOW), (bundle,), subject)
        assert [item.reason.code for item in rejected] == [code]
