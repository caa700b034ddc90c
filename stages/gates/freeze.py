"""Nothing is admitted in a frozen time: outside working hours, on holidays, during a sale."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final, Self
from zoneinfo import ZoneInfo

from registries.errors import Reason, UsageError
from stages.evidence import Evidence
from stages.gate import Outcome, Verdict

NAME: Final = "freeze"

_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_DATES: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(?:/(\d{4}-\d{2}-\d{2}))?", re.ASCII)


class Weekday(StrEnum):
    """The days of a week, in the order of `date.weekday`."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone of the IANA database, such as `Europe/Berlin`."""

    name: str
    info: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name that this machine's database knows; else `definition-invalid`."""
        try:
            return cls(text, ZoneInfo(text))
        except (ValueError, OSError, KeyError):
            raise UsageError("definition-invalid", f"{text!r:.60} is no time zone such as Europe/Berlin") from None


@dataclass(frozen=True, slots=True)
class Hours:
    """A time of day, `18:00-08:00`; it may go over midnight. The end is not in it, and equal ends are all day."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HH:MM-HH:MM`; else `definition-invalid`."""
        match = _HOURS.fullmatch(text)
        if match is None:
            raise UsageError("definition-invalid", f"{text!r:.40} is no time of day such as 18:00-08:00")
        return cls(time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4])))

    def covers(self, moment: time) -> bool:
        """Whether this time of day is in it."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True, slots=True)
class Dates:
    """One day, `2026-12-24`, or all from one to another, `2026-12-24/2027-01-01`, both included."""

    first: date
    last: date

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one day or two; else `definition-invalid`."""
        match = _DATES.fullmatch(text)
        try:
            first = date.fromisoformat(match[1] if match else "")
            last = date.fromisoformat(match[2]) if match and match[2] else first
        except ValueError:
            raise UsageError(
                "definition-invalid", f"{text!r:.40} is no day such as 2026-12-24, nor 2026-12-24/2027-01-01"
            ) from None
        if last < first:
            raise UsageError("definition-invalid", f"{text} ends before it begins")
        return cls(first, last)

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}/{self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Frozen are the `days` of each week, the `dates`, and the `hours` of every day, all in the time of `zone`.

    Those named in `except` may sign an admission all the same.
    """

    zone: Zone
    days: tuple[Weekday, ...] = ()
    dates: tuple[Dates, ...] = ()
    hours: tuple[Hours, ...] = ()
    except_: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.days or self.dates or self.hours):
            raise UsageError("definition-invalid", "`freeze` needs `days`, `dates` or `hours`: it would never freeze")

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at the clock of the run; the time of day is that of the zone on that day."""
        promoter = evidence.asked.promoter if evidence.asked else None
        local = evidence.now.astimezone(self.zone.info)
        frozen = self._frozen(local)
        if not frozen or (promoter is not None and promoter.name in self.except_):
            return Verdict(gate=NAME, outcome=Outcome.PASSED)
        message = f"it is {local:%a %Y-%m-%d %H:%M} in {self.zone.name}, and {frozen} is frozen"
        end = self._end(local)
        until = f"again from {end:%Y-%m-%d %H:%M} on" if end else "the definition says when it ends"
        others = f"; {', '.join(self.except_)} may sign it now" if self.except_ else ""
        reason = Reason("stage-frozen", message, f"gate {NAME}", f"{until}{others}")
        return Verdict(gate=NAME, outcome=Outcome.WAITING, reasons=(reason,))

    def _frozen(self, local: datetime) -> str:
        """Which rule freezes this time; empty when none does."""
        for dates in self.dates:
            if dates.first <= local.date() <= dates.last:
                return str(dates)
        day = tuple(Weekday)[local.weekday()]
        if day in self.days:
            return f"every {day}"
        return next((f"{hours}" for hours in self.hours if hours.covers(local.time())), "")

    def _end(self, local: datetime) -> datetime | None:
        """The first minute of the next four weeks that is not frozen."""
        first = local.replace(second=0, microsecond=0)
        for quarter in range(1, 28 * 24 * 4):
            later = first + timedelta(minutes=15 * quarter)
            later -= timedelta(minutes=later.minute % 15)
            if not self._frozen(later):
                return later
        return None
