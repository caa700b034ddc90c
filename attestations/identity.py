"""Who may sign: keys and keyless identities, gathered in roles with a threshold.

An identity comes from configuration only; nothing in a bundle ever adds one (GHSA-fx35-mq7g-6g98).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from attestations.subject_pattern import SubjectPattern
from registries.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """A closed interval in UTC in which an identity may sign; an open end is None."""

    start: datetime | None = None
    end: datetime | None = None

    def covers(self, time: datetime) -> bool:
        """Whether this time lies in the interval, both ends included."""
        return (self.start is None or self.start <= time) and (self.end is None or time <= self.end)


ALWAYS = Validity()

CLAIM_NAMES: Final = (
    "build-signer-uri",
    "build-signer-digest",
    "runner-environment",
    "source-repository-uri",
    "source-repository-digest",
    "source-repository-ref",
    "source-repository-identifier",
    "source-repository-owner-uri",
    "source-repository-owner-identifier",
    "build-config-uri",
    "build-config-digest",
    "build-trigger",
    "run-invocation-uri",
    "source-repository-visibility-at-signing",
)
"""What Fulcio says of a workflow beside its name, in the order of its extensions 1.3.6.1.4.1.57264.1.9 to .22.

Source: sigstore/fulcio, docs/oid-info.md.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyIdentity:
    """A signer known by a public key, as DER SubjectPublicKeyInfo."""

    name: str
    public_key: bytes
    valid: Validity = ALWAYS

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 of the SubjectPublicKeyInfo: what tells two keys apart, whatever they are called."""
        return Digest.of(self.public_key)

    @property
    def who(self) -> object:
        """What tells two signers apart, whatever they are called."""
        return self.public_key

    def __str__(self) -> str:
        return f"{self.name} (key {self.fingerprint})"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeylessIdentity:
    """A signer known by a certificate's issuer and subject: always both.

    With a `pattern`, `subject` is its text, and any subject that it matches is meant. `claims` are extensions that the
    certificate must have too, by their name in Fulcio's list, with exactly these values.
    """

    name: str
    issuer: str
    subject: str
    valid: Validity = ALWAYS
    pattern: SubjectPattern | None = None
    claims: tuple[tuple[str, str], ...] = ()

    def is_named(self, subject: str) -> bool:
        """Whether a certificate's subject is this one, byte for byte, or one that the pattern means."""
        return subject == self.subject if self.pattern is None else self.pattern.matches(subject)

    @property
    def who(self) -> object:
        """What tells two signers apart, whatever they are called."""
        return self.issuer, self.subject

    def __str__(self) -> str:
        return f"{self.name} ({self.subject} from {self.issuer})"


Identity = KeyIdentity | KeylessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Some signers, of whom `threshold` distinct ones must have signed."""

    name: str
    signers: tuple[Identity, ...]
    threshold: int = 1

    def admits(self, signer: Identity) -> bool:
        """Whether this signer belongs to the role."""
        return signer in self.signers

    def __str__(self) -> str:
        return ", ".join(signer.name for signer in self.signers)
