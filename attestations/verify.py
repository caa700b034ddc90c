"""What was checked and what was not: `Verified` statements, `Rejected` bundles, and who makes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from attestations.bundle import Bundle
from attestations.commit import Commit
from attestations.errors import AttestationError
from attestations.identity import Identity, Role
from attestations.records import RECORDS, Record
from attestations.records.step import STEP
from attestations.statement import Statement
from registries.digest import Digest
from registries.errors import ContentError, Reason
from registries.limits import BUNDLE_BYTES
from registries.strict_json import loads_object

Claim = Record

_OUR_NAME: Final = "samebits.dev/"
_COMPUTABLE: Final = ("sha256", "sha512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A statement whose signature, signer and subject were checked.

    `record` is the SHA-256 of the bundle's bytes. `claim` is the statement as one of samebits' own records, or None for
    a foreign statement. `proved_time` is when it was signed, where a log or timestamp authority proves it, else None.
    `subjects` are the names in the certificate, of which the signer is one; empty for a key.
    """

    statement: Statement
    signer: Identity
    record: Digest
    claim: Claim | None
    proved_time: datetime | None = None
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A bundle that is not believed, and why. It counts as absent.

    `says` is what it claims to be, unproven: (predicate type, stage, step), only to explain an absence.
    """

    record: Digest
    reason: Reason
    says: tuple[str, str, str] = ("", "", "")


class Verifier(Protocol):
    """Whoever decides whether a bundle is believed; it holds the identities and the time."""

    def verify(self, bundle: Bundle, subject: Digest | Commit) -> Verified:
        """Check everything about this bundle as a statement about `subject`, or raise `AttestationError`."""


class Signer(Protocol):
    """Whoever signs statements."""

    @property
    def public_name(self) -> str:
        """How messages name the signer: a key's fingerprint or a keyless identity."""

    def is_one_of(self, role: Role) -> bool:
        """Whether the role has this signer, so that a run can be refused before anything moves."""

    def sign(self, statement: Statement) -> Bundle:
        """The statement's exact bytes in a signed bundle."""


def sift(
    verifier: Verifier, bundles: Iterable[Bundle], subject: Digest | Commit
) -> tuple[tuple[Verified, ...], tuple[Rejected, ...]]:
    """Part the bundles into those that are believed about `subject` and those that are not, each with its reason.

    Anyone who may push may attach a bundle, so one that is not believed is no error: it counts as absent.
    """
    verified: list[Verified] = []
    rejected: list[Rejected] = []
    for bundle in bundles:
        try:
            verified.append(verifier.verify(bundle, subject))
        except (AttestationError, ContentError) as error:
            rejected.append(Rejected(record=bundle.record, reason=error.reasons[0], says=_says(bundle)))
    return tuple(verified), tuple(rejected)


def read_statement(bundle: Bundle, subject: Digest | Commit) -> tuple[Statement, Claim | None]:
    """The statement and what it claims, once the signature over it was checked: every verifier ends here.

    Raises `subject-mismatch` unless it is about `subject`, `algorithm-not-allowed` when all its digests are weak,
    `predicate-type-mismatch` for a type that only looks like ours, and what reading the statement raises.
    """
    try:
        return _read(bundle.envelope.payload, subject)
    except AttestationError as error:
        raise AttestationError(error.code, error.reasons[0].message, where=str(bundle.record)) from error


def _read(payload: bytes, about: Digest | Commit) -> tuple[Statement, Claim | None]:
    statement = Statement.from_bytes(payload)
    if isinstance(about, Digest) and not any(
        algorithm in subject.digests for subject in statement.subjects for algorithm in _COMPUTABLE
    ):
        raise AttestationError("algorithm-not-allowed", "no subject is named by its sha256 or sha512")
    if not statement.names(about):
        raise AttestationError("subject-mismatch", f"the statement is not about {about}")
    read = RECORDS.get(statement.predicate_type)
    if isinstance(about, Commit) and statement.predicate_type != STEP:
        raise AttestationError("predicate-type-mismatch", "of a commit, only what a step records is read")
    if read is not None:
        return statement, read(statement)
    if _OUR_NAME in statement.predicate_type.casefold():
        raise AttestationError("predicate-type-mismatch", f"{statement.predicate_type!r:.120} is no type of record")
    return statement, None


def _says(bundle: Bundle) -> tuple[str, str, str]:
    """Read leniently: the payload is unproven, and all of this only helps to explain."""
    try:
        statement = loads_object(bundle.envelope.payload, limit=BUNDLE_BYTES)
    except ContentError:
        return ("", "", "")
    predicate = statement.get("predicate")
    told = predicate if isinstance(predicate, dict) else {}
    return (_text(statement.get("predicateType")), _text(told.get("stage")), _text(told.get("step")))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
