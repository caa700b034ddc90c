"""The image is not too old, and neither is what was said about it in the stages before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from attestations.chain import Link
from registries.errors import Reason, UsageError
from stages.duration import Duration
from stages.evidence import UNDATED, Evidence
from stages.gate import Outcome, Verdict

NAME: Final = "freshness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The image entered the pipeline at most `max_age` ago; no admission or step since is older than `max_record_age`.

    Whatever a record says of its time, a proved time that is earlier counts.
    """

    max_age: Duration | None = None
    max_record_age: Duration | None = None

    def __post_init__(self) -> None:
        if self.max_age is None and self.max_record_age is None:
            raise UsageError("definition-invalid", "`freshness` needs `max-age` or `max-record-age`")

    def judge(self, evidence: Evidence) -> Verdict:
        """Compare the chain's own times with that of the run."""
        links = evidence.chain.links
        if not links:
            reason = Reason("attestation-missing", "there is no admission yet whose age could be told", f"gate {NAME}")
            return Verdict(gate=NAME, outcome=Outcome.NOT_CHECKED, reasons=(reason,))
        entered = min(links, key=_admitted)
        reasons = tuple(self._reasons(evidence, entered))
        return Verdict(
            gate=NAME,
            outcome=Outcome.BLOCKED if reasons else Outcome.PASSED,
            reasons=reasons,
            evidence=tuple(link.record for link in links),
            newest_data=_admitted(entered),
        )

    def _reasons(self, evidence: Evidence, entered: Link) -> Iterator[Reason]:
        where, now = f"gate {NAME}", evidence.now
        if self.max_age is not None and now - _admitted(entered) > self.max_age.timedelta:
            since = _admitted(entered).isoformat()
            message = f"it entered {entered.stage} at {since}, more than {self.max_age} before {now.isoformat()}"
            yield Reason("attestation-too-old", message, where, "build it again from the same source, and promote that")
        if self.max_record_age is None:
            return
        for link in evidence.chain.links:
            dated = [(f"the admission to {link.stage}", _admitted(link), "")]
            dated += [
                (
                    f"the step {proof.name} of {link.stage}",
                    _earlier(proof.finished_at or UNDATED, proof.verified.proved_time),
                    f"samebits step {link.stage} {proof.name} {evidence.subject}",
                )
                for proof in link.steps
            ]
            for what, date, hint in dated:
                if now - date > self.max_record_age.timedelta:
                    message = f"{what} is of {date.isoformat()}, more than {self.max_record_age} ago"
                    yield Reason("attestation-too-old", message, where, hint)


def _admitted(link: Link) -> datetime:
    return _earlier(link.admission.decided_at, link.verified.proved_time)


def _earlier(said: datetime, proved: datetime | None) -> datetime:
    return said if proved is None else min(said, proved)
