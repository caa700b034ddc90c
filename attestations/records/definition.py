"""The definition record: its owners stand behind this definition file and the key files that it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from attestations.fields import Fields, count, digest, text
from attestations.records.own import own
from attestations.statement import UNNAMED, Statement
from registries.digest import Digest

DEFINITION: Final = "https://samebits.dev/attestation/definition/v1"

_MEMBERS: Final = ("pipeline", "version", "previous", "materials")


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionRecord:
    """See design: `definition/v1`. The subject is the SHA-256 of the definition file's exact bytes.

    `previous` is the digest of the definition that this one replaces, None for the first. `materials` are the files
    that the definition names, each by its path as written there and the digest of its bytes.
    """

    pipeline: str
    version: int
    previous: Digest | None
    materials: tuple[tuple[str, Digest], ...]

    @classmethod
    def read(cls, statement: Statement) -> DefinitionRecord:
        """From a statement that says exactly this and nothing more; see `records.own.own` for the refusals."""
        found = own(statement, DEFINITION, _MEMBERS)
        return cls(
            pipeline=found.one("pipeline", text),
            version=found.one("version", count),
            previous=found.optional("previous", digest),
            materials=found.many("materials", _material),
        )

    def json(self) -> dict[str, Any]:
        """The predicate."""
        return {
            "pipeline": self.pipeline,
            "version": self.version,
            "previous": None if self.previous is None else str(self.previous),
            "materials": [{"path": path, "digest": str(content)} for path, content in self.materials],
        }


def definition_statement(record: DefinitionRecord, subject: Digest, *, name: str = UNNAMED) -> Statement:
    """What is signed: this record about the definition file whose bytes are `subject`."""
    statement = Statement.about(subject, predicate_type=DEFINITION, predicate=record.json(), name=name)
    DefinitionRecord.read(statement)  # what would not be read is not signed
    return statement


def _material(value: Any, path: str) -> tuple[str, Digest]:
    found = Fields.of(value, path, ("path", "digest"))
    return found.one("path", text), found.one("digest", digest)
