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
from attestations.signers.identities import IdentityVerifier
from attestations.verify import Rejected, Verified, sift
from pipeline.anchors import Revocations
from pipeline.definition import Pipeline
from pipeline.places import Image
from registries import tree
from registries.digest import Digest
from registries.errors import Reason
from registries.registry import Location
from registries.shelf import Shelf
from stages.evidence import Evidence, Platform, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What the places say about one image; `bundles` are the exact bytes of each record, `fetched` says where.

    `attached` is what other tools attached in forms of their own; what of it is evidence is in `records` too.
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
    whole: bool = False,
) -> Gathered:
    """Fetch everything that is said about `subject` in these places, and verify each statement for itself.

    With `reports`, what the gates will have to read is fetched with them. With `whole`, what other tools attached and
    is no evidence is looked for too.
    """
    with ThreadPoolExecutor(1) as beside:
        fetching = beside.submit(store.fetch, places, subject, shelf=shelf, reports=reports)
        found = look(places, subject, lambda: fetching.result().listed, shelf=shelf, whole=whole)
    fetched = fetching.result()
    verifier = IdentityVerifier(pipeline.identities, now, pipeline.sigstore)
    verified, rejected = sift(verifier, fetched.bundles, subject)
    others = believe(verifier, found, subject)
    counted = {item.record for item in others.verified} - {item.record for item in verified}
    revoked = [
        (item, revocations.reason_for(item))
        for item in (*verified, *(item for item in others.verified if item.record in counted))
    ]
    records = Records(
        subject=subject,
        verified=tuple(item for item, reason in revoked if reason is None),
        rejected=(
            *(item for item in fetched.unreadable if item.record not in counted),
            *fetched.misdescribed,
            *rejected,
            *(item for item in others.rejected if item.record not in {one.record for one in fetched.unreadable}),
            *(_withdrawn(item, reason) for item, reason in revoked if reason),
        ),
    )
    withdrawn = {item.record: reason for item, reason in revoked if reason}
    return Gathered(
        records=records,
        bundles={bundle.record: bundle for bundle in fetched.bundles},
        fetched=fetched,
        attached=tuple(
            one.refused(withdrawn[one.record]) if one.record in withdrawn else one for one in others.attachments
        ),
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
        )
    except ChainBroken as broken:
        if changed := _stranger(image, (stage,), records):
            raise ChainBroken.of((changed, *broken.reasons)) from broken
        raise


def evidence(
    found: Sequence[tree.Platform],
    gathered: Gathered,
    chain: Chain,
    places: Sequence[Location],
    *,
    now: datetime,
    shelf: Shelf,
) -> Evidence:
    """What the gates may see; the reports of the chain's steps are read here, so that gates need no I/O."""
    return Evidence(
        subject=chain.subject,
        platforms=tuple(Platform(name=it.name, manifest=it.manifest, config=it.config) for it in found),
        chain=chain,
        reports=tuple(_reports(chain, places, shelf)),
        statements=gathered.records.verified,
        rejected=gathered.records.rejected,
        now=now,
    )


def _reports(chain: Chain, places: Sequence[Location], shelf: Shelf) -> list[Report]:
    return [
        Report(
            format=report.format,
            content=store.fetch_report(places, report.digest, report.size, shelf=shelf),
            digest=report.digest,
            record=proof.verified.record,
            signer=proof.verified.signer,
            stage=link.stage,
            step=proof.step.step,
            finished_at=proof.step.finished_at,
        )
        for link in chain.links
        for proof in link.steps
        for report in proof.step.reports
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
