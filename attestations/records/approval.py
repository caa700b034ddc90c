"""The approval record: somebody has seen what was found about this image, and wants it admitted to this stage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from attestations.fields import choice, digest, rfc3339, text, time
from attestations.records.admission import PipelineReference
from attestations.records.own import own
from attestations.statement import UNNAMED, Statement
from registries.digest import Digest

APPROVAL: Final = "https://samebits.dev/attestation/approval/v1"

_MEMBERS: Final = ("pipeline", "stage", "kind", "findings", "words", "approvedAt", "expires")


class ApprovalKind(StrEnum):
    """What is approved: an admission that every gate allows, or one in an emergency, in spite of what gates say."""

    PROMOTION = "promotion"
    BREAK_GLASS = "break-glass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """See design: `approval/v1`. `findings` is the digest of what the gates said when the approver was asked.

    `words` are the approver's own; for an emergency they are the reason.
    """

    pipeline: PipelineReference
    stage: str
    kind: ApprovalKind
    findings: Digest
    words: str
    approved_at: datetime
    expires: datetime

    @classmethod
    def read(cls, statement: Statement) -> Approval:
        """From a statement that says exactly this and nothing more; see `records.own.own` for the refusals."""
        found = own(statement, APPROVAL, _MEMBERS)
        return cls(
            pipeline=found.one("pipeline", PipelineReference.read),
            stage=found.one("stage", text),
            kind=found.one("kind", choice(ApprovalKind)),
            findings=found.one("findings", digest),
            words=found.one("words", text),
            approved_at=found.one("approvedAt", time),
            expires=found.one("expires", time),
        )

    def json(self) -> dict[str, Any]:
        """The predicate."""
        return {
            "pipeline": self.pipeline.json(),
            "stage": self.stage,
            "kind": self.kind.value,
            "findings": str(self.findings),
            "words": self.words,
            "approvedAt": rfc3339(self.approved_at),
            "expires": rfc3339(self.expires),
        }


def approval_statement(record: Approval, subject: Digest, *, name: str = UNNAMED) -> Statement:
    """What is signed: this approval of the image `subject`. Times are written to the second."""
    statement = Statement.about(subject, predicate_type=APPROVAL, predicate=record.json(), name=name)
    Approval.read(statement)  # what would not be read is not signed
    return statement
