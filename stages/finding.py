"""One thing that a scanner found, with how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class Severity(StrEnum):
    """How bad a finding is. `unknown` ranks above `critical`: nobody has said that it is harmless."""

    UNKNOWN = "unknown"
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NEGLIGIBLE = "negligible"

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return _RANKS[self]

    @classmethod
    def told(cls, word: str) -> Self:
        """Read a severity from a report: a word that nobody knows is `unknown`, never harmless."""
        try:
            return cls(word.lower())
        except ValueError:
            return cls("unknown")


_RANKS: Final = {severity: len(Severity) - place for place, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A vulnerability in a package: its id, other names of the same id, where it is, and what fixes it."""

    id: str
    severity: Severity
    package: str
    version: str
    aliases: tuple[str, ...] = ()
    fixed_in: str = ""
    title: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """By which names this is the same as another finding; an advisory over several CVEs is another name of none."""
        names = (self.id, *self.aliases)
        return names if sum(name.startswith("CVE-") for name in set(names)) <= 1 else (self.id,)

    def __str__(self) -> str:
        fix = f", fixed in {self.fixed_in}" if self.fixed_in else ", no fix known"
        return f"{self.severity} {self.id} in {self.package} {self.version}{fix}"
