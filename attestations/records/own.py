"""What all of samebits' own records have in common: one image, one digest of it, and no field too many or too few."""

from __future__ import annotations

from attestations.errors import AttestationError
from attestations.fields import Fields
from attestations.statement import Statement


def own(statement: Statement, predicate_type: str, members: tuple[str, ...], *, later: tuple[str, ...] = ()) -> Fields:
    """The predicate of a record of exactly this type.

    Raises `predicate-type-mismatch`, `subject-count`, `predicate-incomplete`, `field-unknown`. A second digest beside
    the first would be a second subject, as nothing proves that both are of the same bytes. Members in `later` may be
    left out: records of earlier versions do not have them.
    """
    if statement.predicate_type != predicate_type:
        raise AttestationError(
            "predicate-type-mismatch", f"the statement is of type {statement.predicate_type!r}, not {predicate_type!r}"
        )
    digests = [digest for subject in statement.subjects for digest in subject.digests]
    if len(digests) != 1:
        raise AttestationError("subject-count", f"the record names {len(digests)} digests, there must be exactly one")
    return Fields.of(statement.predicate, "predicate", members, later=later)
