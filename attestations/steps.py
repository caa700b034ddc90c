"""What a step of a stage is proven by: our record about the image, one about its source commit, or others' attestation.

A step on the source is done before the image exists. Its record is about a commit, and counts for an image only where
every provenance of that image by an allowed builder says that it was built from that one commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from attestations.commit import Commit
from attestations.identity import Identity, Role
from attestations.records.step import ReportLink, StepRecord
from attestations.verify import Verified
from registries.digest import Digest
from registries.errors import Reason

# Source: in-toto attestation framework, spec/predicates/test-result.md.
_RESULTS: Final = MappingProxyType(
    {"https://in-toto.io/attestation/test-result/v0.1": ("result", frozenset({"PASSED", "WARNED"}))}
)
"""The predicate types that say how it ended: the member that does, and its words for a success."""

_UNPROVEN: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedStep:
    """A step that the definition lists in a stage, whose signers may do it, and the digest of its definition.

    `attested` is the predicate type of the attestation of others that is the step. `builders` are those whose
    provenance ties a step on the source to the image.
    """

    name: str
    by: Role
    spec: Digest
    attested: str = ""
    builders: Role | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProof:
    """What a step rests on now, by one of the step's role: a passing record, or an attestation where `step` is None."""

    name: str
    verified: Verified
    step: StepRecord | None = None

    @property
    def finished_at(self) -> datetime | None:
        """When it was done: as its record says; of an attestation, when it is proven to have been signed."""
        return self.verified.proved_time if self.step is None else self.step.finished_at

    @property
    def reports(self) -> tuple[ReportLink, ...]:
        """The reports that were recorded with it."""
        return () if self.step is None else self.step.reports


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltFrom:
    """What one provenance of the image says: the commit, or None where it does not name exactly one."""

    commit: Commit | None
    signer: Identity
    record: Digest


def source_of(built: Sequence[BuiltFrom], builders: Role, where: str) -> Commit | Reason:
    """The one commit that the image was built from, or why that is not known."""
    counted = [one for one in built if builders.admits(one.signer)]
    if not counted:
        others = ", ".join(sorted({one.signer.name for one in built}))
        but = f"; there is one by {others}" if others else ""
        message = f"no provenance by {builders} says from which commit the image was built{but}"
        hint = "have the builder attest SLSA provenance about the image"
        return Reason("attestation-missing", message, where, hint)
    named = {one.commit for one in counted}
    commit = counted[0].commit
    if len(named) > 1 or commit is None:
        told = ", ".join(sorted("no single commit" if one is None else str(one) for one in named))
        records = ", ".join(sorted(str(one.record) for one in counted))
        return Reason("provenance-mismatch", f"the image's provenance names {told} ({records})", where)
    return commit


def attested_step(
    step: ExpectedStep, counted: Sequence[Verified], where: str, *, named: Digest | None
) -> StepProof | Reason:
    """The attestation that the step rests on: that which a later admission names, else the newest.

    One that says that it failed blocks, unless another one by the role is proven to be of a later time.
    """
    failed = [item for item in counted if _failed(item)]
    passed = [item for item in counted if not _failed(item) and named in (None, item.record)]
    if passed:
        newest = max(passed, key=lambda item: (item.proved_time or _UNPROVEN, item.record))
        latest = max((item.proved_time for item in counted if item not in failed and item.proved_time), default=None)
        failed = [item for item in failed if item.proved_time is None or latest is None or item.proved_time >= latest]
        if not failed:
            return StepProof(name=step.name, verified=newest)
    records = ", ".join(sorted(str(item.record) for item in failed))
    hint = "attest it again, with a time that a log or authority proves, once it passes"
    return Reason("step-failed", f"{records} says that it failed, and nothing proves that it passed later", where, hint)


def _failed(item: Verified) -> bool:
    """Whether it says anything but a success, where its type has a word for that."""
    member, words = _RESULTS.get(item.statement.predicate_type, ("", frozenset()))
    return bool(member) and item.statement.predicate.get(member) not in words


def not_of_the_source(done: Iterable[StepRecord], commit: Commit, where: str) -> tuple[Reason, ...]:
    """Why records about other commits do not count."""
    others = sorted({str(record.commit) for record in done if record.commit != commit})
    return tuple(
        Reason("provenance-mismatch", f"was done on {other}, but the image was built from {commit}", where)
        for other in others
    )
