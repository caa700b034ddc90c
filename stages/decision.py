"""The decision: every gate is asked, every reason is kept, and only a decision without a no hands out a `Permit`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from attestations.records.approval import ApprovalKind
from registries.digest import Digest
from registries.errors import Reason, Refusal
from registries.strict_json import dumps
from stages.approved import Other, Wanted, approvals
from stages.evidence import Evidence
from stages.gate import Gate, Outcome, Verdict
from stages.stage import Stage
from stages.waiver import ended_waivers

EMERGENCY_APPROVALS: Final = 2
"""Two people are needed to let in what the gates refuse (design, section 6)."""


class PromotionBlocked(Refusal):
    """At least one gate said no, or could not say yes."""


@dataclass(frozen=True, slots=True)
class Permit:
    """The leave to publish `subject` in `stage`. Only a decision makes one.

    `emergency` are the approvals that let the image in although gates said no; empty when none did.
    """

    stage: str
    subject: Digest
    verdicts: tuple[Verdict, ...]
    emergency: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What all gates of a stage said about one image."""

    stage: Stage
    evidence: Evidence
    verdicts: tuple[Verdict, ...]

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the image is not let in; empty when it is."""
        said = (reason for verdict in self.verdicts for reason in _reasons(verdict))
        return (*said, *ended_waivers(self.evidence))

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """What is worth knowing and blocks nothing."""
        return tuple(warning for verdict in self.verdicts for warning in verdict.warnings)

    @property
    def findings(self) -> Digest:
        """The digest of what an approver is shown: what each gate said, and the evidence and numbers behind it."""
        return findings_of(verdict for verdict, last in zip(self.verdicts, _lasts(self.stage), strict=True) if not last)

    def permit(self) -> Permit:
        """The leave to publish, or `PromotionBlocked` with every reason."""
        if self.reasons:
            raise PromotionBlocked.of(self.reasons)
        return Permit(stage=self.stage.name, subject=self.evidence.subject, verdicts=self.verdicts)

    def permit_in_emergency(self) -> Permit:
        """The leave to publish what gates refuse, when two of those who may have said so; nobody else can.

        The chain is no gate: an image without a whole one never comes this far.
        """
        where = f"break-glass of {self.stage.name}"
        if not self.reasons:
            return self.permit()
        role = self.stage.break_glass
        if role is None:
            message = f"{self.stage.name} has no `break-glass` in the definition"
            raise PromotionBlocked.of((*self.reasons, Reason("break-glass-not-allowed", message, where)))
        wanted = Wanted(by=role.names, kind=ApprovalKind.BREAK_GLASS, others=tuple(Other))
        found = approvals(_told(self.evidence, self.findings), wanted, where=where)
        if len(found.records) < EMERGENCY_APPROVALS:
            message = (
                f"{len(found.records)} of {EMERGENCY_APPROVALS} emergency approvals; "
                f"who may still approve: {', '.join(found.missing)}"
            )
            hint = f"each of them: samebits approve {self.stage.name} {self.evidence.subject} --break-glass --words WHY"
            missing = Reason("approval-missing", message, where, hint)
            raise PromotionBlocked.of((*self.reasons, *found.faults, missing))
        return Permit(
            stage=self.stage.name, subject=self.evidence.subject, verdicts=self.verdicts, emergency=found.records
        )


def decide(stage: Stage, evidence: Evidence) -> Decision:
    """Ask every gate of the stage, whatever the others said; those that judge last are told what the others found."""
    lasts = _lasts(stage)
    first = {
        name: _ask(stage, name, gate, evidence)
        for (name, gate), last in zip(stage.gates, lasts, strict=True)
        if not last
    }
    told = _told(evidence, findings_of(first.values()))
    verdicts = tuple(first[name] if name in first else _ask(stage, name, gate, told) for name, gate in stage.gates)
    return Decision(stage=stage, evidence=evidence, verdicts=verdicts)


def findings_of(verdicts: Iterable[Verdict]) -> Digest:
    """The same for the same findings: outcomes, reasons by code, numbers and evidence, in the order of the gates."""
    said = [
        {
            "gate": verdict.gate,
            "outcome": verdict.outcome.value,
            "reasons": sorted(reason.code for reason in verdict.reasons),
            "counts": [list(pair) for pair in verdict.counts],
            "evidence": sorted(str(digest) for digest in verdict.evidence),
            "waivers": sorted([used.id, str(used.record)] for used in verdict.waivers),
        }
        for verdict in verdicts
    ]
    return Digest.of(dumps(said))


def _lasts(stage: Stage) -> list[bool]:
    return [bool(getattr(gate, "judges_last", False)) for _, gate in stage.gates]


def _told(evidence: Evidence, findings: Digest) -> Evidence:
    asked = evidence.asked
    return evidence if asked is None else replace(evidence, asked=replace(asked, findings=findings))


def _ask(stage: Stage, name: str, gate: Gate, evidence: Evidence) -> Verdict:
    try:
        verdict = gate.judge(evidence)
    except Exception as error:  # noqa: BLE001  a gate that fails must say no, with its name, whatever it failed with
        return Verdict(
            gate=name,
            outcome=Outcome.NOT_CHECKED,
            reasons=(Reason("gate-error", f"the gate failed: {type(error).__name__}: {error}", where=f"gate {name}"),),
        )
    if verdict.outcome is Outcome.WARNED:  # that is not for a gate to say
        verdict = replace(verdict, outcome=Outcome.NOT_CHECKED)
    day = dict(stage.effective_on).get(name)
    if day is None or evidence.now >= day or verdict.outcome is Outcome.PASSED:
        return verdict
    said = (replace(reason, message=f"blocks from {day:%Y-%m-%d} on: {reason.message}") for reason in verdict.reasons)
    return replace(verdict, outcome=Outcome.WARNED, reasons=(), warnings=(*verdict.warnings, *said))


def _reasons(verdict: Verdict) -> Sequence[Reason]:
    if verdict.outcome in (Outcome.PASSED, Outcome.WARNED):
        return ()
    if verdict.reasons:
        return verdict.reasons
    return (Reason("gate-error", f"the gate said {verdict.outcome} without a reason", where=f"gate {verdict.gate}"),)
