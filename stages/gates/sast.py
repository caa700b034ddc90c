"""No alert of static analysis that is too bad: on the commit that the image was built from, or on the image itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from stages import alerts
from stages.alerts import On
from stages.duration import Duration
from stages.evidence import Evidence
from stages.finding import Severity
from stages.gate import Verdict

NAME: Final = "sast"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAnalysis:
    """At most `max` alerts at or above a severity, by SARIF reports of any tool; of each tool the newest run counts.

    With `on: source` each run must be about a commit that the image's provenance names, and every such commit must have
    one; `provenance_by` are the signers of provenance who are believed, otherwise those who may admit to the stage.
    `tools` are the tools that must each have run, and no other one counts then; `steps` limits reports to those of
    these steps, each of which must then have one. `accept_suppressions` lets the tool's own suppressions count.
    Waivers that `waivers_by` sign let alerts stand for a while: they name the rule, and the file as their package.
    """

    max: Literal["none"] | int = "none"
    at_or_above: Severity = Severity.NEGLIGIBLE
    on: On = On.SOURCE
    by: tuple[str, ...] = ()
    provenance_by: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    max_age: Duration | None = None
    accept_suppressions: bool = False
    waivers_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        alerts.check(self)

    def judge(self, evidence: Evidence) -> Verdict:
        """See `stages.alerts.judge`."""
        return alerts.judge(NAME, self, evidence)
