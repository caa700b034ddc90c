"""What was found beside an image and samebits did not write: what it is, whose form, where, and whether it counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from registries.digest import Digest
from registries.errors import Reason


class Writer(StrEnum):
    """Whose form it has. Another program may write the same form."""

    COSIGN = "cosign"
    TEKTON = "Tekton Chains"
    BUILDKIT = "BuildKit"
    NOTATION = "Notation"
    SIGSTORE_JS = "sigstore-js"


class What(StrEnum):
    """What it is."""

    ATTESTATION = "attestation"
    SIGNATURE = "signature"
    SBOM = "SBOM"


class Standing(StrEnum):
    """Whether it is evidence: `counts`, `shown` only, or `rejected` with a reason."""

    COUNTS = "counts"
    SHOWN = "shown"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One thing that was found. `record` is the digest of the blob that holds it, `where` the tag or manifest.

    `says` is what it claims, unproven: a statement's predicate type, or whom a signature says it is by.
    """

    writer: Writer
    what: What
    record: Digest
    where: str
    says: str = ""
    standing: Standing = Standing.SHOWN
    reason: Reason | None = None

    def refused(self, reason: Reason) -> Attachment:
        """The same, as not believed."""
        return replace(self, standing=Standing.REJECTED, reason=reason)

    def counted(self) -> Attachment:
        """The same, as evidence."""
        return replace(self, standing=Standing.COUNTS, reason=None)


SAID_CHARACTERS: Final = 200
"""What is shown of a claim at most."""
