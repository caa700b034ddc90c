"""A length of time as people write it in a definition: `24h`, `30m`, `7d`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from registries.errors import UsageError

_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_GRAMMAR = re.compile(r"([1-9][0-9]{0,4})([smhdw])")


@dataclass(frozen=True, slots=True)
class Duration:
    """So many of one unit; it is shown as it was written."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one number above zero and one unit of `s`, `m`, `h`, `d`, `w`; else `definition-invalid`."""
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            raise UsageError("definition-invalid", f"{text!r:.40} is no length of time such as 30m, 24h or 7d")
        return cls(int(match[1]), match[2])

    @property
    def timedelta(self) -> timedelta:
        """The same length for arithmetic."""
        return self.count * _UNITS[self.unit]

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"
