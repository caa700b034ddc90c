"""No finding about infrastructure as code that is too bad, by SARIF reports of whatever tool checks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from registries.errors import UsageError
from stages import alerts
from stages.alerts import On
from stages.duration import Duration
from stages.evidence import Evidence
from stages.finding import Severity
from stages.gate import Verdict

NAME: Final = "policy-report"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReport:
    """At most `max` alerts at or above a severity from each of these `tools`, which must be named: all have run.

    The other options are those of the gate `sast`: `steps` limits reports to those of these steps, and with
    `on: source`, which holds unless `on: image` is written, a run must be about the commit that provenance names.
    """

    tools: tuple[str, ...]
    max: Literal["none"] | int = "none"
    at_or_above: Severity = Severity.NEGLIGIBLE
    on: On = On.SOURCE
    by: tuple[str, ...] = ()
    provenance_by: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    max_age: Duration | None = None
    accept_suppressions: bool = False
    waivers_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        alerts.check(self)
        if not self.tools:
            raise UsageError("definition-invalid", "`tools` is empty; name those that must have run")

    def judge(self, evidence: Evidence) -> Verdict:
        """See `stages.alerts.judge`."""
        return alerts.judge(NAME, self, evidence)
