"""The image has been in the stage before for a time: what goes wrong, goes wrong there first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from attestations.chain import Link
from registries.errors import Reason
from stages.duration import Duration
from stages.evidence import Evidence
from stages.gate import Outcome, Verdict

NAME: Final = "soak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """At least `time` has passed since the latest admission of the chain, or since that to the stage `in`.

    An admission is as old as it says, or younger where a log or a timestamp authority proves a later time.
    """

    time: Duration
    in_: str | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        """Compare the time of the run with the chain's own times."""
        links = [link for link in evidence.chain.links if self.in_ in (None, link.stage)]
        where = f"gate {NAME}"
        if not links:
            what = f"an admission to {self.in_}" if self.in_ else "a stage before"
            reason = Reason("attestation-missing", f"the chain has no {what}", where)
            return Verdict(gate=NAME, outcome=Outcome.NOT_CHECKED, reasons=(reason,))
        last = max(links, key=_since)
        ready = _since(last) + self.time.timedelta
        if evidence.now >= ready:
            return Verdict(gate=NAME, outcome=Outcome.PASSED, evidence=(last.record,))
        message = f"it is in {last.stage} since {_since(last).isoformat()}, and has to be there for {self.time}"
        reason = Reason("soak-too-short", message, where, f"again from {ready.isoformat()} on")
        return Verdict(gate=NAME, outcome=Outcome.WAITING, reasons=(reason,), evidence=(last.record,))


def _since(link: Link) -> datetime:
    proved, decided = link.verified.proved_time, link.admission.decided_at
    return decided if proved is None else max(proved, decided)
