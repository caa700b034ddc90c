"""The rule: verify the chain, judge the gates, copy, sign, read back, and move the tag last.

`plan` decides and writes nothing; `publish` takes a plan and does what it says. A copy without a decision does not
type-check: `publish` needs a `Plan`, a `Plan` that copies needs a `Permit`, and only `Decision.permit` makes one.
The registries are the only state: a run that was killed anywhere is run again and finds what is already there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from time import sleep as wait
from typing import Final

from attestations import store
from attestations.bundle import Bundle
from attestations.chain import Chain, Link, Records
from attestations.errors import AttestationError, ChainBroken
from attestations.foreign.attachment import What
from attestations.identity import Identity, Role
from attestations.records.admission import (
    Admission,
    AdmissionKind,
    Copied,
    GateOutcome,
    PipelineReference,
    Predecessor,
    StepLink,
    admission_statement,
)
from attestations.statement import Statement
from attestations.summary import summarizes, summary_statement
from attestations.verify import Signer
from pipeline.anchors import Revocations
from pipeline.definition import Pipeline
from pipeline.gather import (
    Gathered,
    chain_before,
    chain_to,
    configurations,
    evidence,
    gather,
    of_platforms,
    waivers_in,
    with_attached,
)
from pipeline.places import Image, Places
from registries.copy import JOBS, Moved, Progress, Transfer, copy_content, plan_copy, platforms, set_legacy_tags
from registries.digest import Digest
from registries.errors import NotFound, Reason, Refusal, TagMoved, Unavailable
from registries.limits import QUESTIONS_AT_ONCE
from registries.manifest import Manifest
from registries.presence import is_whole
from registries.registry import Location
from registries.shelf import Shelf
from registries.tree import Tree, tree
from stages.decision import Decision, Permit, decide
from stages.evidence import Asked
from stages.gates.approvals import NAME as APPROVALS
from stages.stage import Stage

SOURCE_TAG: Final = "{source_tag}"
_PLANNING_THREADS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Everything outside that a run uses. Without a signer nothing can be published.

    `by` names the CI run, `tool` this program; both are written into the record. `whole` asks for every byte of a
    blob to be read where one would do as a proof that it is there. `waivers` are records, not believed yet.
    """

    places: Places
    revocations: Revocations
    signer: Signer | None = None
    by: tuple[tuple[str, str], ...] = ()
    tool: tuple[tuple[str, str], ...] = ()
    jobs: int = JOBS
    whole: bool = False
    waivers: tuple[Bundle, ...] = ()
    shelf: Shelf = field(default_factory=Shelf)
    progress: Progress | None = None
    say: Callable[[str], None] = lambda _: None
    sleep: Callable[[float], None] = wait


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMove:
    """A tag of the stage, where it points now (None: nowhere), and so what the compare-and-set expects."""

    place: Location
    tag: str
    now_at: Digest | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """Nothing is left to do: the image was admitted before, and content, records and tags are all in place."""

    record: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a promotion would do. `leave` is the permit to do it, or says that all of it is done.

    `standing` and `summary` are an admission record and its SLSA summary that an interrupted run has left. `believed`
    are all statements that were believed; `warnings` say what else changes for others.
    """

    image: Image
    stage: Stage
    pipeline: Pipeline
    tree: Tree
    chain: Chain
    leave: Permit | Admitted
    transfers: tuple[Transfer, ...]
    tags: tuple[TagMove, ...]
    kind: AdmissionKind
    decided_at: datetime
    standing: Bundle | None = None
    summary: Bundle | None = None
    believed: frozenset[Digest] = frozenset()
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What was done: the plan, the admission record, and what moved (nothing, when it was admitted already)."""

    plan: Plan
    record: Digest
    moved: Moved


def promote(
    image: Image,
    stage: str,
    *,
    pipeline: Pipeline,
    tools: Tools,
    now: datetime,
    kind: AdmissionKind = AdmissionKind.PROMOTION,
) -> Promotion:
    """Admit `image` to `stage`, or raise every reason why not. The tag moves last."""
    return publish(plan(image, stage, pipeline=pipeline, tools=tools, now=now, kind=kind), tools=tools)


