"""What nobody foresaw: expressions over the evidence, each of which must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from registries.errors import Reason, UsageError
from stages.evidence import Evidence
from stages.expression import Expression, NoAnswer, view_of
from stages.gate import Outcome, Verdict

NAME: Final = "cel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cel:
    """Every one of the `rules` must hold: expressions by a name that says what they are for.

    Anything but a plain yes says no. What an expression may name is in docs/reference/expressions.md.
    """

    rules: Mapping[str, Expression]

    def __post_init__(self) -> None:
        if not self.rules:
            raise UsageError("definition-invalid", "`rules` names no expression, and so would let everything in")

    def judge(self, evidence: Evidence) -> Verdict:
        """Ask every rule, whatever the others said."""
        view = view_of(evidence)
        blocked: list[Reason] = []
        faults: list[Reason] = []
        for name, rule in self.rules.items():
            where = f"gate {NAME}, rule {name}"
            try:
                if not rule.holds(view):
                    blocked.append(Reason("rule-broken", f"does not hold: {rule.text}", where))
            except NoAnswer as error:
                faults.append(Reason("gate-error", f"gives no answer: {error}", where))
        return Verdict(
            gate=NAME,
            outcome=Outcome.BLOCKED if blocked else Outcome.NOT_CHECKED if faults else Outcome.PASSED,
            reasons=(*faults, *blocked),
            counts=(("rules", len(self.rules)),),
        )
