"""One thing that a scanner found, with how bad it is."""

from __future__ import annotations

from collections.abc import Iterable
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


class Fix(StrEnum):
    """Whether there is a version without it. `unknown` when the scanner does not say, which is no fix to wait for."""

    FIXED = "fixed"
    WONT_FIX = "wont-fix"
    NOT_FIXED = "not-fixed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A vulnerability in a package: its id, other names of the same id, where it is, and what fixes it.

    `purl` is the package URL by which the scanner names the package, where it does.
    """

    id: str
    severity: Severity
    package: str
    version: str
    aliases: tuple[str, ...] = ()
    fixed_in: str = ""
    title: str = ""
    fix: Fix = Fix.UNKNOWN
    purl: str = ""

    @property
    def has_fix(self) -> bool:
        """Whether a version without it is known to exist."""
        return bool(self.fixed_in) or self.fix is Fix.FIXED

    @property
    def names(self) -> tuple[str, ...]:
        """By which names this is the same as another finding; an advisory over several CVEs is another name of none."""
        return equal_names(self.id, self.aliases)

    def __str__(self) -> str:
        fix = f"fixed in {self.fixed_in}" if self.fixed_in else _FIXES[self.fix]
        where = f"{self.package} {self.version}".strip() or "a package without a name"
        return f"{self.severity} {self.id} in {where}, {fix}"


_FIXES: Final = {
    Fix.FIXED: "a fix exists",
    Fix.WONT_FIX: "which will not be fixed",
    Fix.NOT_FIXED: "no fix known",
    Fix.UNKNOWN: "no fix known",
}


def equal_names(name: str, aliases: tuple[str, ...]) -> tuple[str, ...]:
    """The names that mean the same vulnerability; what has several CVEs among its aliases is a collection of them."""
    names = (name, *aliases)
    return names if len(cves(names)) <= 1 else (name,)


def cves(names: Iterable[str]) -> frozenset[str]:
    """The CVE ids among these names."""
    return frozenset(name for name in names if name.startswith("CVE-"))
