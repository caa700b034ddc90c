"""The lineage of a definition: the definition in force, and those that it replaced, each named by digest."""

from __future__ import annotations

from dataclasses import dataclass

from attestations.errors import AttestationError
from attestations.records.definition import DefinitionRecord
from registries.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Which definitions' records count. `ancestors` are definitions that the one in force descends from."""

    pipeline: str
    version: int
    current: Digest
    ancestors: tuple[Digest, ...] = ()

    def includes(self, definition: Digest) -> bool:
        """Whether a record made under this definition belongs to the pipeline as it is now."""
        return definition == self.current or definition in self.ancestors


def verify_lineage(definition: Digest, record: DefinitionRecord) -> Lineage:
    """The lineage that the owners of a definition have signed: itself, and the definition that it replaced.

    NOTE: what was replaced before that is not in it; records made two definitions ago need a promotion in between.
    Raises `predicate-incomplete` for a later version that names no previous one, or a first one that does.
    """
    if (record.version > 1) != (record.previous is not None):
        named = "names none" if record.previous is None else f"names {record.previous}"
        raise AttestationError(
            "predicate-incomplete", f"version {record.version} of {record.pipeline} {named} as the one it replaced"
        )
    return Lineage(
        pipeline=record.pipeline,
        version=record.version,
        current=definition,
        ancestors=() if record.previous is None else (record.previous,),
    )
