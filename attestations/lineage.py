"""The lineage of a definition: the definition in force, and those that it replaced, each named by digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attestations.errors import AttestationError
from attestations.records.definition import DefinitionRecord
from registries.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDefinition:
    """What enough owners have signed about one definition file, which need not be there any more."""

    digest: Digest
    record: DefinitionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Which definitions' records count. `ancestors` are those that the one in force descends from, the latest first.

    `unknown_before` is the earliest of them when no signature about it is known: what it replaced, if anything, is not.
    """

    pipeline: str
    version: int
    current: Digest
    ancestors: tuple[Digest, ...] = ()
    unknown_before: Digest | None = None

    def includes(self, definition: Digest) -> bool:
        """Whether a record made under this definition belongs to the pipeline as it is now."""
        return definition == self.current or definition in self.ancestors


def verify_lineage(definition: Digest, record: DefinitionRecord, signed: Sequence[SignedDefinition] = ()) -> Lineage:
    """The lineage that the owners of a definition have signed, back through all that `signed` knows.

    Each definition vouches for the one that it names as `previous`, and for nothing else: a sibling of the same
    version is no ancestor. What was replaced before is found by its digest among `signed`, in any order.

    Raises `predicate-incomplete` for a later version that names no previous one or a first one that does, and
    `definition-rolled-back` where a later version was signed, or an earlier one replaced it.
    """
    _check_past(record)
    own = [one for one in signed if one.record.pipeline == record.pipeline]
    later = max((one for one in own if one.record.version > record.version), key=_by_version, default=None)
    if later is not None:
        raise AttestationError(
            "definition-rolled-back",
            f"version {record.version} is in force, but version {later.record.version} ({later.digest}) was signed",
            hint="use that one; what it should not have changed, a version after it changes back",
        )
    ancestors = tuple(_past(record, own))
    unknown = bool(ancestors) and not any(one.digest == ancestors[-1] for one in own)
    return Lineage(
        pipeline=record.pipeline,
        version=record.version,
        current=definition,
        ancestors=ancestors,
        unknown_before=ancestors[-1] if unknown else None,
    )


def _past(record: DefinitionRecord, signed: Sequence[SignedDefinition]) -> Iterator[Digest]:
    """Every definition before; the versions fall, so it ends. Two answers about one definition are none."""
    known: dict[Digest, list[DefinitionRecord]] = {}
    for one in signed:
        known.setdefault(one.digest, []).append(one.record)
    while record.previous is not None:
        yield record.previous
        told = known.get(record.previous, [])
        if len({(one.version, one.previous) for one in told}) != 1:
            return
        before = told[0]
        _check_past(before)
        if before.version >= record.version:
            message = f"version {record.version} says that it replaced version {before.version} ({record.previous})"
            raise AttestationError("definition-rolled-back", message)
        record = before


def _check_past(record: DefinitionRecord) -> None:
    if (record.version > 1) != (record.previous is not None):
        named = "names none" if record.previous is None else f"names {record.previous}"
        raise AttestationError(
            "predicate-incomplete", f"version {record.version} of {record.pipeline} {named} as the one it replaced"
        )


def _by_version(one: SignedDefinition) -> tuple[int, Digest]:
    return one.record.version, one.digest
