"""Enough people, who neither built nor promote the image, have seen what was found and approve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from attestations.records.approval import ApprovalKind
from registries.errors import Reason, UsageError
from stages.approved import Other, Wanted, approvals
from stages.duration import Duration
from stages.evidence import Evidence
from stages.gate import Outcome, Verdict

NAME: Final = "approvals"
_THREE_DAYS: Final = Duration(72, "h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """At least `count` of the people in `from` approve this image for this stage, and none of them is in `not`.

    An approval is for one digest, stage and definition, and for what the other gates found when it was given; it counts
    for `max_age`, and no longer than its own expiry.
    """

    judges_last: ClassVar[bool] = True

    from_: tuple[str, ...]
    count: int = 1
    not_: tuple[Other, ...] = (Other.BUILDER, Other.PROMOTER)
    max_age: Duration = _THREE_DAYS

    def __post_init__(self) -> None:
        people = len(set(self.from_))
        if not 1 <= self.count <= people:
            message = f"`count` is {self.count}, and `from` names {people}; it is between 1 and that"
            raise UsageError("definition-invalid", message)

    def judge(self, evidence: Evidence) -> Verdict:
        """Count people, each once; too few is a wait, with everybody named who may still approve."""
        wanted = Wanted(
            by=tuple(dict.fromkeys(self.from_)),
            kind=ApprovalKind.PROMOTION,
            others=self.not_,
            max_age=self.max_age,
        )
        found = approvals(evidence, wanted, where=f"gate {NAME}")
        counts = (("given", len(found.records)), ("needed", self.count))
        if len(found.records) >= self.count:
            return Verdict(gate=NAME, outcome=Outcome.PASSED, counts=counts, evidence=found.records)
        stage = evidence.asked.stage if evidence.asked else "STAGE"
        missing = Reason(
            "approval-missing",
            f"{len(found.records)} of {self.count} approvals; who may still approve: {', '.join(found.missing)}",
            f"gate {NAME}",
            f"each of them: samebits approve {stage} {evidence.subject}",
        )
        return Verdict(
            gate=NAME, outcome=Outcome.WAITING, reasons=(*found.faults, missing), counts=counts, evidence=found.records
        )
