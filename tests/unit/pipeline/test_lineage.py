"""The lineage of a definition is what its owners have signed: itself, and the one that it replaced."""

from __future__ import annotations

import pytest

from attestations.errors import AttestationError
from attestations.lineage import verify_lineage
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
