"""Waivers of a pipeline: what their owners have signed, given again with one more or one less.

A record is whole and replaces the one that the same signer gave before; so nobody changes another one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from attestations.bundle import Bundle
from attestations.errors import AttestationError
from attestations.identity import Role
from attestations.records.waivers import Waiver, WaiversRecord, waivers_statement
from attestations.verify import Signer
from pipeline.definition import Pipeline
from registries.digest import Digest
from registries.errors import NotFound, UsageError


@dataclass(frozen=True, slots=True)
class Given:
    """One waiver, who gave it, and in which record."""

    waiver: Waiver
    signer: str
    record: Digest


def given(records: Sequence[tuple[str, Digest, WaiversRecord]]) -> tuple[Given, ...]:
    """The waivers that stand: of each signer those of the latest record, by when they end."""
    latest: dict[str, tuple[str, Digest, WaiversRecord]] = {}
    for signer, record, claim in records:
        known = latest.get(signer)
        if known is None or (claim.issued_at, record) > (known[2].issued_at, known[1]):
            latest[signer] = (signer, record, claim)
    found = [Given(waiver, signer, record) for signer, record, claim in latest.values() for waiver in claim.waivers]
    return tuple(sorted(found, key=lambda one: (one.waiver.expires, one.waiver.id)))


def owners(pipeline: Pipeline, gate: str) -> tuple[str, ...]:
    """Whose waivers count for a gate, in any stage."""
    gates = (one for stage in pipeline.definition.stages for name, one in stage.gates if name == gate)
    return tuple(dict.fromkeys(name for one in gates for name in getattr(one, "waivers_by", ())))


def check_owner(pipeline: Pipeline, gate: str, signer: Signer) -> str:
    """The name of the signer, whose waivers count for the gate; else `signer-not-for-stage`."""
    names = owners(pipeline, gate)
    if not names:
        raise UsageError("waiver-invalid", f"no stage lets anybody waive what the gate {gate!r:.60} finds")
    known = [one for one in pipeline.identities if signer.is_one_of(Role(name=one.name, signers=(one,)))]
    if not known or known[0].name not in names:
        who = known[0].name if known else signer.public_name
        raise AttestationError(
            "signer-not-for-stage",
            f"waivers of {who} do not count for {gate}; those of {', '.join(names)} do",
            hint="sign with the key of one of them: --key FILE",
        )
    return known[0].name


def added(standing: Sequence[Given], signer: str, waiver: Waiver) -> tuple[Waiver, ...]:
    """The signer's waivers with this one, in place of one of the same id."""
    own = [one.waiver for one in standing if one.signer == signer and one.waiver.id != waiver.id]
    return (*own, waiver)


def removed(standing: Sequence[Given], signer: str, waiver_id: str) -> tuple[Waiver, ...]:
    """The signer's waivers without this one; `waiver-unknown` when they have none of this id."""
    own = [one.waiver for one in standing if one.signer == signer]
    if waiver_id not in {one.id for one in own}:
        raise NotFound("waiver-unknown", f"{signer} has given no waiver {waiver_id!r:.60}", hint="samebits waive list")
    return tuple(one for one in own if one.id != waiver_id)


def sign(pipeline: Pipeline, waivers: Sequence[Waiver], signer: Signer, *, now: datetime) -> Bundle:
    """A record of these waivers. What would not be read is not signed: `waiver-invalid`."""
    record = WaiversRecord(pipeline=pipeline.name, issued_at=now, waivers=tuple(waivers))
    return signer.sign(waivers_statement(record))
