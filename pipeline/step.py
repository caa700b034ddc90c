"""A step of a stage: run its command or read its report, and record that it was done on exactly this image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches

from attestations import store
from attestations.bundle import Bundle
from attestations.chain import Link
from attestations.commit import Commit
from attestations.errors import AttestationError
from attestations.records.step import FileLink, InImage, ReportLink, StepRecord, StepResult, step_statement
from attestations.verify import Signer
from pipeline.definition import Pipeline
from pipeline.gather import chain_to, gather
from pipeline.places import Image
from pipeline.promote import Tools, reference_of
from registries.digest import Digest
from registries.errors import Reason, Refusal, UsageError
from stages.reports import REPORTS
from stages.stage import Stage, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Intended:
    """A step that may be recorded now: the image was admitted to the stage, and the signer may sign the step.

    `subject` is a commit for a step on the source, which comes after no admission. `supersedes` names every earlier
    record of it, so that the new one stands alone whichever of them still count.
    """

    subject: Image | Commit
    stage: str
    step: Step
    pipeline: Pipeline
    admission: Link | None
    supersedes: tuple[Digest, ...]

    @property
    def about(self) -> Digest | Commit:
        """What the record is about."""
        return self.subject if isinstance(self.subject, Commit) else self.subject.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What happened: when, by which command with which exit code, and the reports (format, bytes) it made.

    `faults` say why the step failed, before its reports are looked into; see `StepRecord` for the others.
    """

    started_at: datetime
    finished_at: datetime
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    reports: tuple[tuple[str, bytes], ...] = ()
    faults: tuple[Reason, ...] = ()
    program: FileLink | None = None
    environment: tuple[str, ...] = ()
    in_image: InImage | None = None
    streams: tuple[FileLink, ...] = ()
    produced: tuple[FileLink, ...] = ()


def intend(image: Image, stage: str, step: str, *, pipeline: Pipeline, tools: Tools, now: datetime) -> Intended:
    """Check everything that can be checked before the step runs. Writes nothing."""
    defined = defined_step(pipeline, stage, step)
    if defined.builders is not None:
        message = "it is done on the source commit, before there is an image"
        hint = (
            f"samebits step {stage} {step} git:COMMIT --into FOLDER, then {stage} {step} {image.digest} --from FOLDER"
        )
        raise UsageError("step-subject-differs", message, where=f"step {step} of {stage}", hint=hint)
    may_sign(tools.signer, defined, stage)
    places = tools.places.stage(pipeline, stage)[:1]
    records = gather(
        image.digest, places, pipeline=pipeline, revocations=tools.revocations, now=now, shelf=tools.shelf
    ).records
    admission = chain_to(stage, image, records, pipeline=pipeline, now=now).links[-1]
    return Intended(
        subject=image,
        stage=stage,
        step=defined,
        pipeline=pipeline,
        admission=admission,
        supersedes=tuple(
            verified.record
            for verified, earlier in records.steps(stage, step)
            if earlier.admission == admission.record and defined.by.admits(verified.signer)
        ),
    )


def record(intended: Intended, done: Done, *, tools: Tools) -> tuple[Digest, StepRecord]:
    """Sign what happened and attach it, a failure as well as a success. Returns the record's digest and content."""
    bundle, step = signed(intended, done, tools=tools)
    if isinstance(intended.subject, Image):
        attach(
            intended.pipeline,
            intended.stage,
            intended.subject.digest,
            (bundle,),
            done.reports,
            tools=tools,
            now=done.finished_at,
        )
    return bundle.record, step


