"""What ties an image to its source: the provenance that hangs on it, and the step records about a commit beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attestations.bundle import Bundle
from attestations.commit import Commit
from attestations.errors import AttestationError
from attestations.records.step import STEP
from attestations.statement import Statement
from attestations.steps import BuiltFrom
from attestations.verify import Rejected, Verified, Verifier, sift
from pipeline.definition import Pipeline
from registries.digest import Digest
from registries.errors import ContentError
from stages.reports import slsa


def wanted(pipeline: Pipeline) -> bool:
    """Whether the pipeline has any step on the source."""
    return any(step.builders is not None for stage in pipeline.definition.stages for step in stage.steps)


def commit_of(bundle: Bundle) -> Commit | None:
    """The commit that a step record in this bundle says that it is about; nothing of it is believed yet."""
    try:
        statement = Statement.from_bytes(bundle.envelope.payload)
        commits = {subject.digests[Commit.algorithm] for subject in statement.subjects}
        return Commit(*commits) if statement.predicate_type == STEP and len(commits) == 1 else None
    except (AttestationError, ContentError, KeyError):
        return None


def records_on_source(
    verifier: Verifier, bundles: Mapping[Digest, Bundle], rejected: Sequence[Rejected]
) -> tuple[tuple[Verified, ...], tuple[Rejected, ...]]:
    """Of what is not believed about the image: the step records that are believed about their commit, and the rest."""
    believed: list[Verified] = []
    left: list[Rejected] = []
    for item in rejected:
        bundle = bundles.get(item.record)
        commit = None if bundle is None else commit_of(bundle)
        if bundle is None or commit is None:
            left.append(item)
            continue
        verified, refused = sift(verifier, (bundle,), commit)
        believed.extend(verified)
        left.extend(refused)
    return tuple(believed), tuple(left)


def built_from(said: Iterable[Verified]) -> Iterator[BuiltFrom]:
    """What each provenance of the image says; one that can't be read names no commit."""
    for item in said:
        if item.claim is None and item.statement.predicate_type in slsa.VERSIONS:
            yield BuiltFrom(commit=_named(item.statement), signer=item.signer, record=item.record)


def _named(statement: Statement) -> Commit | None:
    """The one commit, where the predicate is what the statement says: of its version, and of no subject of its own."""
    try:
        provenance = slsa.read(statement.predicate_content)
        commits = {source.commit for source in provenance.sources}
        as_signed = slsa.VERSIONS[statement.predicate_type] == provenance.version and not provenance.about
        return Commit(*commits) if as_signed and len(commits) == 1 else None
    except ContentError:
        return None
