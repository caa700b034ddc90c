"""The admission record: this digest was admitted to this stage, on these grounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from attestations.fields import Fields, choice, count, digest, rfc3339, text, time
from attestations.records.own import own
from attestations.statement import UNNAMED, Statement
from registries.digest import Digest

ADMISSION: Final = "https://samebits.dev/attestation/admission/v1"


_MEMBERS: Final = (
    "pipeline",
    "stage",
    "kind",
    "predecessors",
    "gates",
    "approvals",
    "source",
    "destination",
    "copied",
    "by",
    "decidedAt",
    "tool",
)
_GATE: Final = ("gate", "verdict", "counts", "evidence", "newestDataDate")


class AdmissionKind(StrEnum):
    """How an image came to be admitted."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    BREAK_GLASS = "break-glass"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineReference:
    """Which pipeline, and which of its definitions: `definition` is the digest of the definition file's bytes."""

    name: str
    definition: Digest
    version: int

    @classmethod
    def read(cls, value: Any, path: str) -> PipelineReference:
        """From a predicate."""
        found = Fields.of(value, path, ("name", "definition", "version"))
        return cls(
            name=found.one("name", text),
            definition=found.one("definition", digest),
            version=found.one("version", count),
        )

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {"name": self.name, "definition": str(self.definition), "version": self.version}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLink:
    """A step and the record that it rests on."""

    name: str
    record: Digest

    @classmethod
    def read(cls, value: Any, path: str) -> StepLink:
        """From a predicate."""
        found = Fields.of(value, path, ("name", "record"))
        return cls(name=found.one("name", text), record=found.one("record", digest))

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {"name": self.name, "record": str(self.record)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """A stage before, the admission record it rests on there, and the step records of that stage."""

    stage: str
    record: Digest
    steps: tuple[StepLink, ...] = ()

    @classmethod
    def read(cls, value: Any, path: str) -> Predecessor:
        """From a predicate."""
        found = Fields.of(value, path, ("stage", "record", "steps"))
        return cls(
            stage=found.one("stage", text),
            record=found.one("record", digest),
            steps=found.many("steps", StepLink.read),
        )

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {"stage": self.stage, "record": str(self.record), "steps": [step.json() for step in self.steps]}


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverUsed:
    """A waiver that let a finding stand: its id, the record that gives it, and until when it does."""

    id: str
    record: Digest
    expires: datetime

    @classmethod
    def read(cls, value: Any, path: str) -> WaiverUsed:
        """From a predicate."""
        found = Fields.of(value, path, ("id", "record", "expiresAt"))
        return cls(id=found.one("id", text), record=found.one("record", digest), expires=found.one("expiresAt", time))

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {"id": self.id, "record": str(self.record), "expiresAt": rfc3339(self.expires)}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """What a gate said, with the evidence and waivers it rested on, by digest.

    `waiversUsed` is written where there are any: a record without it, as older ones are, used none.
    """

    gate: str
    verdict: str
    counts: tuple[tuple[str, int], ...] = ()
    evidence: tuple[Digest, ...] = ()
    newest_data: datetime | None = None
    waivers: tuple[WaiverUsed, ...] = ()

    @classmethod
    def read(cls, value: Any, path: str) -> GateOutcome:
        """From a predicate."""
        used = isinstance(value, dict) and "waiversUsed" in value
        found = Fields.of(value, path, (*_GATE, "waiversUsed") if used else _GATE)
        return cls(
            gate=found.one("gate", text),
            verdict=found.one("verdict", text),
            counts=found.named("counts", count),
            evidence=found.many("evidence", digest),
            newest_data=found.optional("newestDataDate", time),
            waivers=found.many("waiversUsed", WaiverUsed.read) if used else (),
        )

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {
            "gate": self.gate,
            "verdict": self.verdict,
            "counts": dict(self.counts),
            "evidence": [str(record) for record in self.evidence],
            "newestDataDate": None if self.newest_data is None else rfc3339(self.newest_data),
            **({"waiversUsed": [waiver.json() for waiver in self.waivers]} if self.waivers else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What moved: numbers of manifests and blobs, bytes, and how many blobs were mounted instead."""

    manifests: int
    blobs: int
    bytes: int
    mounted: int

    @classmethod
    def read(cls, value: Any, path: str) -> Copied:
        """From a predicate."""
        found = Fields.of(value, path, ("manifests", "blobs", "bytes", "mounted"))
        return cls(
            manifests=found.one("manifests", count),
            blobs=found.one("blobs", count),
            bytes=found.one("bytes", count),
            mounted=found.one("mounted", count),
        )

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {"manifests": self.manifests, "blobs": self.blobs, "bytes": self.bytes, "mounted": self.mounted}


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """See design: `admission/v1`. `source` and `destination` are repositories (`host/repository`), without tags."""

    pipeline: PipelineReference
    stage: str
    kind: AdmissionKind
    predecessors: tuple[Predecessor, ...]
    gates: tuple[GateOutcome, ...]
    approvals: tuple[Digest, ...]
    source: str
    destination: str
    copied: Copied
    decided_at: datetime
    by: tuple[tuple[str, str], ...]
    tool: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, statement: Statement) -> Admission:
        """From a statement that says exactly this and nothing more; see `records.own.own` for the refusals."""
        found = own(statement, ADMISSION, _MEMBERS)
        return cls(
            pipeline=found.one("pipeline", PipelineReference.read),
            stage=found.one("stage", text),
            kind=found.one("kind", choice(AdmissionKind)),
            predecessors=found.many("predecessors", Predecessor.read),
            gates=found.many("gates", GateOutcome.read),
            approvals=found.many("approvals", digest),
            source=found.one("source", text),
            destination=found.one("destination", text),
            copied=found.one("copied", Copied.read),
            by=found.named("by", text),
            decided_at=found.one("decidedAt", time),
            tool=found.named("tool", text),
        )

    def json(self) -> dict[str, Any]:
        """The predicate."""
        return {
            "pipeline": self.pipeline.json(),
            "stage": self.stage,
            "kind": self.kind.value,
            "predecessors": [predecessor.json() for predecessor in self.predecessors],
            "gates": [gate.json() for gate in self.gates],
            "approvals": [str(record) for record in self.approvals],
            "source": self.source,
            "destination": self.destination,
            "copied": self.copied.json(),
            "by": dict(self.by),
            "decidedAt": rfc3339(self.decided_at),
            "tool": dict(self.tool),
        }


def admission_statement(record: Admission, subject: Digest, *, name: str = UNNAMED) -> Statement:
    """What is signed: this record about the image `subject`. Times are written to the second."""
    statement = Statement.about(subject, predicate_type=ADMISSION, predicate=record.json(), name=name)
    Admission.read(statement)  # what would not be read is not signed
    return statement
