"""A predicate by itself, or within the in-toto statement that somebody left unsigned in a file."""

from __future__ import annotations

from collections.abc import Container

from attestations.statement import STATEMENT_V01, STATEMENT_V1
from registries.digest import Digest
from registries.errors import ContentError
from stages.report import malformed
from stages.reports.fields import Fields, digests


def unwrapped(document: Fields, types: Container[str]) -> tuple[Fields, tuple[Digest, ...]]:
    """The predicate, and the digests that its statement names as subjects (none for a predicate alone).

    A statement of another type is `evidence-malformed`, one about nothing `subject-mismatch`.
    """
    if "_type" not in document.value:
        return document, ()
    if document.text("_type") not in (STATEMENT_V1, STATEMENT_V01):
        raise malformed(f"`_type` is {document.text('_type')!r:.80}")
    if document.text("predicateType") not in types:
        raise malformed(f"a statement of type {document.text('predicateType')!r:.80}")
    about = digests(
        *(
            f"{name}:{value}"
            for subject in document.objects("subject")
            for name, value in subject.object("digest").value.items()
        )
    )
    if not about:
        raise ContentError("subject-mismatch", "the statement names no digest as its subject")
    return document.object("predicate"), about
