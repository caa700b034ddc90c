"""All that a gate may see: the image's digests, its chain, and what trusted signers reported about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from attestations.chain import Chain
from attestations.identity import Identity
from attestations.records.admission import PipelineReference
from attestations.verify import Rejected, Verified
from registries.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One image manifest of the subject (an index has several): the digests by which scanners may name it."""

    name: str
    manifest: Digest
    config: Digest


UNDATED: Final = datetime.min.replace(tzinfo=UTC)
"""When something was made that says it nowhere: longer ago than anything may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that somebody signed: recorded by a step of the chain, or the predicate of a foreign attestation.

    Recorded: exact bytes, checked against the digest in the signed step record. `finished_at` is when the step says it
    ended; nothing proves it but the signature of the one who says it. `commit`, where the step was done on a source
    commit, names it.

    Attested (`stages.attested`): `content` are the bytes of the predicate, `digest` and `record` that of the bundle,
    `finished_at` is when it was signed, where a log or authority proves that, else `UNDATED`; it has no stage, no step.

    `about` are those of the image's digests that the signed statement names; the whole image, where it is empty.
    """

    format: str
    content: bytes
    digest: Digest
    record: Digest
    signer: Identity
    stage: str
    step: str
    finished_at: datetime
    predicate_type: str = ""
    about: tuple[Digest, ...] = ()
    commit: str = ""

    @property
    def is_attested(self) -> bool:
        """Whether it is a foreign attestation, and no step has recorded it."""
        return bool(self.predicate_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the question is about: the stage, the definition in force, and who is to sign the admission.

    `promoter` is None where nothing will be signed. `findings` is the digest of what all other gates said, for those
    that judge last.
    """

    stage: str
    pipeline: PipelineReference
    promoter: Identity | None = None
    findings: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What `decide` is given. The chain is whole: evidence about an image of unknown origin can't be built.

    `statements` are believed statements about the image or one of its platforms by any signer of the definition.
    `configs` are the platforms' configurations by digest, where a gate needs them.
    `waivers` are waivers records (`WaiversRecord`) for this pipeline, by any signer of the definition.
    `admitters` are the names of those who may admit to the stage: where a gate names nobody, their attestations count.
    """

    subject: Digest
    platforms: tuple[Platform, ...]
    chain: Chain
    reports: tuple[Report, ...]
    statements: tuple[Verified, ...]
    rejected: tuple[Rejected, ...]
    now: datetime
    admitters: tuple[str, ...] = ()
    waivers: tuple[Verified, ...] = ()
    asked: Asked | None = None
    configs: Mapping[Digest, bytes] = field(default_factory=dict)
