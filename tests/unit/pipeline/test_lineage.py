"""The lineage of a definition is what its owners have signed: itself, and the one that it replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attestations.errors import AttestationError
from attestations.lineage import SignedDefinition, verify_lineage
from attestations.records.definition import DefinitionRecord
from registries.digest import Digest

CURRENT, BEFORE, OTHER = (Digest.of(content) for content in (b"current", b"before", b"other"))


def record(version: int, previous: Digest | None) -> DefinitionRecord:
    return DefinitionRecord(pipeline="shop-api", version=version, previous=previous, materials=())


def test_the_first_definition_is_its_own_lineage() -> None:
    lineage = verify_lineage(CURRENT, record(1, None))
    assert (lineage.pipeline, lineage.version, lineage.current, lineage.ancestors) == ("shop-api", 1, CURRENT, ())
    assert lineage.includes(CURRENT)
    assert not lineage.includes(BEFORE)


def test_a_later_definition_includes_the_one_that_it_replaced_and_no_other() -> None:
    lineage = verify_lineage(CURRENT, record(7, BEFORE))
    assert lineage.version == 7
    assert lineage.includes(CURRENT)
    assert lineage.includes(BEFORE)
    assert not lineage.includes(OTHER)


@pytest.mark.parametrize(("version", "previous"), [(2, None), (1, BEFORE), (0, BEFORE)])
def test_a_version_that_does_not_fit_its_past_is_refused(version: int, previous: Digest | None) -> None:
    with pytest.raises(AttestationError) as error:
        verify_lineage(CURRENT, record(version, previous))
    assert error.value.code == "predicate-incomplete"


FIRST, SECOND, THIRD, FOURTH = (Digest.of(b"version %d" % number) for number in (1, 2, 3, 4))
HISTORY = (
    SignedDefinition(digest=THIRD, record=record(3, SECOND)),
    SignedDefinition(digest=FIRST, record=record(1, None)),
    SignedDefinition(digest=SECOND, record=record(2, FIRST)),
)


def test_a_lineage_goes_back_through_everything_that_was_signed_in_whatever_order() -> None:
    for signed in (HISTORY, HISTORY[::-1]):
        lineage = verify_lineage(FOURTH, record(4, THIRD), signed)
        assert (lineage.ancestors, lineage.unknown_before) == ((THIRD, SECOND, FIRST), None)


def test_a_lineage_ends_where_nobody_knows_what_was_replaced_before() -> None:
    lineage = verify_lineage(FOURTH, record(4, THIRD), (HISTORY[0], HISTORY[1]))
    assert (lineage.ancestors, lineage.unknown_before) == ((THIRD, SECOND), SECOND)
    assert not lineage.includes(FIRST)


def test_a_sibling_and_another_pipeline_are_no_ancestors() -> None:
    sibling = SignedDefinition(digest=OTHER, record=record(3, SECOND))
    foreign = SignedDefinition(digest=THIRD, record=replace(record(3, OTHER), pipeline="other"))
    lineage = verify_lineage(FOURTH, record(4, THIRD), (*HISTORY, sibling, foreign))
    assert lineage.ancestors == (THIRD, SECOND, FIRST)


def test_two_answers_about_one_definition_are_none() -> None:
    other = SignedDefinition(digest=THIRD, record=record(3, OTHER))
    lineage = verify_lineage(FOURTH, record(4, THIRD), (*HISTORY, other))
    assert lineage.ancestors == (THIRD,)


@pytest.mark.parametrize(
    ("current", "signed"),
    [
        (record(3, SECOND), (SignedDefinition(digest=FOURTH, record=record(4, THIRD)),)),
        (record(4, THIRD), (SignedDefinition(digest=THIRD, record=record(4, SECOND)),)),
    ],
    ids=["a later one was signed", "it replaced one of the same version"],
)
def test_going_back_to_an_earlier_definition_is_refused(
    current: DefinitionRecord, signed: tuple[SignedDefinition, ...]
) -> None:
    with pytest.raises(AttestationError) as error:
        verify_lineage(THIRD, current, signed)
    assert error.value.code == "definition-rolled-back"


def test_an_ancestor_whose_past_does_not_fit_is_refused() -> None:
    with pytest.raises(AttestationError) as error:
        verify_lineage(FOURTH, record(4, THIRD), (SignedDefinition(digest=THIRD, record=record(3, None)),))
    assert error.value.code == "predicate-incomplete"
