"""Tables and aims as Markdown that is also easy to read on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; the first column is text, the others are numbers. Notes follow below."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(self.head))]
        rule = [f"{'-' * (width - 1)}{':' if column else '-'}" for column, width in enumerate(widths)]
        text = "\n".join(_line(line, widths) for line in (self.head, rule, *self.rows))
        title = f"**{self.title}**\n\n" if self.title else ""
        return title + text + "\n" + "".join(f"\n{note}\n" for note in self.notes)


@dataclass(frozen=True, slots=True)
class Aim:
    """What was wanted, what was measured, and whether that is enough."""

    wanted: str
    measured: str
    met: bool

    def __str__(self) -> str:
        return f"- {'met' if self.met else '**not met**'}: {self.wanted}: {self.measured}"


def bytes_text(count: int) -> str:
    """`512 B`, `12.3 KB`, `480.0 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} KB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def number(value: float) -> str:
    """A ratio."""
    return f"{value:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"
