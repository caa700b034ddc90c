"""Results as JSON for programs; the schema is docs/reference/result.schema.json. Complete on failure too."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from attestations.chain import Link
from attestations.foreign.attachment import Attachment
from pipeline.audit import StageStory, Story, Verification
from pipeline.formats.result import Result, StepDone, Told
from pipeline.promote import Admitted, Plan, Promotion
from pipeline.rewrap import Rewrapped
from registries.copy import Moved
from registries.errors import Reason

SCHEMA: Final = "https://samebits.dev/schema/result/v1"


def render(result: Result) -> str:
    """One JSON object, indented, ending in a newline; ASCII, so that no character in it can steer a terminal."""
    value: dict[str, Any] = {
        "schema": SCHEMA,
        "command": result.command,
        "exit": result.exit_code,
        "reasons": [_reason(reason) for reason in result.reasons],
    }
    match result.shown:
        case None:
            pass
        case Promotion() as promotion:
            value |= _promotion(promotion)
        case Plan() as plan:
            value |= _plan(plan)
        case Verification() as verification:
            value |= _verification(verification)
        case Story() as story:
            value |= _story(story)
        case StepDone() as done:
            value |= _step(done)
        case Rewrapped() as rewrapped:
            value |= _rewrapped(rewrapped)
        case Told(heading=heading, lines=lines):
            value |= {"told": heading, "facts": [{"name": name, "value": text} for name, text in lines]}
    return json.dumps(value, indent=2) + "\n"


def _reason(reason: Reason) -> dict[str, str]:
    return {"code": reason.code, "message": reason.message, "where": reason.where, "hint": reason.hint}


def _promotion(promotion: Promotion) -> dict[str, Any]:
    return {
        "image": str(promotion.plan.image.digest),
        "stage": promotion.plan.stage.name,
        "verdict": "already-admitted" if isinstance(promotion.plan.leave, Admitted) else "admitted",
        "record": str(promotion.record),
        "tags": [f"{move.place}:{move.tag}" for move in promotion.plan.tags],
        "moved": _moved(promotion.moved),
        "skipped": _skipped(promotion.plan),
        "warnings": [_reason(reason) for reason in promotion.plan.warnings],
    }


def _plan(plan: Plan) -> dict[str, Any]:
    done = isinstance(plan.leave, Admitted)
    return {
        "image": str(plan.image.digest),
        "stage": plan.stage.name,
        "verdict": "already-admitted" if done else "would-be-admitted",
        "transfers": [
            {
                "source": str(transfer.source),
                "destination": str(transfer.destination),
                "manifests": len(transfer.manifests),
                "blobs": len(transfer.blobs),
                "bytes": transfer.bytes,
                "mounts": transfer.mounts,
                "requests": transfer.requests,
            }
            for transfer in plan.transfers
        ],
        "records": 0 if done else 2,
        "tags": [
            {"tag": f"{move.place}:{move.tag}", "from": str(move.now_at) if move.now_at else None} for move in plan.tags
        ],
        "skipped": _skipped(plan),
        "warnings": [_reason(reason) for reason in plan.warnings],
    }


def _skipped(plan: Plan) -> list[dict[str, str]]:
    return [_reason(reason) for transfer in plan.transfers for reason in transfer.skipped]


def _verification(verification: Verification) -> dict[str, Any]:
    return {
        "image": str(verification.image.digest),
        "stage": verification.stage,
        "verdict": "verified",
        "record": str(verification.link.record),
        "chain": [_link(link) for link in verification.chain.links],
    }


def _link(link: Link) -> dict[str, Any]:
    admission = link.admission
    return {
        "stage": link.stage,
        "record": str(link.record),
        "signer": link.verified.signer.name,
        "kind": str(admission.kind),
        "decidedAt": _time(admission.decided_at),
        "definition": str(admission.pipeline.definition),
        "version": admission.pipeline.version,
        "source": admission.source,
        "destination": admission.destination,
        "gates": [
            {"gate": gate.gate, "verdict": gate.verdict, "counts": dict(gate.counts)} for gate in admission.gates
        ],
        "after": [{"stage": before.stage, "record": str(before.record)} for before in admission.predecessors],
    }


def _story(story: Story) -> dict[str, Any]:
    return {
        "image": str(story.image.digest),
        "pipeline": story.pipeline.name,
        "stages": [_stage(stage) for stage in story.stages],
        "rejected": [{"record": str(item.record), "reason": _reason(item.reason)} for item in story.rejected],
        "attached": [_attachment(item) for item in story.attached],
    }


def _attachment(attachment: Attachment) -> dict[str, Any]:
    return {
        "writer": str(attachment.writer),
        "what": str(attachment.what),
        "says": attachment.says,
        "record": str(attachment.record),
        "where": attachment.where,
        "standing": str(attachment.standing),
        "reason": _reason(attachment.reason) if attachment.reason else None,
    }


def _rewrapped(rewrapped: Rewrapped) -> dict[str, Any]:
    return {
        "image": str(rewrapped.image.digest),
        "verdict": "would-be-rewrapped" if rewrapped.dry_run else "rewrapped",
        "attestations": [
            {
                "subject": str(item.subject),
                "layer": str(item.layer),
                "where": item.where,
                "predicateType": item.predicate_type,
                "standing": str(item.outcome),
                "record": str(item.record) if item.record else None,
                "left": [_reason(reason) for reason in item.left],
            }
            for item in rewrapped.items
        ],
    }


def _stage(stage: StageStory) -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "standing": str(stage.standing),
        "tags": list(stage.tags),
        "admission": _link(stage.link) if stage.link else None,
        "steps": [
            {
                "step": step.name,
                "result": step.result,
                "record": str(step.record) if step.record else None,
                "signer": step.signer,
                "finishedAt": _time(step.finished_at) if step.finished_at else None,
            }
            for step in stage.steps
        ],
        "faults": [_reason(fault) for fault in stage.faults],
    }


def _step(done: StepDone) -> dict[str, Any]:
    step = done.step
    return {
        **({"image": done.subject} if not done.subject.startswith("git:") else {}),
        **({"commit": step.commit.hex} if step.commit is not None else {}),
        "stage": step.stage,
        "step": step.step,
        "verdict": str(step.result),
        "record": str(done.record),
        "admission": None if step.admission is None else str(step.admission),
        "exitCode": step.exit_code,
        "reports": [
            {"format": report.format, "digest": str(report.digest), "summary": dict(report.summary)}
            for report in step.reports
        ],
        "supersedes": [str(digest) for digest in step.supersedes],
    }


def _moved(moved: Moved) -> dict[str, int]:
    return {"manifests": moved.manifests, "blobs": moved.blobs, "bytes": moved.bytes, "mounted": moved.mounted}


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
