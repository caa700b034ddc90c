"""All that a gate may see: the image's digests, its chain, and what trusted signers reported about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from attestations.chain import Chain
from attestations.identity import Identity
from attestations.verify import Rejected, Verified
from registries.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One image manifest of the subject (an index has several): the digests by which scanners may name it."""

    name: str
    manifest: Digest
    config: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that a step of the chain recorded: exact bytes, checked against the digest in the signed step record.

    `finished_at` is when the step says it ended; nothing proves it but the signature of the one who says it.
    """

    format: str
    content: bytes
    digest: Digest
    record: Digest
    signer: Identity
    stage: str
    step: str
    finished_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What `decide` is given. The chain is whole: evidence about an image of unknown origin can't be built."""

    subject: Digest
    platforms: tuple[Platform, ...]
    chain: Chain
    reports: tuple[Report, ...]
    statements: tuple[Verified, ...]
    rejected: tuple[Rejected, ...]
    now: datetime
