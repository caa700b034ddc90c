"""Gathering: everything that is said about an image, fetched, verified offline, and sorted into believed and not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from attestations import store
from attestations.bundle import Bundle
from attestations.chain import Chain, Records, verify_chain
from attestations.errors import ChainBroken
from attestations.foreign.attachment import Attachment
from attestations.foreign.look import believe, look
from attestations.records.waivers import pipeline_subject
from attestations.signers.identities import IdentityVerifier
from attestations.verify import Rejected, Verified, sift
from pipeline import on_source as source
from pipeline.anchors import Revocations
from pipeline.definition import Pipeline
from pipeline.places import Image
from registries import tree
from registries.digest import Digest
from registries.errors import Reason
from registries.limits import MANIFEST_BYTES, QUESTIONS_AT_ONCE
from registries.registry import Location
from registries.shelf import Shelf
from stages.evidence import UNDATED, Asked, Evidence, Platform, Report
from stages.reports import NAMES_LAYERS
from stages.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What the places say about one image; `bundles` are the exact bytes of each record, `fetched` says where.

    `attached` is what other tools attached in forms of their own, once that was asked for (`with_attached`).
    """

    records: Records
    bundles: Mapping[Digest, Bundle]
    fetched: store.Fetched
    attached: tuple[Attachment, ...] = ()


def gather(
    subject: Digest,
    places: Sequence[Location],
    *,
    pipeline: Pipeline,
    revocations: Revocations,
    now: datetime,
    shelf: Shelf,
    reports: bool = False,
) -> Gathered:
    """Fetch every bundle that refers to `subject` in these places, and verify each one for itself.

    With `reports`, what the gates will have to read is fetched with them.
    """
    fetched = store.fetch(places, subject, shelf=shelf, reports=reports)
    verifier = IdentityVerifier(pipeline.identities, now, pipeline.sigstore)
    bundles = {bundle.record: bundle for bundle in fetched.bundles}
    verified, rejected = sift(verifier, fetched.bundles, subject)
    believed, withdrawn = _parted(verified, revocations)
    on_source: tuple[Verified, ...] = ()
    if source.wanted(pipeline):
        of_commits, rejected = source.records_on_source(verifier, bundles, rejected)
        on_source, revoked = _parted(of_commits, revocations)
        withdrawn = (*withdrawn, *revoked)
    records = Records(
        subject=subject,
        verified=believed,
        rejected=(*fetched.unreadable, *fetched.misdescribed, *rejected, *withdrawn),
        on_source=on_source,
        built_from=tuple(source.built_from(believed)) if source.wanted(pipeline) else (),
    )
    return Gathered(records=records, bundles=bundles, fetched=fetched)


def with_attached(
    gathered: Gathered,
    places: Sequence[Location],
    *,
    pipeline: Pipeline,
    revocations: Revocations,
    now: datetime,
    shelf: Shelf,
    whole: bool = False,
) -> Gathered:
    """The same, with what other tools attached in forms of their own; what a configured signer signed is evidence.

    It is no part of any chain, so whoever asks for a chain alone need not look. With `whole`, what is no evidence in
    any case is looked for too.
    """
    subject, before = gathered.records.subject, gathered.records
    found = look(places, subject, gathered.fetched.listed, shelf=shelf, whole=whole)
    others = believe(IdentityVerifier(pipeline.identities, now, pipeline.sigstore), found, subject)
    known = frozenset(gathered.bundles)
    believed, withdrawn = _parted([item for item in others.verified if item.record not in known], revocations)
    counted = frozenset(item.record for item in believed)
    told = frozenset(item.record for item in before.rejected)
    records = replace(
        before,
        verified=(*before.verified, *believed),
        rejected=(
            *(item for item in before.rejected if item.record not in counted),
            *(item for item in (*others.rejected, *withdrawn) if item.record not in told),
        ),
    )
    reasons = {item.record: item.reason for item in withdrawn}
    attached = tuple(one.refused(reasons[one.record]) if one.record in reasons else one for one in others.attachments)
    return replace(gathered, records=records, attached=attached)


def _parted(
    verified: Sequence[Verified], revocations: Revocations
) -> tuple[tuple[Verified, ...], tuple[Rejected, ...]]:
    """What is left when the revoked signers are taken out, and what is not."""
    revoked = [(item, revocations.reason_for(item)) for item in verified]
    return (
        tuple(item for item, reason in revoked if reason is None),
        tuple(_withdrawn(item, reason) for item, reason in revoked if reason),
    )


def chain_before(stage: str, image: Image, records: Records, *, pipeline: Pipeline, now: datetime) -> Chain:
    """The chain that must lead to `stage`, or `ChainBroken`; a tag at a stranger is said to have changed."""
    wanted = pipeline.stage(stage)
    try:
        return verify_chain(
            records,
            after=wanted.after,
            any_of=wanted.any_of,
            stages=pipeline.before(stage),
            lineage=pipeline.lineage,
            now=now,
        )
    except ChainBroken as broken:
        if changed := _stranger(image, wanted.after, records):
            raise ChainBroken.of((changed, *broken.reasons)) from broken
        raise


