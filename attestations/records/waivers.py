"""The waivers record: which findings of which gate may stand for a while, said by whoever owns that gate.

It is about a pipeline, not about one image: its subject is the digest of the pipeline's name (`pipeline_subject`), and
what a waiver covers is narrowed by its own scope. A record is whole: it replaces the one that was issued before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from attestations.errors import AttestationError
from attestations.fields import Fields, choice, digest, rfc3339, text, time
from attestations.records.own import own
from attestations.statement import Statement
from registries.digest import Digest

WAIVERS: Final = "https://samebits.dev/attestation/waivers/v1"
LONGEST: Final = timedelta(days=366)
"""How far behind the day of issue a waiver may end: one without an end is a change of the policy."""

_MEMBERS: Final = ("pipeline", "issuedAt", "waivers")
_WAIVER: Final = ("id", "gate", "kind", "findings", "scope", "owner", "reason", "evidence", "expiresAt")
_SCOPE: Final = ("pipeline", "image", "package", "version")
_EXACT: Final = re.compile(r"[^\s*?\[\]{}|^$\\%]+")  # no white space, and nothing that reads as a pattern


class WaiverKind(StrEnum):
    """Why a finding may stand: something else takes care of it, or the way it is used does."""

    ALTERNATIVE_SOLUTION = "alternative-solution"
    SECURED_BY_PRACTICE = "secured-by-practice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a waiver applies: every part that is given must fit. With none of them, in the whole pipeline.

    `image` is the digest of the image or of one of its platforms; `version` is one version of `package`.
    """

    image: Digest | None = None
    package: str | None = None
    version: str | None = None

    @classmethod
    def read(cls, value: Any, path: str, pipeline: str) -> Scope:
        """From a predicate. The whole pipeline has to be named: dropping a part never makes the scope wider."""
        found = Fields.of(value, path, _SCOPE)
        named = found.optional("pipeline", text)
        scope = cls(
            image=found.optional("image", digest),
            package=found.optional("package", _exact),
            version=found.optional("version", _exact),
        )
        narrowed = scope.image is not None or scope.package is not None
        if named is not None and named != pipeline:
            raise invalid(f"{path} is the pipeline {named!r:.80}, and the record is for {pipeline!r:.80}")
        if narrowed == (named is not None):
            raise invalid(f"{path} names neither an image nor a package nor the pipeline, or too many of them")
        if scope.version is not None and scope.package is None:
            raise invalid(f"{path} has a version without a package")
        return scope

    def json(self, pipeline: str) -> dict[str, Any]:
        """As it stands in a predicate."""
        whole = self.image is None and self.package is None
        return {
            "pipeline": pipeline if whole else None,
            "image": None if self.image is None else str(self.image),
            "package": self.package,
            "version": self.version,
        }

    def __str__(self) -> str:
        package = " ".join(part for part in (self.package, self.version) if part)
        return " in ".join(part for part in (package, str(self.image or "")) if part) or "the whole pipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One exception. `findings` are exact ids, as scanners print them; `evidence` are addresses or digests."""

    id: str
    gate: str
    kind: WaiverKind
    findings: tuple[str, ...]
    scope: Scope
    owner: str
    reason: str
    evidence: tuple[str, ...]
    expires: datetime

    @classmethod
    def read(cls, value: Any, path: str, pipeline: str) -> Waiver:
        """From a predicate: `waiver-invalid` where it could be read as more than one exact exception."""
        found = Fields.of(value, path, _WAIVER)
        waiver = cls(
            id=found.one("id", _exact),
            gate=found.one("gate", _exact),
            kind=found.one("kind", choice(WaiverKind)),
            findings=found.many("findings", _exact),
            scope=Scope.read(found.value["scope"], f"{path}.scope", pipeline),
            owner=found.one("owner", _said),
            reason=found.one("reason", _said),
            evidence=found.many("evidence", _said),
            expires=found.one("expiresAt", time),
        )
        if not waiver.findings:
            raise invalid(f"{path}.findings is empty")
        if waiver.kind is WaiverKind.ALTERNATIVE_SOLUTION and not waiver.evidence:
            raise invalid(f"{path} is an {waiver.kind} without evidence")
        return waiver

    def json(self, pipeline: str) -> dict[str, Any]:
        """As it stands in a predicate."""
        return {
            "id": self.id,
            "gate": self.gate,
            "kind": self.kind.value,
            "findings": list(self.findings),
            "scope": self.scope.json(pipeline),
            "owner": self.owner,
            "reason": self.reason,
            "evidence": list(self.evidence),
            "expiresAt": rfc3339(self.expires),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiversRecord:
    """See design: `waivers/v1`. All waivers that its signer gives for a pipeline, at one time."""

    pipeline: str
    issued_at: datetime
    waivers: tuple[Waiver, ...]

    @classmethod
    def read(cls, statement: Statement) -> WaiversRecord:
        """From a statement that says exactly this and nothing more; see `records.own.own` for the refusals.

        `waiver-invalid` for one bad waiver refuses them all: what was meant by the others can't be known either.
        """
        found = own(statement, WAIVERS, _MEMBERS)
        pipeline, issued_at = found.one("pipeline", text), found.one("issuedAt", time)
        if not statement.names(pipeline_subject(pipeline)):
            raise AttestationError("subject-mismatch", f"the record is not about the pipeline {pipeline!r:.80}")
        waivers = found.many("waivers", lambda value, path: Waiver.read(value, path, pipeline))
        _distinct(waivers)
        for waiver in waivers:
            _limited(waiver, issued_at)
        return cls(pipeline=pipeline, issued_at=issued_at, waivers=waivers)

    def json(self) -> dict[str, Any]:
        """The predicate."""
        return {
            "pipeline": self.pipeline,
            "issuedAt": rfc3339(self.issued_at),
            "waivers": [waiver.json(self.pipeline) for waiver in self.waivers],
        }


def pipeline_subject(pipeline: str) -> Digest:
    """What a waivers record is about: the SHA-256 of this type's address and the pipeline's name."""
    return Digest.of(f"{WAIVERS}#{pipeline}".encode())


def waivers_statement(record: WaiversRecord) -> Statement:
    """What is signed: these waivers for the pipeline. Times are written to the second."""
    subject = pipeline_subject(record.pipeline)
    statement = Statement.about(subject, predicate_type=WAIVERS, predicate=record.json(), name=record.pipeline)
    WaiversRecord.read(statement)  # what would not be read is not signed
    return statement


def invalid(message: str) -> AttestationError:
    """The refusal for a waiver that says too much or too little."""
    return AttestationError("waiver-invalid", message)


def _distinct(waivers: tuple[Waiver, ...]) -> None:
    ids = [waiver.id for waiver in waivers]
    twice = next((name for number, name in enumerate(ids) if name in ids[:number]), None)
    if twice is not None:
        raise invalid(f"two waivers have the id {twice!r:.80}")


def _limited(waiver: Waiver, issued_at: datetime) -> None:
    """That it ends, and not before it begins."""
    if waiver.expires <= issued_at:
        raise invalid(f"the waiver {waiver.id} ends at {rfc3339(waiver.expires)}, before it was issued")
    if waiver.expires - issued_at > LONGEST:
        raise invalid(f"the waiver {waiver.id} ends at {rfc3339(waiver.expires)}, more than {LONGEST.days} days later")


def _exact(value: Any, path: str) -> str:
    """A name that means one thing."""
    if not _EXACT.fullmatch(text(value, path)):
        raise invalid(f"{path} is {value!r:.80}; it must be one exact name, without wildcards or white space")
    return str(value)


def _said(value: Any, path: str) -> str:
    if not text(value, path).strip():
        raise invalid(f"{path} is empty")
    return str(value)
