"""Whom a pipeline trusts for what, and why each record about an image is believed or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from attestations.chain import Records
from attestations.fields import rfc3339
from attestations.identity import Identity, KeylessIdentity, Validity
from attestations.records.admission import Admission
from attestations.records.approval import Approval
from attestations.records.step import StepRecord
from attestations.verify import Verified
from pipeline.definition import Pipeline
from stages.stage import Stage

_NAMING: Final = ("by", "from_", "except_", "provenance_by", "vex_by", "waivers_by")


@dataclass(frozen=True, slots=True)
class Trusted:
    """One signer, how they are known, and everything that they may do."""

    identity: Identity
    may: tuple[str, ...]


def trusted(pipeline: Pipeline) -> tuple[Trusted, ...]:
    """Every signer of the definition with what it says of them; one who may do nothing is there too."""
    rights = [right for stage in pipeline.definition.stages for right in _rights(stage)]
    owners = {identity.name for identity in pipeline.definition.owners.signers}
    return tuple(
        Trusted(
            identity=identity,
            may=(
                *(("own the definition",) if identity.name in owners else ()),
                *(what for name, what in rights if name == identity.name),
            ),
        )
        for identity in pipeline.identities
    )


def known_by(identity: Identity) -> str:
    """How a signer is known, with all that narrows it."""
    claims = "".join(f", {name} {value}" for name, value in _claims(identity))
    return f"{identity}{claims}{_period(identity.valid)}"


def explained(records: Records, pipeline: Pipeline) -> Iterator[tuple[str, str, str]]:
    """Each record with its signer and whether it is believed, and why not: (digest, what it says, why)."""
    for item in sorted(records.verified, key=lambda it: it.record):
        yield str(item.record), _says(item), _counts(item, pipeline)
    for one in sorted(records.rejected, key=lambda it: it.record):
        kind, stage, step = one.says
        said = " ".join(part for part in (kind.rpartition("attestation/")[2], stage, step) if part) or "unreadable"
        yield str(one.record), said, f"not believed: {one.reason.message} [{one.reason.code}]"


def _rights(stage: Stage) -> Iterator[tuple[str, str]]:
    for signer in stage.admit.signers:
        yield signer.name, f"admit to {stage.name}"
    for step in stage.steps:
        yield from ((signer.name, f"do the step {step.name} of {stage.name}") for signer in step.by.signers)
    for name, gate in stage.gates:
        for option in _NAMING:
            what = f"count as `{option.rstrip('_').replace('_', '-')}` in the gate {name} of {stage.name}"
            yield from ((signer, what) for signer in getattr(gate, option, ()))
    if stage.break_glass is not None:
        yield from ((name, f"declare an emergency in {stage.name}") for name in stage.break_glass.names)


def _counts(item: Verified, pipeline: Pipeline) -> str:
    """Whether the signer may say this; what a chain or a gate makes of it beside that is theirs to say."""
    name, claim = item.signer.name, item.claim
    when = "nothing proves when" if item.proved_time is None else f"proven at {rfc3339(item.proved_time)}"
    match claim:
        case Admission() | StepRecord() | Approval():
            stage = next((one for one in pipeline.definition.stages if one.name == claim.stage), None)
            allowed = stage is not None and name in _signers(stage, claim)
        case _:
            return f"believed, signed by {name}, {when}"
    if not allowed:
        return f"signed by {name}, who may not sign this [signer-not-for-stage]"
    return f"believed, signed by {name}, who may, {when}"


def _signers(stage: Stage, claim: Admission | StepRecord | Approval) -> set[str]:
    match claim:
        case Admission():
            return {signer.name for signer in stage.admit.signers}
        case StepRecord():
            return {signer.name for step in stage.steps if step.name == claim.step for signer in step.by.signers}
        case Approval():
            named = {name for _, gate in stage.gates for name in getattr(gate, "from_", ())}
            return named | {*(stage.break_glass.names if stage.break_glass else ())}


def _says(item: Verified) -> str:
    match item.claim:
        case Admission() as claim:
            return f"{claim.kind} to {claim.stage}"
        case StepRecord() as claim:
            return f"step {claim.step} of {claim.stage}: {claim.result}"
        case Approval() as claim:
            return f"approval of a {claim.kind} to {claim.stage}"
        case _:
            return item.statement.predicate_type


def _claims(identity: Identity) -> tuple[tuple[str, str], ...]:
    return identity.claims if isinstance(identity, KeylessIdentity) else ()


def _period(valid: Validity) -> str:
    start = "" if valid.start is None else f" from {rfc3339(valid.start)}"
    end = "" if valid.end is None else f" until {rfc3339(valid.end)}"
    return f",{start}{end}" if start or end else ""
