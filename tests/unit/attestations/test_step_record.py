"""A step record: what came later may be left out, and a step on a commit is none on an image."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attestations.commit import Commit
from attestations.errors import AttestationError
from attestations.records.step import STEP, FileLink, InImage, StepRecord, step_statement
from attestations.statement import Statement
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
