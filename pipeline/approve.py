"""Approving: what the gates of a stage say about an image now, and a signed record that somebody has seen it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from attestations import store
from attestations.errors import AttestationError
from attestations.identity import Role
from attestations.records.approval import Approval, ApprovalKind, approval_statement
from pipeline.definition import Pipeline
from pipeline.gather import chain_before, gather, with_attached
from pipeline.places import Image
from pipeline.promote import Tools, judged, reference_of
from registries.digest import Digest
from registries.errors import Refusal, UsageError
from registries.tree import tree
from stages.decision import Decision
from stages.gates.approvals import Approvals
from stages.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What an approver is shown: the image, whose chain is whole, and what every gate says about it now."""

    image: Image
    stage: Stage
    pipeline: Pipeline
    decision: Decision
    kind: ApprovalKind


def review(image: Image, stage: str, *, kind: ApprovalKind, pipeline: Pipeline, tools: Tools, now: datetime) -> Review:
    """Look at the image as a promotion to `stage` would; refuse a signer whose approval would count for nothing."""
    wanted = pipeline.stage(stage)
    _may_approve(wanted, kind, pipeline, tools)
    if withdrawn := tools.revocations.image(image.digest):
        raise AttestationError.of((withdrawn,))
    places = tuple(dict.fromkeys((image.place, *tools.places.before(pipeline, stage))))
    revocations, shelf = tools.revocations, tools.shelf
    gathered = gather(
        image.digest, places, pipeline=pipeline, revocations=revocations, now=now, shelf=shelf, reports=True
    )
    gathered = with_attached(gathered, places, pipeline=pipeline, revocations=revocations, now=now, shelf=shelf)
    chain = chain_before(stage, image, gathered.records, pipeline=pipeline, now=now)
    whole = tree(image.place, image.digest, shelf=shelf)
    decision = judged(
        image,
        wanted,
        whole,
        gathered,
        chain,
        sources=places,
        pipeline=pipeline,
        tools=tools,
        now=now,
        promoter=None,
    )
    return Review(image=image, stage=wanted, pipeline=pipeline, decision=decision, kind=kind)


def approve(seen: Review, *, words: str, valid: timedelta, tools: Tools, now: datetime) -> tuple[Digest, Approval]:
    """Sign that this was seen and is approved, and attach it where the image is. Returns the record and its digest."""
    if tools.signer is None:
        raise Refusal("key-missing", "an approval needs a signer", hint="--key FILE")
    approval = Approval(
        pipeline=reference_of(seen.pipeline),
        stage=seen.stage.name,
        kind=seen.kind,
        findings=seen.decision.findings,
        words=words,
        approved_at=now,
        expires=now + valid,
    )
    bundle = tools.signer.sign(approval_statement(approval, seen.image.digest))
    place = seen.image.place
    subject = place.registry.manifest(place.repository, seen.image.digest).descriptor
    store.attach(place, subject, (bundle,), created=now, shelf=tools.shelf, sleep=tools.sleep)
    return bundle.record, approval


def approvers(stage: Stage, kind: ApprovalKind) -> tuple[str, ...]:
    """Whose approvals of this kind count for the stage."""
    if kind is ApprovalKind.BREAK_GLASS:
        return stage.break_glass.names if stage.break_glass else ()
    return tuple(dict.fromkeys(name for _, gate in stage.gates if isinstance(gate, Approvals) for name in gate.from_))


def _may_approve(stage: Stage, kind: ApprovalKind, pipeline: Pipeline, tools: Tools) -> None:
    names = approvers(stage, kind)
    if not names:
        code = "approval-not-asked" if kind is ApprovalKind.PROMOTION else "break-glass-not-allowed"
        what = "`approvals` gate" if kind is ApprovalKind.PROMOTION else "`break-glass`"
        raise UsageError(code, f"{stage.name} has no {what}", hint="samebits definition show")
    role = Role(name=f"{stage.name}: approvals", signers=tuple(s for s in pipeline.identities if s.name in names))
    if tools.signer is not None and not tools.signer.is_one_of(role):
        raise AttestationError(
            "signer-not-for-stage",
            f"the approval of {tools.signer.public_name} would not count; that of {role} would",
            where=f"stage {stage.name}",
            hint="sign with the key of one of them: --key FILE",
        )
