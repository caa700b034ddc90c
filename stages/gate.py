"""A gate is a rule that an admission must pass: evidence in, verdict with reasons out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from attestations.records.admission import WaiverUsed
from registries.digest import Digest
from registries.errors import Reason
from stages.evidence import Evidence


class Outcome(StrEnum):
    """What a gate can say. Only `passed` lets an image through, and `warned`: a no that is not in force yet."""

    PASSED = "passed"
    WARNED = "warned"
    BLOCKED = "blocked"
    NOT_CHECKED = "not-checked"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A gate's answer: outcome, every reason, what was counted, and the evidence (digests) that it rests on.

    A verdict that passes names its evidence; `newest_data` is the date of the data behind it, where one is known.
    `waivers` are those that let a finding stand; `warnings` are worth knowing and block nothing.
    """

    gate: str
    outcome: Outcome
    reasons: tuple[Reason, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    evidence: tuple[Digest, ...] = ()
    newest_data: datetime | None = None
    waivers: tuple[WaiverUsed, ...] = ()
    warnings: tuple[Reason, ...] = ()


class Gate(Protocol):
    """One rule. The fields of its dataclass are its options in the definition.

    A gate whose class says `judges_last = True` is asked when all others have spoken, and is told what they found. One
    that says `needs_config = True` is given the platforms' configurations.
    """

    def judge(self, evidence: Evidence) -> Verdict:
        """Say whether the evidence is enough. Pure; an exception is a no."""
