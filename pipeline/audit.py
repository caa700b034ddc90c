"""The story of one image: every stage of the definition, what stands there, what it rests on, and what is wrong.

An audit shows; it never decides. Its verdicts are those of `verify_chain`, the same code that decides a promotion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from attestations.chain import Chain, Link, Records
from attestations.errors import ChainBroken
from attestations.foreign.attachment import Attachment
from attestations.steps import ExpectedStep, attested_step, source_of
from attestations.verify import Rejected
from pipeline.definition import Pipeline
from pipeline.gather import Gathered, chain_to, gather, with_attached
from pipeline.places import Image
from pipeline.promote import Tools, stage_tags, tag_now
from registries.digest import Digest
from registries.errors import Reason, Unauthorized, Unavailable
from registries.registry import Location
from registries.shelf import Shelf
from stages.stage import Stage


class Standing(StrEnum):
    """Where an image stands with a stage."""

    ADMITTED = "admitted"
    ABSENT = "absent"
    BROKEN = "broken"
    UNREAD = "unread"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStory:
    """A step of a stage as it was recorded; `result` is `missing` when there is no record."""

    name: str
    result: str
    record: Digest | None
    signer: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStory:
    """One stage: the link that counts, the steps done there, the stage's tags on this image, and every fault."""

    stage: str
    standing: Standing
    link: Link | None
    steps: tuple[StepStory, ...]
    tags: tuple[str, ...]
    faults: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All stages in the definition's order, the bundles that are not believed, and what other tools attached."""

    image: Image
    pipeline: Pipeline
    stages: tuple[StageStory, ...]
    rejected: tuple[Rejected, ...]
    attached: tuple[Attachment, ...] = ()

    @property
    def faults(self) -> tuple[Reason, ...]:
        """Everything that is wrong; empty for an image whose chain is whole as far as it goes."""
        return tuple(dict.fromkeys(fault for story in self.stages for fault in story.faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A stage's admission of an image, with the whole chain behind it."""

    image: Image
    stage: str
    chain: Chain

    @property
    def link(self) -> Link:
        """The admission to the stage itself."""
        return self.chain.links[-1]


def verify(image: Image, stage: str, *, pipeline: Pipeline, tools: Tools, now: datetime) -> Verification:
    """Is this digest admitted to this stage by a whole chain? Returns the proof, or raises every reason why not."""
    if withdrawn := tools.revocations.image(image.digest):
        raise ChainBroken.of((withdrawn,))
    if stopped := tools.revocations.stopped((stage,), now):
        raise ChainBroken.of(stopped)
    places = tools.places.stage(pipeline, stage)[:1]
    records = gather(
        image.digest, places, pipeline=pipeline, revocations=tools.revocations, now=now, shelf=Shelf()
    ).records
    return Verification(image=image, stage=stage, chain=chain_to(stage, image, records, pipeline=pipeline, now=now))


def audit(image: Image, *, pipeline: Pipeline, tools: Tools, now: datetime) -> Story:
    """Ask every stage's place about the image; what can't be read is said, never taken for absent.

    Nothing that another place or an earlier run has given stands in for what a place has to give itself.
    """
    readings = [
        _read(image, stage.name, pipeline=pipeline, tools=tools, now=now) for stage in pipeline.definition.stages
    ]
    read = [gathered for _, gathered in readings if gathered is not None]
    rejected = {item.record: item for gathered in read for item in gathered.records.rejected}
    attached = {(one.record, one.where, one.standing): one for gathered in read for one in gathered.attached}
    withdrawn = tools.revocations.image(image.digest)
    stories = tuple(story for story, _ in readings)
    if withdrawn is not None:
        stories = tuple(_with_fault(story, withdrawn) for story in stories)
    return Story(
        image=image,
        pipeline=pipeline,
        stages=stories,
        rejected=tuple(rejected.values()),
        attached=tuple(attached.values()),
    )


def _read(
    image: Image, stage: str, *, pipeline: Pipeline, tools: Tools, now: datetime
) -> tuple[StageStory, Gathered | None]:
    place = tools.places.stage(pipeline, stage)[0]
    try:
        shelf, revocations = Shelf(), tools.revocations
        gathered = gather(image.digest, (place,), pipeline=pipeline, revocations=revocations, now=now, shelf=shelf)
        gathered = with_attached(
            gathered, (place,), pipeline=pipeline, revocations=revocations, now=now, shelf=shelf, whole=True
        )
        tags = _tags_on(image, pipeline.stage(stage), place)
    except (Unavailable, Unauthorized) as error:
        unread = Reason("audit-incomplete", f"could not be read: {error}", where=str(place))
        reasons = (unread, *error.reasons)
        return _story(stage, Standing.UNREAD, faults=reasons), None
    records = gathered.records
    try:
        link = chain_to(stage, image, records, pipeline=pipeline, now=now).links[-1]
    except ChainBroken as broken:
        if not records.admissions(stage) and not tags:
            return _story(stage, Standing.ABSENT), gathered
        return _story(stage, Standing.BROKEN, tags=tags, faults=broken.reasons), gathered
    steps = tuple(_step_story(stage, step, records, link) for step in pipeline.expected(stage).steps)
    ended = (*tools.revocations.stopped((stage,), now), *_ended(stage, link, now))
    return _story(stage, Standing.ADMITTED, link=link, steps=steps, tags=tags, faults=ended), gathered


def _ended(stage: str, link: Link, now: datetime) -> Iterator[Reason]:
    """Waivers that the admission rested on and that have ended since: what they let stand stands by nothing now."""
    for gate in link.admission.gates:
        for used in gate.waivers:
            if now > used.expires:
                message = f"{stage} was admitted by the waiver {used.id}, which ended at {used.expires.isoformat()}"
                yield Reason("waiver-expired", message, f"gate {gate.gate}, record {used.record}")


def _story(
    stage: str,
    standing: Standing,
    *,
    link: Link | None = None,
    steps: tuple[StepStory, ...] = (),
    tags: tuple[str, ...] = (),
    faults: tuple[Reason, ...] = (),
) -> StageStory:
    return StageStory(stage=stage, standing=standing, link=link, steps=steps, tags=tags, faults=faults)


def _step_story(stage: str, step: ExpectedStep, records: Records, link: Link) -> StepStory:
    missing = StepStory(name=step.name, result="missing", record=None, signer="", finished_at=None)
    if step.attested:
        return _attested_story(step, records) or missing
    if step.builders is None:
        done = [pair for pair in records.steps(stage, step.name) if pair[1].admission == link.record]
    else:
        commit = source_of(records.built_from, step.builders, step.name)
        done = [pair for pair in records.source_steps(stage, step.name) if pair[1].commit == commit]
    if not done:
        return missing
    verified, last = done[-1]
    return StepStory(
        name=step.name,
        result=str(last.result),
        record=verified.record,
        signer=verified.signer.name,
        finished_at=last.finished_at,
    )


def _attested_story(step: ExpectedStep, records: Records) -> StepStory | None:
    counted = [item for item in records.attested(step.attested) if step.by.admits(item.signer)]
    if not counted:
        return None
    proof = attested_step(step, counted, step.name, named=None)
    shown = counted[-1] if isinstance(proof, Reason) else proof.verified
    return StepStory(
        name=step.name,
        result="failed" if isinstance(proof, Reason) else "passed",
        record=shown.record,
        signer=shown.signer.name,
        finished_at=shown.proved_time,
    )


def _tags_on(image: Image, stage: Stage, place: Location) -> tuple[str, ...]:
    """Which of the tags that the stage would give this image point at it now."""
    return tuple(tag for tag in stage_tags(stage, image.tag) if tag_now(place, tag) == image.digest)


def _with_fault(story: StageStory, fault: Reason) -> StageStory:
    if story.standing is Standing.ABSENT:
        return story
    return _story(
        story.stage, Standing.BROKEN, link=story.link, steps=story.steps, tags=story.tags, faults=(fault, *story.faults)
    )
