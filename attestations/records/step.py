"""The step record: this step of this stage was done on this digest, after this admission, with this result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from attestations.fields import Fields, choice, count, digest, integer, rfc3339, text, time
from attestations.records.admission import PipelineReference
from attestations.records.own import own
from attestations.statement import UNNAMED, Statement
from registries.digest import Digest

STEP: Final = "https://samebits.dev/attestation/step/v1"

_MEMBERS: Final = (
    "pipeline",
    "stage",
    "step",
    "admission",
    "spec",
    "result",
    "startedAt",
    "finishedAt",
    "command",
    "exitCode",
    "reports",
    "supersedes",
)


class StepResult(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLink:
    """A report that the step made: its format, and the blob that holds its bytes beside the image."""

    format: str
    digest: Digest
    size: int
    summary: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, value: Any, path: str) -> ReportLink:
        """From a predicate."""
        found = Fields.of(value, path, ("format", "digest", "size", "summary"))
        return cls(
            format=found.one("format", text),
            digest=found.one("digest", digest),
            size=found.one("size", count),
            summary=found.named("summary", count),
        )

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {
            "format": self.format,
            "digest": str(self.digest),
            "size": self.size,
            "summary": dict(self.summary),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """See design: `step/v1`. `admission` and `supersedes` are record digests; `spec` is the step as it was defined."""

    pipeline: PipelineReference
    stage: str
    step: str
    admission: Digest
    spec: Digest
    result: StepResult
    started_at: datetime
    finished_at: datetime
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    reports: tuple[ReportLink, ...] = ()
    supersedes: tuple[Digest, ...] = ()

    @classmethod
    def read(cls, statement: Statement) -> StepRecord:
        """From a statement that says exactly this and nothing more; see `records.own.own` for the refusals."""
        found = own(statement, STEP, _MEMBERS)
        return cls(
            pipeline=found.one("pipeline", PipelineReference.read),
            stage=found.one("stage", text),
            step=found.one("step", text),
            admission=found.one("admission", digest),
            spec=found.one("spec", digest),
            result=found.one("result", choice(StepResult)),
            started_at=found.one("startedAt", time),
            finished_at=found.one("finishedAt", time),
            command=found.many("command", text),
            exit_code=found.optional("exitCode", integer),
            reports=found.many("reports", ReportLink.read),
            supersedes=found.many("supersedes", digest),
        )

    def json(self) -> dict[str, Any]:
        """The predicate."""
        return {
            "pipeline": self.pipeline.json(),
            "stage": self.stage,
            "step": self.step,
            "admission": str(self.admission),
            "spec": str(self.spec),
            "result": self.result.value,
            "startedAt": rfc3339(self.started_at),
            "finishedAt": rfc3339(self.finished_at),
            "command": list(self.command),
            "exitCode": self.exit_code,
            "reports": [report.json() for report in self.reports],
            "supersedes": [str(record) for record in self.supersedes],
        }


def step_statement(record: StepRecord, subject: Digest, *, name: str = UNNAMED) -> Statement:
    """What is signed: this record about the image `subject`. Times are written to the second."""
    statement = Statement.about(subject, predicate_type=STEP, predicate=record.json(), name=name)
    StepRecord.read(statement)  # what would not be read is not signed
    return statement
