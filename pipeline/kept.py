"""Steps on the source: recorded about a commit, kept in a folder, and attached to the image that was built from it.

The folder holds one bundle per record, `RECORD.sigstore.json`, and the reports that they name, `DIGEST.report`, each
under its sha256. Nothing in it is believed because it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from attestations.bundle import Bundle
from attestations.chain import Records
from attestations.commit import Commit
from attestations.errors import AttestationError, ChainBroken
from attestations.identity import Role
from attestations.records.step import StepRecord
from attestations.signers.identities import IdentityVerifier
from attestations.steps import not_of_the_source, source_of
from attestations.verify import Verified, sift
from pipeline.definition import Pipeline
from pipeline.gather import chain_to, gather
from pipeline.on_source import commit_of
from pipeline.places import Image
from pipeline.promote import Tools
from pipeline.step import Done, Intended, attach, defined_step, may_sign, signed
from pipeline.wiring import read_file
from registries.digest import Digest
from registries.errors import NotFound, Reason, UsageError
from registries.limits import BUNDLE_BYTES, REPORT_BYTES
from stages.stage import Step

_BUNDLE: Final = ".sigstore.json"
_REPORT: Final = ".report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record of a step that lies in the folder, believed about its commit."""

    bundle: Bundle
    verified: Verified
    step: StepRecord


def intend(
    commit: Commit, stage: str, step: str, *, pipeline: Pipeline, tools: Tools, folder: Path, now: datetime
) -> Intended:
    """Check what can be checked before a step on the source runs; earlier records in the folder are replaced."""
    defined, _ = _on_source(pipeline, stage, step)
    may_sign(tools.signer, defined, stage)
    earlier = [
        one
        for one in _read(folder, stage, defined, pipeline=pipeline, tools=tools, now=now)
        if one.step.commit == commit
    ]
    return Intended(
        subject=commit,
        stage=stage,
        step=defined,
        pipeline=pipeline,
        admission=None,
        supersedes=tuple(one.bundle.record for one in earlier),
    )


def keep(intended: Intended, done: Done, *, tools: Tools, folder: Path) -> tuple[Digest, StepRecord]:
    """Sign what happened and write it to the folder, the record last. Returns the record's digest and content."""
    bundle, record = signed(intended, done, tools=tools)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for _, content in done.reports:
            (folder / f"{Digest.of(content).hex}{_REPORT}").write_bytes(content)
        (folder / f"{bundle.record.hex}{_BUNDLE}").write_bytes(bundle.content)
    except OSError as error:
        raise UsageError("file-unreadable", f"can't be written: {error.strerror}", where=str(folder)) from error
    return bundle.record, record


def bring(
    image: Image, stage: str, step: str, *, pipeline: Pipeline, tools: Tools, folder: Path, now: datetime
) -> tuple[Digest, StepRecord]:
    """Attach the records of a step on the source to the image; what is about another commit than its own is refused.

    Returns the one that was made last. Nothing is signed here: records and provenance say all by themselves.
    """
    defined, builders = _on_source(pipeline, stage, step)
    found = _read(folder, stage, defined, pipeline=pipeline, tools=tools, now=now)
    if not found:
        message = f"there is no record of it by {defined.by} in the folder"
        raise NotFound("step-not-kept", message, where=str(folder))
    places = tools.places.stage(pipeline, stage)[:1]
    records = gather(
        image.digest, places, pipeline=pipeline, revocations=tools.revocations, now=now, shelf=tools.shelf
    ).records
    chain_to(stage, image, records, pipeline=pipeline, now=now)
    commit = _commit(records, builders, found, f"step {step} of {stage}")
    own = [one for one in found if one.step.commit == commit]
    reports = {
        link.digest: (link.format, link.digest.check(_report(folder, link.digest), where=str(folder)))
        for one in own
        for link in one.step.reports
    }
    bundles = [one.bundle for one in own]
    last = own[-1]
    attach(pipeline, stage, image.digest, bundles, tuple(reports.values()), tools=tools, now=last.step.finished_at)
    return last.bundle.record, last.step


def _commit(records: Records, builders: Role, found: Sequence[Kept], where: str) -> Commit:
    """The commit that the image was built from, if any of the records is about it."""
    commit = source_of(records.built_from, builders, where)
    if isinstance(commit, Reason):
        raise ChainBroken.of((commit,))
    if all(one.step.commit != commit for one in found):
        raise ChainBroken.of(not_of_the_source([one.step for one in found], commit, where))
    return commit


def _on_source(pipeline: Pipeline, stage: str, step: str) -> tuple[Step, Role]:
    """The step of this name, and those whose provenance ties it to an image."""
    defined = defined_step(pipeline, stage, step)
    if defined.builders is None:
        message = "it is done on the image, not on its source"
        hint = f"samebits step {stage} {step} IMAGE"
        raise UsageError("step-subject-differs", message, where=f"step {step} of {stage}", hint=hint)
    return defined, defined.builders


def _read(folder: Path, stage: str, step: Step, *, pipeline: Pipeline, tools: Tools, now: datetime) -> list[Kept]:
    """Every record of this step in the folder that is believed and by its role, the latest one last."""
    verifier = IdentityVerifier(pipeline.identities, now, pipeline.sigstore)
    found: list[Kept] = []
    for path in sorted(folder.glob(f"*{_BUNDLE}")):
        bundle = Bundle.from_bytes(read_file(path, BUNDLE_BYTES), where=str(path))
        commit = commit_of(bundle)
        if commit is None:
            continue
        verified, rejected = sift(verifier, (bundle,), commit)
        if rejected:
            raise AttestationError.of(tuple(item.reason for item in rejected))
        for item in verified:
            if (withdrawn := tools.revocations.reason_for(item)) is not None:
                raise AttestationError.of((withdrawn,))
            record = item.claim
            if isinstance(record, StepRecord) and (record.stage, record.step) == (stage, step.name):
                _check_signer(item, step, stage)
                found.append(Kept(bundle=bundle, verified=item, step=record))
    return sorted(found, key=lambda one: (one.step.finished_at, len(one.step.supersedes), one.bundle.record))


def _check_signer(item: Verified, step: Step, stage: str) -> None:
    if not step.by.admits(item.signer):
        message = f"{item.signer} may not record it; {step.by} may"
        raise AttestationError(
            "signer-not-for-stage", message, where=f"step {step.name} of {stage}, record {item.record}"
        )


def _report(folder: Path, digest: Digest) -> bytes:
    return read_file(folder / f"{digest.hex}{_REPORT}", REPORT_BYTES)
