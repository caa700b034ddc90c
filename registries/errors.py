"""What can go wrong between samebits and the outside, each with one stable reason code.

    Refusal                 samebits does not go on; carries every reason why
    ├── ContentError        wrong content: never retried                       exit 5
    ├── Unauthorized        could not ask: refused                             exit 4
    ├── NotFound            could not ask: not there                           exit 6
    ├── Unavailable         could not ask: not this time; may be retried       exit 7
    ├── TagMoved            somebody else moved the tag first                  exit 7
    └── UsageError          what was typed or written cannot be meant          exit 2

Other rooms add their own families below `Refusal`. The exit code belongs to the reason code, not to the class:
`pipeline.reasons` is the one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: a stable kebab-case code, what and why, where it is, and a command or step that helps."""

    code: str
    message: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class Refusal(Exception):
    """samebits does not go on, and says why; the reasons are never empty."""

    reasons: tuple[Reason, ...]

    def __init__(self, code: str, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.reasons = (Reason(code, message, where, hint),)

    @classmethod
    def of(cls, reasons: Sequence[Reason]) -> Self:
        """The refusal that carries all these reasons; the first one speaks for it."""
        first = reasons[0]
        refusal = cls(first.code, first.message, where=first.where, hint=first.hint)
        refusal.reasons = tuple(reasons)
        return refusal

    @property
    def code(self) -> str:
        """The code of the first reason."""
        return self.reasons[0].code

    def __str__(self) -> str:
        return "; ".join(str(reason) for reason in self.reasons)


class ContentError(Refusal):
    """The bytes are not what they have to be."""


class Unauthorized(Refusal):
    """The registry, or whoever was asked, refused to answer us."""


class NotFound(Refusal):
    """What was asked for is not there."""


class Unavailable(Refusal):
    """No answer this time: network, 5xx, 429, a deadline."""


class TagMoved(Refusal):
    """A tag does not point where it was expected to."""


class UsageError(Refusal):
    """What was typed or written cannot be meant."""
