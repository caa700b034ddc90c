"""A stage: a place that an image can be admitted to, what it demands, and what happens there afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from attestations.identity import Role
from attestations.records.step import InImage
from registries.digest import Digest
from stages.duration import Duration
from stages.gate import Gate

STEP_TIMEOUT: Final = Duration(1, "h")
"""How long a command may run where its definition does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that must happen to the image while it is in a stage.

    `run` is the command, `evidence` the format of the report that is wanted, `spec` the digest of the step as defined.
    Of a command: `env` are the variables that are handed on to it, `timeout` is how long it may run, `produces` are the
    files that it must make, `exit_codes` those that are no failure, `in_image` is how it runs inside the image, if so.

    `attested` is the predicate type of the foreign attestation that is the step, where nobody records one.
    `builders`, for a step on the source commit, are those whose provenance ties the commit to the image.
    """

    name: str
    by: Role
    run: str | None
    evidence: str | None
    spec: Digest
    env: tuple[str, ...] = ()
    timeout: Duration = STEP_TIMEOUT
    produces: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = (0,)
    in_image: InImage | None = None
    attested: str = ""
    builders: Role | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    """Whose approvals let an image in that gates refuse, and how long such an admission counts."""

    names: tuple[str, ...]
    repair_within: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage as believed. `places` are its `host/prefix` registry locations, the first one and its mirrors.

    `effective_on` are the gates that only warn before a day. `tags` are templates; `{source_tag}` is the tag that the
    image came with.
    """

    name: str
    after: tuple[str, ...]
    any_of: bool
    places: tuple[str, ...]
    admit: Role
    gates: tuple[tuple[str, Gate], ...]
    steps: tuple[Step, ...]
    tags: tuple[str, ...]
    break_glass: BreakGlass | None = None
    effective_on: tuple[tuple[str, datetime], ...] = ()

    @property
    def is_entry(self) -> bool:
        """Whether images enter the pipeline here."""
        return not self.after
