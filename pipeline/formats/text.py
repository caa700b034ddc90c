"""Results as text for people: short, aligned, digests whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attestations.chain import Link
from attestations.foreign.attachment import Attachment
from attestations.records.admission import AdmissionKind
from pipeline.audit import StageStory, Standing, Story, Verification
from pipeline.formats.result import Result, Shown, StepDone, Told
from pipeline.promote import Admitted, Plan, Promotion
from pipeline.rewrap import Rewrapped
from registries.copy import Moved
from registries.limits import KIB

_MARKS = {Standing.ADMITTED: "✔", Standing.ABSENT: "·", Standing.BROKEN: "✘", Standing.UNREAD: "?"}


def render(result: Result) -> str:
    """The text of a result, ending in a newline; empty when there is nothing but reasons, which go to stderr."""
    return "".join(f"{line}\n" for line in _lines(result.shown))


def _lines(shown: Shown | None) -> Iterable[str]:
    match shown:
        case None:
            return ()
        case Promotion():
            return _promotion(shown)
        case Plan():
            return _plan(shown)
        case Verification():
            return _verification(shown)
        case Story():
            return _story(shown)
        case StepDone():
            return _step(shown)
        case Rewrapped():
            return _rewrapped(shown)
        case Told():
            return (*((shown.heading,) if shown.heading else ()), *_facts(shown.lines))


def _promotion(promotion: Promotion) -> Iterable[str]:
    plan = promotion.plan
    before = "already admitted" if isinstance(plan.leave, Admitted) else "admitted"
    yield f"{before} to {plan.stage.name}: {plan.image.digest}"
    yield from _facts(
        (
            ("record", str(promotion.record)),
            *(("tag", f"{move.place}:{move.tag}") for move in plan.tags),
            ("moved", _moved(promotion.moved)),
        )
    )


def _plan(plan: Plan) -> Iterable[str]:
    if isinstance(plan.leave, Admitted):
        yield f"already admitted to {plan.stage.name}: {plan.image.digest}"
        yield from _facts((("record", str(plan.leave.record)), ("would write", "nothing")))
        return
    yield f"would be admitted to {plan.stage.name}: {plan.image.digest}"
    facts = [("gate", f"{verdict.gate}: {verdict.outcome}") for verdict in plan.leave.verdicts]
    for transfer in plan.transfers:
        facts.append(("copy", f"{transfer.source} to {transfer.destination}"))
        facts.append(("", f"{len(transfer.blobs)} blobs, {size(transfer.bytes)}, {transfer.mounts} mounted"))
        facts.append(("", f"{len(transfer.manifests)} manifests, about {transfer.requests} requests"))
    facts.append(("sign", "1 admission record, 1 SLSA summary"))
    facts += [
        ("tag", f"{move.place}:{move.tag} from {move.now_at or 'nowhere'} to {plan.image.digest}") for move in plan.tags
    ]
    yield from _facts(facts)


def _verification(verification: Verification) -> Iterable[str]:
    yield f"verified in {verification.stage}: {verification.image.digest}"
    yield from _facts(
        (
            *((link.stage, f"{link.record} by {link.verified.signer.name}") for link in verification.chain.links),
            ("definition", str(verification.link.admission.pipeline.definition)),
        )
    )


def _story(story: Story) -> Iterable[str]:
    tag = f" ({story.image.tag})" if story.image.tag else ""
    yield f"{story.pipeline.name}{tag} {story.image.digest}"
    last = len(story.stages) - 1
    for number, stage in enumerate(story.stages):
        branch, stem = ("└─", "   ") if number == last else ("├─", "│  ")
        yield f"{branch} {_MARKS[stage.standing]} {_stage_line(stage)}"
        yield from (f"{stem} {line}" for line in _stage_details(stage))
    if story.rejected:
        yield f"not believed: {len(story.rejected)}"
        yield from (f"  {item.record} {item.reason.message} [{item.reason.code}]" for item in story.rejected)

    if story.attached:
        yield f"also attached: {len(story.attached)}"
        yield from (f"  {line}" for item in story.attached for line in _attachment(item))


def _attachment(item: Attachment) -> Iterable[str]:
    says = f": {item.says}" if item.says else ""
    reason = f" [{item.reason.code}]" if item.reason else ""
    yield f"{item.writer} {item.what} {item.standing}{says}{reason}"
    yield f"     {item.record} at {item.where}"


def _rewrapped(rewrapped: Rewrapped) -> Iterable[str]:
    yield f"{'would be rewrapped' if rewrapped.dry_run else 'rewrapped'}: {rewrapped.image.digest}"
    for item in rewrapped.items:
        yield f"  {item.outcome} {item.predicate_type or 'unread'} {item.layer}"
        if item.record is not None:
            yield f"       as {item.record}"
        yield from (f"       not carried: {reason.message} [{reason.code}]" for reason in item.left)
    if not rewrapped.items:
        yield "  nothing is attached in an older form"


def _stage_line(stage: StageStory) -> str:
    tags = f" as {', '.join(stage.tags)}" if stage.tags else ""
    match stage.standing:
        case Standing.ADMITTED if stage.link is not None:
            decided = _time(stage.link.admission.decided_at)
            return f"{stage.stage}: admitted{tags} {decided} by {stage.link.verified.signer.name}"
        case Standing.ABSENT:
            return f"{stage.stage}: not admitted"
        case Standing.UNREAD:
            return f"{stage.stage}: could not be read"
        case _:
            return f"{stage.stage}: BROKEN{tags}"


def _stage_details(stage: StageStory) -> Iterable[str]:
    if stage.link is not None:
        yield from _link_lines(stage.link)
    for step in stage.steps:
        if step.record is None:
            yield f"  step {step.name}: missing"
        else:
            when = _time(step.finished_at) if step.finished_at else "at no proven time"
            yield f"  step {step.name}: {step.result} {when} by {step.signer}"
            yield f"       {step.record}"
    for fault in stage.faults:
        yield f"  {fault.message} [{fault.code}]"


def _link_lines(link: Link) -> Iterable[str]:
    yield f"  record {link.record}"
    if link.admission.kind is not AdmissionKind.PROMOTION:
        yield f"  kind {link.admission.kind}"
    yield from (f"  approval {record}" for record in link.admission.approvals)
    for gate in link.admission.gates:
        yield f"  gate {gate.gate}: {gate.verdict} ({_counts(gate.counts)})"
    for before in link.admission.predecessors:
        yield f"  after {before.stage} {before.record}"


def _step(done: StepDone) -> Iterable[str]:
    step = done.step
    yield f"step {step.step} of {step.stage} {step.result}: {done.subject}"
    facts = [("record", str(done.record))]
    facts.append(("on", str(step.commit)) if step.commit is not None else ("after", str(step.admission)))
    if step.exit_code is not None:
        facts.append(("exit code", str(step.exit_code)))
    facts += [("report", f"{report.format} {report.digest} ({_counts(report.summary)})") for report in step.reports]
    facts += [("replaces", str(digest)) for digest in step.supersedes]
    yield from _facts(facts)


def _facts(facts: Iterable[tuple[str, str]]) -> Iterable[str]:
    pairs = list(facts)
    width = max((len(name) for name, _ in pairs), default=0)
    return (f"  {name:<{width}}  {value}" for name, value in pairs)


def _counts(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts if count) or "nothing found"


def _moved(moved: Moved) -> str:
    if not (moved.manifests or moved.blobs or moved.mounted):
        return "nothing"
    return f"{moved.manifests} manifests, {moved.blobs} blobs, {size(moved.bytes)}, {moved.mounted} mounted"


def size(count: int) -> str:
    """A number of bytes for people: binary units, one decimal."""
    amount = float(count)
    unit = "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < KIB:
            break
        amount, unit = amount / KIB, larger
    return f"{count} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ")