def plan(
    image: Image,
    stage: str,
    *,
    pipeline: Pipeline,
    tools: Tools,
    now: datetime,
    kind: AdmissionKind = AdmissionKind.PROMOTION,
) -> Plan:
    """Decide, and say what would move. Writes nothing.

    A rollback takes an image that was admitted before, and has every gate judge it anew. In an emergency, two people
    may let in what gates refuse; the chain is demanded all the same.

    All that does not depend on one another is asked for at the same time. What has to move is only looked for where
    tags and lists do not show already that nothing has to.
    """
    wanted = pipeline.stage(stage)
    _may_sign(tools.signer, wanted)
    tools.say(f"gathering what is known about {image.digest}")
    with ThreadPoolExecutor(_PLANNING_THREADS) as pool:
        asked = _Questions(
            image=image,
            stage=wanted,
            pipeline=pipeline,
            tools=tools,
            now=now,
            sources=_sources(image, wanted, pipeline, tools.places),
            destinations=tools.places.stage(pipeline, stage),
            pool=pool,
        )
        reading, gathering = pool.submit(tree, image.place, image.digest, shelf=tools.shelf), asked.gather()
        held = asked.tags()
        settled = bool(held) and all(at.now_at == image.digest for at in held)
        moving = [] if settled else asked.transfers()
        attaching = None if settled else asked.attached(gathering)
        found = reading.result()
        content = asked.content(found) if settled else []
        if withdrawn := [reason for digest in found.manifests if (reason := tools.revocations.image(digest))]:
            raise AttestationError.of(withdrawn)
        gathered = gathering.result()
        chain = chain_before(stage, image, gathered.records, pipeline=pipeline, now=now)
        if stopped := tools.revocations.stopped((*(link.stage for link in chain.links), stage), now):
            raise AttestationError.of(stopped)
        standing = _standing(wanted, image, gathered.records, pipeline=pipeline, now=now)
        if standing and standing.admission.kind is AdmissionKind.BREAK_GLASS and kind is not AdmissionKind.BREAK_GLASS:
            standing = None  # to be repaired by an ordinary admission
        going_back = kind is AdmissionKind.ROLLBACK and not settled
        if kind is AdmissionKind.ROLLBACK and standing is None:
            raise _never_here(wanted, image)
        for move in held:
            asked.may_move(move, gathered.records, back=going_back)
        if going_back:
            standing = None  # it gets a record of its own
        kept = (gathered.bundles[standing.record], _summary_of(standing, gathered)) if standing else (None, None)
        complete = (
            settled
            and _all_listed(kept, gathered, asked.sources, asked.destinations)
            and all(answer.result() for answer in content)
        )
        transfers = () if complete else tuple(future.result() for future in moving or asked.transfers())
        if not complete:
            gathered = (attaching or asked.attached(gathering)).result()
        for transfer in transfers:
            _brings_chain(transfer, chain, gathered)
    leave: Permit | Admitted
    believed = frozenset(item.record for item in gathered.records.verified)
    if standing and (complete or _is_complete(kept, transfers, held, gathered, image.digest)):
        leave = Admitted(standing.record)
    else:
        tools.say(f"judging the gates of {stage}")
        promoter = _who_signs(tools.signer, pipeline)
        decision = judged(
            image,
            wanted,
            found,
            gathered,
            chain,
            sources=asked.sources,
            pipeline=pipeline,
            tools=tools,
            now=now,
            promoter=promoter,
        )
        believed = frozenset(item.record for item in decision.evidence.statements)
        leave = decision.permit_in_emergency() if kind is AdmissionKind.BREAK_GLASS else decision.permit()
    return Plan(
        image=image,
        stage=wanted,
        pipeline=pipeline,
        tree=found,
        chain=chain,
        leave=leave,
        transfers=transfers,
        tags=held,
        kind=kind,
        decided_at=standing.admission.decided_at if standing else now,
        standing=kept[0],
        summary=kept[1],
        believed=believed,
        warnings=() if isinstance(leave, Admitted) else (*_warned(leave), *_hidden(image, wanted, gathered)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Questions:
    """What a plan asks the places, in the background."""

    image: Image
    stage: Stage
    pipeline: Pipeline
    tools: Tools
    now: datetime
    sources: tuple[Location, ...]
    destinations: tuple[Location, ...]
    pool: Executor

    def gather(self) -> Future[Gathered]:
        """Every record, and the reports that gates may have to read."""
        return self.pool.submit(self._gathered, self.image.digest, (*self.sources, *self.destinations), reports=True)

    def attached(self, gathering: Future[Gathered]) -> Future[Gathered]:
        """The same with what other tools attached, which gates may count and no chain needs."""
        return self.pool.submit(
            lambda: with_attached(
                gathering.result(),
                (*self.sources, *self.destinations),
                pipeline=self.pipeline,
                revocations=self.tools.revocations,
                now=self.now,
                shelf=self.tools.shelf,
            )
        )

    def tags(self) -> tuple[TagMove, ...]:
        """Where each tag of the stage points now."""
        asked = [(place, tag) for place in self.destinations for tag in stage_tags(self.stage, self.image.tag)]
        answers = self.pool.map(lambda pair: tag_now(pair[0], pair[1]), asked)
        return tuple(TagMove(place=place, tag=tag, now_at=at) for (place, tag), at in zip(asked, answers, strict=True))

    def content(self, found: Tree) -> list[Future[bool]]:
        """Whether each destination has the image whole."""
        return [self.pool.submit(is_whole, place, found, whole=self.tools.whole) for place in self.destinations]

    def transfers(self) -> list[Future[Transfer]]:
        """What has to move to each destination. The stages before have the image, in whatever registry they are."""
        before = [stage.name for stage in self.pipeline.before(self.stage.name)]
        holders = [place for name in before for place in self.tools.places.stage(self.pipeline, name)]
        return [
            self.pool.submit(
                plan_copy,
                self.image.digest,
                self.sources[0],
                destination,
                more_sources=self.sources[1:],
                holders=holders,
                whole=self.tools.whole,
                shelf=self.tools.shelf,
            )
            for destination in self.destinations
        ]

    def may_move(self, move: TagMove, records: Records, *, back: bool) -> None:
        """A tag moves on only from an image that was itself admitted here; `back` to an earlier one only on purpose."""
        held = move.now_at
        if held is None or held == self.image.digest:
            return
        where = f"{move.place}:{move.tag}"
        there = self._gathered(held, (move.place,), reports=False).records
        held_image = Image(digest=held, tag=None, place=move.place)
        holder = _standing(self.stage, held_image, there, pipeline=self.pipeline, now=self.now)
        if holder is None and not self._was_emergency(there):
            self._not_later(there, where)
            raise TagMoved(
                "tag-conflict",
                f"points at {held}, which was not admitted to {self.stage.name} by this pipeline",
                where=where,
                hint="find out who set the tag, then delete or rename it",
            )
        before, after = self._latest(records), self._latest(there)
        if not back and before is not None and after is not None and after > before:
            raise AttestationError(
                "rollback-refused",
                f"points at {held}, which was admitted after this image; going back needs a decision of its own",
                where=where,
                hint=f"samebits rollback {self.stage.name} {self.image.digest}",
            )

    def _was_emergency(self, records: Records) -> bool:
        """Whether the image came here in an emergency, which may be over: the tag is ours all the same."""
        return any(
            it.kind is AdmissionKind.BREAK_GLASS
            and self.stage.admit.admits(who.signer)
            and it.pipeline.name == self.pipeline.name
            and self.pipeline.lineage.includes(it.pipeline.definition)
            for who, it in records.admissions(self.stage.name)
        )

    def _latest(self, records: Records) -> datetime | None:
        """When the image was last admitted here or the tag last went back to it."""
        admissions = records.admissions(self.stage.name)
        return max((it.decided_at for who, it in admissions if self.stage.admit.admits(who.signer)), default=None)

    def _not_later(self, holder: Records, where: str) -> None:
        """Whoever goes back to an older definition finds that what was admitted since does not count (T092)."""
        lineage = self.pipeline.lineage
        for verified, admission in holder.admissions(self.stage.name):
            version, of_role = admission.pipeline.version, self.stage.admit.admits(verified.signer)
            if of_role and admission.pipeline.name == lineage.pipeline and version > lineage.version:
                message = f"points at {holder.subject}, which was admitted under version {version}"
                hint = f"version {lineage.version} is in force here; use the definition that replaced it"
                raise AttestationError("definition-rolled-back", message, where=where, hint=hint)

    def _gathered(self, subject: Digest, places: Sequence[Location], *, reports: bool) -> Gathered:
        return gather(
            subject,
            places,
            pipeline=self.pipeline,
            revocations=self.tools.revocations,
            now=self.now,
            shelf=self.tools.shelf,
            reports=reports,
        )


def judged(
    image: Image,
    stage: Stage,
    whole: Tree,
    gathered: Gathered,
    chain: Chain,
    *,
    sources: Sequence[Location],
    pipeline: Pipeline,
    tools: Tools,
    now: datetime,
    promoter: Identity | None,
) -> Decision:
    """What every gate of a stage says. Whoever approves an image sees by this what its promotion will see."""
    runnable, revocations, shelf = platforms(image.place, whole), tools.revocations, tools.shelf
    shown = evidence(
        runnable,
        gathered,
        chain,
        sources,
        now=now,
        shelf=shelf,
        below=of_platforms(
            runnable, image.digest, sources, pipeline=pipeline, revocations=revocations, now=now, shelf=shelf
        ),
        admitters=[signer.name for signer in stage.admit.signers],
        configs=configurations(stage, chain, whole, image.place, shelf=shelf),
        waivers=waivers_in(tools.waivers, pipeline=pipeline, revocations=revocations, now=now),
        asked=Asked(stage=stage.name, pipeline=reference_of(pipeline), promoter=promoter),
    )
    return decide(stage, shown)


def publish(intended: Plan, *, tools: Tools) -> Promotion:
    """Do what the plan says: blobs, manifests, referrers, records, and the tags when all of that is there."""
    if isinstance(intended.leave, Admitted):
        return Promotion(plan=intended, record=intended.leave.record, moved=_total(()))
    moved = _total(
        copy_content(intended.transfers, progress=tools.progress, jobs=tools.jobs, whole=tools.whole, shelf=tools.shelf)
    )
    records = _records(intended, intended.leave, moved, tools)
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        for _ in pool.map(lambda transfer: _attach(intended, transfer, records, tools), intended.transfers):
            pass
        for _ in pool.map(lambda move: _set(move, intended.tree.manifest), intended.tags):
            pass
    return Promotion(plan=intended, record=records[0].record, moved=moved)


def _attach(intended: Plan, transfer: Transfer, records: Sequence[Bundle], tools: Tools) -> None:
    """Everything that hangs on the image, the new records last, and the tags of older tools."""
    tools.say(f"attaching the admission record at {transfer.destination}")
    store.attach(
        transfer.destination,
        intended.tree.manifest.descriptor,
        records,
        created=intended.decided_at,
        reports=_waivers(intended, tools),
        copied=transfer.hanging,
        shelf=tools.shelf,
        sleep=tools.sleep,
    )
    set_legacy_tags(transfer)


def _waivers(intended: Plan, tools: Tools) -> tuple[tuple[str, bytes], ...]:
    """The records of the waivers that were used, so that whoever audits the image finds them beside it."""
    if isinstance(intended.leave, Admitted):
        return ()
    used = {used.record for verdict in intended.leave.verdicts for used in verdict.waivers}
    return tuple(("waivers", bundle.content) for bundle in tools.waivers if bundle.record in used)


def _set(move: TagMove, manifest: Manifest) -> None:
    move.place.registry.tag(move.place.repository, move.tag, manifest, expected=move.now_at)


def _brings_chain(transfer: Transfer, chain: Chain, gathered: Gathered) -> None:
    """What others attached badly may be left behind; of the records that the admission rests on, not one."""
    there = transfer.carried | gathered.fetched.records[transfer.destination]
    for link in chain.links:
        for record in (link.record, *(proof.verified.record for proof in link.steps)):
            if record not in there:
                why = "; ".join(str(reason) for reason in transfer.skipped) or "it is not listed any more"
                raise Unavailable(
                    "attestation-not-visible",
                    f"a record of {link.stage}, on which the admission would rest, can't be copied: {why}",
                    where=transfer.source.at(record),
                    hint="run the same command again",
                )


def _never_here(stage: Stage, image: Image) -> AttestationError:
    return AttestationError(
        "rollback-refused",
        f"was never admitted to {stage.name}, so nothing goes back to it",
        where=str(image.digest),
        hint=f"samebits promote {stage.name} {image.digest}",
    )


def _who_signs(signer: Signer | None, pipeline: Pipeline) -> Identity | None:
    """Whose signature it will be, among all that the definition knows; None without a signer."""
    known = (one for one in pipeline.identities if signer and signer.is_one_of(Role(name=one.name, signers=(one,))))
    return next(known, None)


def _may_sign(signer: Signer | None, stage: Stage) -> None:
    """Refuse before anything is asked or moved when this run's signer may not admit to the stage."""
    if signer is not None and not signer.is_one_of(stage.admit):
        raise AttestationError(
            "signer-not-for-stage",
            f"{signer.public_name} may not admit to {stage.name}; {stage.admit} may",
            where=f"stage {stage.name}",
            hint="sign with the key of one of them: --key FILE",
        )


def reference_of(pipeline: Pipeline) -> PipelineReference:
    """How records name the pipeline and the definition that is in force."""
    return PipelineReference(name=pipeline.name, definition=pipeline.lineage.current, version=pipeline.lineage.version)


def predecessors_of(stage: Stage, chain: Chain) -> tuple[Predecessor, ...]:
    """The stages directly before, with the records that an admission rests on there."""
    links = [link for name in stage.after if (link := chain.link(name)) is not None]
    return tuple(
        Predecessor(
            stage=link.stage,
            record=link.record,
            steps=tuple(StepLink(name=proof.name, record=proof.verified.record) for proof in link.steps),
        )
        for link in links
    )


def _warned(permit: Permit) -> tuple[Reason, ...]:
    """What gates had to say and did not block for."""
    return tuple(warning for verdict in permit.verdicts for warning in verdict.warnings)


def _hidden(image: Image, stage: Stage, gathered: Gathered) -> tuple[Reason, ...]:
    """The first bundle of an image hides its older attestations from cosign 3, which then looks at bundles only.

    Source: cosign 3.1.3, `verify-attestation`; sigstore/cosign#4573.
    """
    older = [one for one in gathered.attached if one.what is What.ATTESTATION and one.where.endswith(".att")]
    if not older or gathered.fetched.bundles:
        return ()
    message = (
        f"cosign 3 will no longer find {len(older)} attestations in the older form, as the image gets its first bundle"
    )
    hint = f"samebits rewrap {image.digest} --stage {stage.name}"
    return (Reason("attestations-hidden", message, older[0].where, hint),)


def _sources(image: Image, stage: Stage, pipeline: Pipeline, places: Places) -> tuple[Location, ...]:
    """Where the image and its records are read: where it was found first, then the other stages before."""
    before = places.before(pipeline, stage.name)
    return (image.place, *(place for place in before if place != image.place))


def _standing(stage: Stage, image: Image, records: Records, *, pipeline: Pipeline, now: datetime) -> Link | None:
    """The admission to this very stage, if there is a whole one."""
    try:
        return chain_to(stage.name, image, records, pipeline=pipeline, now=now).link(stage.name)
    except ChainBroken:
        return None  # not admitted yet, or not by anything that counts


def _summary_of(standing: Link, gathered: Gathered) -> Bundle | None:
    """The summary that was signed beside an admission: the same signer, resting on that record."""
    for item in gathered.records.verified:
        is_summary = summarizes(item.statement, stage=standing.stage, record=standing.record)
        if is_summary and item.signer == standing.verified.signer:
            return gathered.bundles[item.record]
    return None


def _all_listed(
    kept: tuple[Bundle | None, Bundle | None],
    gathered: Gathered,
    sources: Sequence[Location],
    destinations: Sequence[Location],
) -> bool:
    """Whether every destination lists both records, and all that the sources list."""
    listed = gathered.fetched.listed
    wanted = frozenset(digest for place in sources for digest in listed[place])
    return all(_has_records(kept, gathered, place) and wanted <= listed[place] for place in destinations)


def _is_complete(
    kept: tuple[Bundle | None, Bundle | None],
    transfers: Sequence[Transfer],
    tags: Sequence[TagMove],
    gathered: Gathered,
    subject: Digest,
) -> bool:
    """Whether content, both records and all tags are in place at every destination."""
    return all(move.now_at == subject for move in tags) and all(
        transfer.is_empty and _has_records(kept, gathered, transfer.destination, read=True) for transfer in transfers
    )


def _has_records(
    kept: tuple[Bundle | None, Bundle | None], gathered: Gathered, place: Location, *, read: bool = False
) -> bool:
    """Whether a place lists the admission record and its summary, and with `read` also gives their bytes."""
    there = gathered.fetched.records[place]
    return all(
        bundle is not None
        and bundle.record in there
        and (not read or place.registry.holds(place.repository, store.bundle_layer(bundle)))
        for bundle in kept
    )


def stage_tags(stage: Stage, source_tag: str | None) -> tuple[str, ...]:
    """The tags that an admission sets. An image named by digest alone brings no `{source_tag}`."""
    filled = (tag.replace(SOURCE_TAG, source_tag) if source_tag else tag for tag in stage.tags)
    return tuple(dict.fromkeys(tag for tag in filled if SOURCE_TAG not in tag))


def tag_now(place: Location, tag: str) -> Digest | None:
    """What a tag points at, or None when there is no such tag."""
    try:
        return place.registry.resolve(place.repository, tag)
    except NotFound:
        return None


def _records(intended: Plan, permit: Permit, copied: Moved, tools: Tools) -> tuple[Bundle, Bundle]:
    """The admission record and its summary; those that stand are used again, byte for byte."""
    if tools.signer is None:
        raise Refusal("key-missing", "nothing can be published without a signer", hint="--key FILE")
    admission = intended.standing or tools.signer.sign(_admission(intended, permit, copied, tools))
    summary = intended.summary or tools.signer.sign(_summary(intended, permit, admission, tools))
    return admission, summary


def _admission(intended: Plan, permit: Permit, copied: Moved, tools: Tools) -> Statement:
    first = intended.transfers[0]
    return admission_statement(
        Admission(
            pipeline=reference_of(intended.pipeline),
            stage=intended.stage.name,
            kind=_kind(intended, permit),
            predecessors=predecessors_of(intended.stage, intended.chain),
            gates=tuple(
                GateOutcome(
                    gate=verdict.gate,
                    verdict=verdict.outcome,
                    counts=verdict.counts,
                    evidence=verdict.evidence,
                    newest_data=verdict.newest_data,
                    waivers=verdict.waivers,
                )
                for verdict in permit.verdicts
            ),
            approvals=permit.emergency or _approvals(permit),
            source=str(first.source),
            destination=str(first.destination),
            copied=Copied(manifests=copied.manifests, blobs=copied.blobs, bytes=copied.bytes, mounted=copied.mounted),
            decided_at=intended.decided_at,
            by=tools.by,
            tool=tools.tool,
        ),
        permit.subject,
    )


def _kind(intended: Plan, permit: Permit) -> AdmissionKind:
    """An emergency that no gate refused is an ordinary promotion."""
    if intended.kind is AdmissionKind.BREAK_GLASS and not permit.emergency:
        return AdmissionKind.PROMOTION
    return intended.kind


def _approvals(permit: Permit) -> tuple[Digest, ...]:
    """The approvals that gates counted."""
    return tuple(digest for verdict in permit.verdicts if verdict.gate == APPROVALS for digest in verdict.evidence)


def _summary(intended: Plan, permit: Permit, admission: Bundle, tools: Tools) -> Statement:
    rested_on = [admission.record]
    for link in intended.chain.links:
        rested_on += [link.record, *(proof.verified.record for proof in link.steps)]
    used = dict.fromkeys(digest for verdict in permit.verdicts for digest in verdict.evidence)
    return summary_statement(
        permit.subject,
        [it.manifest for it in platforms(intended.image.place, intended.tree) if it.manifest != permit.subject],
        stage=intended.stage.name,
        destination=str(intended.transfers[0].destination),
        pipeline=reference_of(intended.pipeline),
        inputs=tuple(rested_on),
        others=tuple(digest for digest in used if digest in intended.believed and digest not in rested_on),
        passed=not permit.emergency,
        decided_at=intended.decided_at,
        version=dict(tools.tool).get("version", ""),
    )


def _total(moved: Sequence[Moved]) -> Moved:
    return Moved(
        manifests=sum(item.manifests for item in moved),
        blobs=sum(item.blobs for item in moved),
        bytes=sum(item.bytes for item in moved),
        mounted=sum(item.mounted for item in moved),
    )
