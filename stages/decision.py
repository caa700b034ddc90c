"""The decision: every gate is asked, every reason is kept, and only a decision without a no hands out a `Permit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registries.digest import Digest
from registries.errors import Reason, Refusal
from stages.evidence import Evidence
from stages.gate import Gate, Outcome, Verdict
from stages.stage import Stage


class PromotionBlocked(Refusal):
    """At least one gate said no, or could not say yes."""


@dataclass(frozen=True, slots=True)
class Permit:
    """The leave to publish `subject` in `stage`. Only `Decision.permit` makes one."""

    stage: str
    subject: Digest
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What all gates of a stage said about one image."""

    stage: str
    subject: Digest
    verdicts: tuple[Verdict, ...]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the image is not let in; empty when it is."""
        return tuple(reason for verdict in self.verdicts for reason in _reasons(verdict))

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """What is worth knowing and blocks nothing."""
        return tuple(warning for verdict in self.verdicts for warning in verdict.warnings)

    def permit(self) -> Permit:
        """The leave to publish, or `PromotionBlocked` with every reason."""
        if self.reasons:
            raise PromotionBlocked.of(self.reasons)
        return Permit(stage=self.stage, subject=self.subject, verdicts=self.verdicts)


def decide(stage: Stage, evidence: Evidence) -> Decision:
    """Ask every gate of the stage, whatever the others said."""
    verdicts = tuple(_ask(name, gate, evidence) for name, gate in stage.gates)
    return Decision(stage=stage.name, subject=evidence.subject, verdicts=verdicts)


def _ask(name: str, gate: Gate, evidence: Evidence) -> Verdict:
    try:
        verdict = gate.judge(evidence)
    except Exception as error:  # noqa: BLE001  a gate that fails must say no, with its name, whatever it failed with
        return Verdict(
            gate=name,
            outcome=Outcome.NOT_CHECKED,
            reasons=(Reason("gate-error", f"the gate failed: {type(error).__name__}: {error}", where=f"gate {name}"),),
        )
    return verdict


def _reasons(verdict: Verdict) -> Sequence[Reason]:
    if verdict.outcome is Outcome.PASSED:
        return ()
    if verdict.reasons:
        return verdict.reasons
    return (Reason("gate-error", f"the gate said {verdict.outcome} without a reason", where=f"gate {verdict.gate}"),)
