"""What a command has to show: one of a few values, with how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from attestations.records.step import StepRecord
from pipeline.audit import Story, Verification
from pipeline.promote import Plan, Promotion
from pipeline.rewrap import Rewrapped
from registries.digest import Digest
from registries.errors import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A step that was recorded on a subject: an image, or `git:` and a commit."""

    subject: str
    record: Digest
    step: StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Plain facts: a heading and lines of (name, value)."""

    heading: str
    lines: tuple[tuple[str, str], ...] = ()


Shown = Promotion | Plan | Verification | Story | StepDone | Rewrapped | Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended: its exit code, every reason when it was refused, and what it shows otherwise."""

    command: str
    exit_code: int
    shown: Shown | None = None
    reasons: tuple[Reason, ...] = ()
