"""The step record: this step of this stage was done on this digest, after this admission, with this result.

Members that came later are written only where they say something, so that older readers can read whatever does not
need them. A step that is done on a source commit, before there is an image, has the commit as its subject and comes
after no admission.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from attestations.commit import Commit
from attestations.errors import AttestationError
from attestations.fields import Fields, choice, count, digest, flag, integer, rfc3339, text, time
from attestations.records.admission import PipelineReference
from attestations.records.own import own
from attestations.statement import UNNAMED, Statement
from registries.digest import Digest
from registries.errors import ContentError

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
_LATER: Final = ("reason", "program", "environment", "inImage", "streams", "produced")


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
class FileLink:
    """Bytes that were seen and are not kept: a file, a program, or what a command printed."""

    name: str
    digest: Digest
    size: int

    @classmethod
    def read(cls, value: Any, path: str) -> FileLink:
        """From a predicate."""
        found = Fields.of(value, path, ("name", "digest", "size"))
        return cls(name=found.one("name", text), digest=found.one("digest", digest), size=found.one("size", count))

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {"name": self.name, "digest": str(self.digest), "size": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class InImage:
    """How a command ran inside the image itself: whether it had a network, and a root that it could write to."""

    network: bool
    writable: bool

    @classmethod
    def read(cls, value: Any, path: str) -> InImage:
        """From a predicate."""
        found = Fields.of(value, path, ("network", "writable"))
        return cls(network=found.one("network", flag), writable=found.one("writable", flag))

    def json(self) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {"network": self.network, "writable": self.writable}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """See design: `step/v1`. `admission` and `supersedes` are record digests; `spec` is the step as it was defined.

    `commit` is the subject of a step on the source, which has no `admission`; every other one has. `reason` is why it
    failed. Of a command that ran: `program` is what ran it, `environment` the names of the variables that it was given,
    `streams` what it printed, `produced` the files that it had to make.
    """

    pipeline: PipelineReference
    stage: str
    step: str
    admission: Digest | None
    spec: Digest
    result: StepResult
    started_at: datetime
    finished_at: datetime
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    reports: tuple[ReportLink, ...] = ()
    supersedes: tuple[Digest, ...] = ()
    commit: Commit | None = None
    reason: str = ""
    program: FileLink | None = None
    environment: tuple[str, ...] = ()
    in_image: InImage | None = None
    streams: tuple[FileLink, ...] = ()
    produced: tuple[FileLink, ...] = ()

    @classmethod
    def read(cls, statement: Statement) -> StepRecord:
        """From a statement that says exactly this and nothing more; see `records.own.own` for the refusals."""
        found = own(statement, STEP, _MEMBERS, later=_LATER)
        commit, admission = _commit(statement), found.optional("admission", digest)
        if (commit is None) == (admission is None):
            message = "a step on an image names the admission that it came after, and one on a commit names none"
            raise AttestationError("payload-malformed", message)
        return cls(
            pipeline=found.one("pipeline", PipelineReference.read),
            stage=found.one("stage", text),
            step=found.one("step", text),
            admission=admission,
            spec=found.one("spec", digest),
            result=found.one("result", choice(StepResult)),
            started_at=found.one("startedAt", time),
            finished_at=found.one("finishedAt", time),
            command=found.many("command", text),
            exit_code=found.optional("exitCode", integer),
            reports=found.many("reports", ReportLink.read),
            supersedes=found.many("supersedes", digest),
            commit=commit,
            reason=found.one("reason", text) if found.has("reason") else "",
            program=found.one("program", FileLink.read) if found.has("program") else None,
            environment=found.many("environment", text) if found.has("environment") else (),
            in_image=found.one("inImage", InImage.read) if found.has("inImage") else None,
            streams=found.many("streams", FileLink.read) if found.has("streams") else (),
            produced=found.many("produced", FileLink.read) if found.has("produced") else (),
        )

    def json(self) -> dict[str, Any]:
        """The predicate."""
        return {
            "pipeline": self.pipeline.json(),
            "stage": self.stage,
            "step": self.step,
            "admission": None if self.admission is None else str(self.admission),
            "spec": str(self.spec),
            "result": self.result.value,
            "startedAt": rfc3339(self.started_at),
            "finishedAt": rfc3339(self.finished_at),
            "command": list(self.command),
            "exitCode": self.exit_code,
            "reports": [report.json() for report in self.reports],
            "supersedes": [str(record) for record in self.supersedes],
            **{name: value for name, value in self._later() if value},
        }

    def _later(self) -> tuple[tuple[str, Any], ...]:
        return (
            ("reason", self.reason),
            ("program", None if self.program is None else self.program.json()),
            ("environment", list(self.environment)),
            ("inImage", None if self.in_image is None else self.in_image.json()),
            ("streams", [stream.json() for stream in self.streams]),
            ("produced", [file.json() for file in self.produced]),
        )


def _commit(statement: Statement) -> Commit | None:
    """The commit that the one subject is, or None for an image."""
    (subject,) = (subject for subject in statement.subjects if subject.digests)
    (value,) = subject.digests.values()
    if Commit.algorithm not in subject.digests:
        return None
    try:
        return Commit(value)
    except ContentError as error:
        raise AttestationError(error.code, error.reasons[0].message) from error


def step_statement(record: StepRecord, subject: Digest | Commit, *, name: str = UNNAMED) -> Statement:
    """What is signed: this record about `subject`, an image or a commit. Times are written to the second."""
    statement = Statement.about(subject, predicate_type=STEP, predicate=record.json(), name=name)
    StepRecord.read(statement)  # what would not be read is not signed
    return statement