def signed(intended: Intended, done: Done, *, tools: Tools) -> tuple[Bundle, StepRecord]:
    """The signed record of what happened, attached nowhere yet."""
    if tools.signer is None:
        raise Refusal("key-missing", "a step can't be recorded without a signer", hint="--key FILE")
    read = [(kind, content, read_report(kind, content)) for kind, content in done.reports]
    if _went_well(intended.step, done):
        check_reports(intended, [kind for kind, _ in done.reports])
    step = StepRecord(
        pipeline=reference_of(intended.pipeline),
        stage=intended.stage,
        step=intended.step.name,
        admission=None if intended.admission is None else intended.admission.record,
        spec=intended.step.spec,
        result=_result(intended.step, done, [summary for _, _, summary in read]),
        started_at=done.started_at,
        finished_at=done.finished_at,
        command=done.command,
        exit_code=done.exit_code,
        reports=tuple(
            ReportLink(format=kind, digest=Digest.of(content), size=len(content), summary=summary)
            for kind, content, summary in read
        ),
        supersedes=intended.supersedes,
        reason="; ".join(fault.message for fault in done.faults),
        program=done.program,
        environment=done.environment,
        in_image=done.in_image,
        streams=done.streams,
        produced=done.produced,
    )
    bundle = tools.signer.sign(step_statement(step, intended.about))
    return bundle, replace(step, commit=intended.about if isinstance(intended.about, Commit) else None)


def failure(intended: Intended, done: Done) -> Reason:
    """How a step that is on record as failed is told."""
    why = "; ".join(fault.message for fault in done.faults) or "see what is in its reports"
    code = done.faults[0].code if done.faults else "step-not-passed"
    where = f"step {intended.step.name} of {intended.stage}"
    return Reason(code, f"the step failed, and the failure is on record: {why}", where)


def attach(
    pipeline: Pipeline,
    stage: str,
    image: Digest,
    bundles: Sequence[Bundle],
    reports: Sequence[tuple[str, bytes]],
    *,
    tools: Tools,
    now: datetime,
) -> None:
    """Hang records and reports on the image at every place of the stage."""
    for place in tools.places.stage(pipeline, stage):
        subject = place.registry.manifest(place.repository, image).descriptor
        store.attach(place, subject, bundles, reports=reports, created=now, shelf=tools.shelf, sleep=tools.sleep)


def defined_step(pipeline: Pipeline, stage: str, name: str) -> Step:
    """The step of this name that is recorded here; one that others attest is not."""
    found = _defined(pipeline.stage(stage), name)
    if found.attested:
        message = f"it is what {found.by} attests as {found.attested}; nothing is recorded for it"
        hint = f"cosign attest --type {found.attested} --predicate FILE IMAGE"
        raise UsageError("step-is-attested", message, where=f"step {name} of {stage}", hint=hint)
    return found


def _defined(stage: Stage, name: str) -> Step:
    found = next((step for step in stage.steps if step.name == name), None)
    if found is None:
        known = [step.name for step in stage.steps]
        near = get_close_matches(name, known, n=1)
        message = f"{stage.name} has no step {name!r}; it has {', '.join(known) or 'none'}"
        raise UsageError("step-unknown", message, hint=f"did you mean {near[0]}?" if near else "")
    return found


def may_sign(signer: Signer | None, step: Step, stage: str) -> None:
    """Refuse before anything is done when this run's signer may not record the step."""
    if signer is not None and not signer.is_one_of(step.by):
        raise AttestationError(
            "signer-not-for-stage",
            f"{signer.public_name} may not record it; {step.by} may",
            where=f"step {step.name} of {stage}",
            hint="sign with the key of one of them: --key FILE",
        )


def check_reports(intended: Intended, given: Sequence[str]) -> None:
    """Refuse a step that comes without the report that its definition asks for."""
    wanted = intended.step.evidence
    if wanted is not None and wanted not in given:
        name = f"{intended.stage} {intended.step.name} {intended.about}"
        raise UsageError(
            "report-missing",
            f"the step asks for a {wanted} report",
            where=f"step {intended.step.name} of {intended.stage}",
            hint=f"samebits step {name} --report {wanted}=FILE",
        )


def read_report(kind: str, content: bytes) -> tuple[tuple[str, int], ...]:
    """Read the report, which refuses what is no such report, and count what is in it."""
    return REPORTS[kind](content).counts


def _went_well(step: Step, done: Done) -> bool:
    return not done.faults and done.exit_code in (None, *step.exit_codes)


def _result(step: Step, done: Done, summaries: Sequence[tuple[tuple[str, int], ...]]) -> StepResult:
    """A command or a test that failed is a failed step; what scanners find is for the gates to judge."""
    failed = any(dict(summary).get("failed", 0) for summary in summaries)
    return StepResult.PASSED if _went_well(step, done) and not failed else StepResult.FAILED
