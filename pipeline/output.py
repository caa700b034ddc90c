"""The one door to stdout and stderr: results here, everything else there, and nothing from outside uncleaned."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TextIO

from registries.descriptor import Descriptor
from registries.errors import Reason, Unavailable, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from pipeline.formats.result import Result

_RED, _YELLOW, _CYAN, _DIM, _PLAIN = "\033[31m", "\033[33m", "\033[36m", "\033[2m", "\033[0m"


def clean(text: str) -> str:
    """Text with every control character made visible: what comes from outside never steers a terminal or a CI log."""
    return "".join(
        character if character == "\n" or unicodedata.category(character)[0] != "C" else f"\\u{ord(character):04x}"
        for character in text
    )


def wants_color(choice: str, environment: Mapping[str, str], *, terminal: bool) -> bool:
    """`--color`, then NO_COLOR, then FORCE_COLOR or CLICOLOR_FORCE, then TERM=dumb, then whether it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    forced = (environment.get("FORCE_COLOR", ""), environment.get("CLICOLOR_FORCE", ""))
    if any(value not in ("", "0") for value in forced):
        return True
    return terminal and environment.get("TERM") != "dumb"


class NobodyReads(BaseException):
    """Whoever read our stdout has gone; there is nothing left to say, and nobody to say it to."""


@dataclass(slots=True)
class Output:
    """Where a command writes. `formats` are (format, file); without a file the format goes to stdout."""

    stdout: TextIO
    stderr: TextIO
    formats: Sequence[tuple[str, Path | None]] = (("text", None),)
    quiet: bool = False
    verbose: bool = False
    color: bool = False

    def result(self, result: Result) -> None:
        """Render the result in every format that was asked for."""
        from pipeline.formats import FORMATS  # what it renders brings the whole house along

        for name, path in self.formats:
            rendered = FORMATS[name](result)
            self._put(clean(rendered) if name == "text" else rendered, path)

    def say(self, message: str) -> None:
        """One line about what is going on; only a person at a terminal, or `-v`, sees it."""
        if not self.quiet and (self.verbose or self.stderr.isatty()):
            self._line(self._paint(_DIM, clean(message)))

    def note(self, message: str) -> None:
        """One line that everybody should see, CI logs too."""
        if not self.quiet:
            self._line(clean(message))

    def warn(self, message: str) -> None:
        """Something that deserves attention and changes nothing."""
        self._line(f"{self._paint(_YELLOW, 'warning:')} {clean(message)}")

    def refused(self, reasons: Sequence[Reason]) -> None:
        """Every reason with its code, its place and its hint."""
        for reason in reasons:
            self._line(f"{self._paint(_RED, 'error:')} {clean(reason.message)} [{reason.code}]")
            if reason.where:
                self._line(f"  at {clean(reason.where)}")
            if reason.hint:
                self._line(f"  {self._paint(_CYAN, 'hint:')} {clean(reason.hint)}")

    def progress(self) -> CopyProgress:
        """Bars for a person at a terminal, one line for each blob otherwise, nothing with `-q`."""
        return CopyProgress(self)

    def _put(self, rendered: str, path: Path | None) -> None:
        try:
            if path is not None:
                path.write_text(rendered, encoding="utf-8")
            else:
                self.stdout.write(rendered)
                self.stdout.flush()
        except BrokenPipeError as error:
            raise NobodyReads from error
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            where = str(path or "stdout")
            raise Unavailable("local-storage-failed", f"the result can't be written: {why}", where=where) from error

    def _line(self, text: str) -> None:
        self.stderr.write(text + "\n")
        self.stderr.flush()

    def _paint(self, paint: str, text: str) -> str:
        return f"{paint}{text}{_PLAIN}" if self.color else text


@dataclass(slots=True)
class CopyProgress:
    """How a copy is going on, told by several threads at once."""

    output: Output
    _bars: RichProgress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def start(self, descriptor: Descriptor, total: int) -> None:
        """A blob begins to move."""
        if self.output.quiet or not self.output.stderr.isatty():
            return
        with self._lock:
            bars = self._open()
            self._tasks[str(descriptor.digest)] = bars.add_task(str(descriptor.digest), total=total)

    def advance(self, descriptor: Descriptor, count: int) -> None:
        """So many more bytes have passed."""
        task = self._tasks.get(str(descriptor.digest))
        if self._bars is not None and task is not None:
            self._bars.advance(task, count)

    def done(self, descriptor: Descriptor, how: str) -> None:
        """The blob is there: copied, mounted, or it was present."""
        task = self._tasks.get(str(descriptor.digest))
        if self._bars is not None and task is not None:
            self._bars.update(task, completed=descriptor.size)
        elif how != "present" and not self.output.stderr.isatty():
            self.output.note(f"{how} {descriptor.digest} {descriptor.size} bytes")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _open(self) -> RichProgress:
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            console = Console(file=self.output.stderr, soft_wrap=True, markup=False, highlight=False)
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(16),
                DownloadColumn(),
                TransferSpeedColumn(),
            )
            self._bars = Progress(*columns, console=console, transient=True)
            self._bars.start()
        return self._bars


def parse_formats(texts: Sequence[str]) -> tuple[tuple[str, Path | None], ...]:
    """`-o FORMAT[=FILE]`, repeatable; without any, text on stdout."""
    from pipeline.formats import FORMATS

    found: list[tuple[str, Path | None]] = []
    for text in texts or ("text",):
        name, equals, path = text.partition("=")
        if name not in FORMATS:
            raise UsageError("format-unknown", f"{name!r} is no output format; there are {', '.join(FORMATS)}")
        if equals and not path:
            raise UsageError("format-unknown", f"{text!r} names no file")
        found.append((name, Path(path) if equals else None))
    if sum(path is None for _, path in found) > 1:
        raise UsageError("format-unknown", "only one format can go to stdout; give the others a file: -o json=FILE")
    return tuple(found)