def chain_to(stage: str, image: Image, records: Records, *, pipeline: Pipeline, now: datetime) -> Chain:
    """The chain up to and with the admission to `stage`; the stage's own steps are not asked for."""
    here = replace(pipeline.expected(stage), steps=())
    try:
        return verify_chain(
            records,
            after=(stage,),
            any_of=False,
            stages=(*pipeline.before(stage), here),
            lineage=pipeline.lineage,
            now=now,
            last=stage,
        )
    except ChainBroken as broken:
        if changed := _stranger(image, (stage,), records):
            raise ChainBroken.of((changed, *broken.reasons)) from broken
        raise


def of_platforms(
    found: Sequence[tree.Platform],
    subject: Digest,
    places: Sequence[Location],
    *,
    pipeline: Pipeline,
    revocations: Revocations,
    now: datetime,
    shelf: Shelf,
) -> tuple[Records, ...]:
    """What is said about each platform of an index: builders and scanners attest there, and no chain does.

    samebits' own records there are of another promotion, and say nothing about this one.
    """

    def ask(platform: tree.Platform) -> Records:
        gathered = gather(platform.manifest, places, pipeline=pipeline, revocations=revocations, now=now, shelf=shelf)
        records = with_attached(
            gathered, places, pipeline=pipeline, revocations=revocations, now=now, shelf=shelf
        ).records
        return replace(records, verified=tuple(item for item in records.verified if item.claim is None))

    others = [platform for platform in found if platform.manifest != subject]
    if not others:
        return ()
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        return tuple(pool.map(ask, others))


def evidence(
    found: Sequence[tree.Platform],
    gathered: Gathered,
    chain: Chain,
    places: Sequence[Location],
    *,
    now: datetime,
    shelf: Shelf,
    below: Sequence[Records] = (),
    admitters: Sequence[str] = (),
    asked: Asked | None = None,
    configs: Mapping[Digest, bytes] | None = None,
    waivers: Sequence[Verified] = (),
) -> Evidence:
    """What the gates may see; the reports of the chain's steps are read here, so that gates need no I/O.

    `below` is what is said about the platforms, `admitters` are the names of those who may admit to the stage.
    """
    records = (gathered.records, *below)
    return Evidence(
        subject=chain.subject,
        platforms=tuple(Platform(name=it.name, manifest=it.manifest, config=it.config) for it in found),
        chain=chain,
        reports=tuple(_reports(chain, places, shelf)),
        statements=tuple({item.record: item for one in records for item in one.verified}.values()),
        rejected=tuple({item.record: item for one in records for item in one.rejected}.values()),
        now=now,
        admitters=tuple(admitters),
        asked=asked,
        configs=configs or {},
        waivers=tuple(waivers),
    )


def waivers_in(
    bundles: Sequence[Bundle], *, pipeline: Pipeline, revocations: Revocations, now: datetime
) -> tuple[Verified, ...]:
    """The waivers records that are believed: about this pipeline, by any of its signers. A gate says whose count."""
    verifier = IdentityVerifier(pipeline.identities, now, pipeline.sigstore)
    verified, _ = sift(verifier, bundles, pipeline_subject(pipeline.name))
    return _parted(verified, revocations)[0]


def configurations(
    stage: Stage, chain: Chain, found: tree.Tree, place: Location, *, shelf: Shelf
) -> dict[Digest, bytes]:
    """The configurations of all platforms, where a gate or the reader of a report looks at them.

    One that is too large is left out.
    """
    formats = {report.format for link in chain.links for proof in link.steps for report in proof.reports}
    if NAMES_LAYERS.isdisjoint(formats) and not any(getattr(gate, "needs_config", False) for _, gate in stage.gates):
        return {}
    wanted = {it.config.digest: it.config for it in found.manifests.values() if it.config is not None}
    small = [config for config in wanted.values() if config.size <= MANIFEST_BYTES]
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        return dict(pool.map(lambda config: (config.digest, shelf.blob(place, config)), small))


def _reports(chain: Chain, places: Sequence[Location], shelf: Shelf) -> list[Report]:
    return [
        Report(
            format=report.format,
            content=store.fetch_report(places, report.digest, report.size, shelf=shelf),
            digest=report.digest,
            record=proof.verified.record,
            signer=proof.verified.signer,
            stage=link.stage,
            step=proof.name,
            finished_at=proof.finished_at or UNDATED,
            commit=proof.step.commit.hex if proof.step is not None and proof.step.commit is not None else "",
        )
        for link in chain.links
        for proof in link.steps
        for report in proof.reports
    ]


def _stranger(image: Image, stages: Sequence[str], records: Records) -> Reason | None:
    """Only an admission moves a stage's tag: one that points at an image never admitted there was moved by others."""
    if image.tag is None or any(records.admissions(stage) for stage in stages):
        return None
    where = f"{image.place}:{image.tag}"
    message = f"the tag now points at {image.digest}, which was never admitted to {' or '.join(stages)}"
    return Reason(
        "digest-changed", message, where, "promote the digest that was admitted, or admit the new image first"
    )


def _withdrawn(item: Verified, reason: Reason) -> Rejected:
    claim = item.claim
    stage = getattr(claim, "stage", "")
    return Rejected(
        record=item.record,
        reason=reason,
        says=(item.statement.predicate_type, stage, getattr(claim, "step", "")),
    )
