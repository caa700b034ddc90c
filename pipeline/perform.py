"""Performing a step: its command is run and watched, and what came of it is read, whatever it was."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from attestations.commit import Commit
from attestations.records.step import FileLink, InImage
from pipeline import running
from pipeline.places import Image
from pipeline.running import Ended
from pipeline.step import Done, Intended, read_report
from pipeline.wiring import hash_file, read_file
from registries.digest import Digest
from registries.errors import ContentError, Reason, UsageError
from registries.limits import REPORT_BYTES

RunInImage = Callable[[Sequence[str], Mapping[str, str], InImage], Ended]


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """A command, the files that it has to leave behind, and what it runs in.

    `reports` are (format, file), `outside` is the whole environment, of which the step lets little through, `shown` a
    file descriptor for what the command prints. `inside` says how it runs inside the image, where it does, and runs it.
    """

    arguments: tuple[str, ...]
    reports: Sequence[tuple[str, Path]]
    produces: Sequence[str]
    outside: Mapping[str, str]
    shown: int
    inside: tuple[InImage, RunInImage] | None = None


def perform(intended: Intended, performance: Performance, *, clock: Callable[[], datetime]) -> Done:
    """Run the command and read what it has made. What is missing or can't be read is a failure of the step."""
    step, outside = intended.step, performance.outside
    given = {
        "SAMEBITS_COMMIT" if isinstance(intended.subject, Commit) else "SAMEBITS_IMAGE": _named(intended.subject),
        "SAMEBITS_STAGE": intended.stage,
        "SAMEBITS_STEP": step.name,
    }
    started, program, in_image = clock(), None, None
    before: dict[Path, object] = {}
    if performance.inside is not None:
        in_image, run = performance.inside
        variables = {name: outside[name] for name in step.env if name in outside}
        ended = run(performance.arguments, variables | given, in_image)
    else:
        program = _program(performance.arguments[0], outside)
        files = [*(path for _, path in performance.reports), *map(Path, performance.produces)]
        before = {path: state for path in files if (state := _state(path)) is not None}
        ended = running.run(
            performance.arguments,
            environment=running.environment(outside, step.env, given),
            timeout=step.timeout.timedelta,
            passed_to=performance.shown,
        )
    untouched = {path for path, state in before.items() if _state(path) == state}
    reports, unread = _reports(performance.reports, untouched)
    produced, absent = _produced(performance.produces, untouched)
    stopped = ended.why or (f"it was ended by {_signal(-ended.exit_code)}" if ended.exit_code < 0 else "")
    refused = "" if ended.exit_code in step.exit_codes or stopped else f"it ended with exit code {ended.exit_code}"
    return Done(
        started_at=started,
        finished_at=clock(),
        command=performance.arguments,
        exit_code=ended.exit_code,
        reports=reports,
        faults=tuple(_faults(intended, performance, stopped, refused, (*unread, *absent))),
        program=program,
        environment=tuple(name for name in step.env if name in outside),
        in_image=in_image,
        streams=tuple(
            FileLink(name=name, digest=stream.digest, size=stream.size)
            for name, stream in (("stdout", ended.stdout), ("stderr", ended.stderr))
        ),
        produced=produced,
    )


def _named(subject: Image | Commit) -> str:
    """How a command is told what it is about: `repository@digest`, or the bare id of a commit."""
    return subject.hex if isinstance(subject, Commit) else str(subject)


def _faults(
    intended: Intended, performance: Performance, stopped: str, refused: str, unmade: Sequence[str]
) -> list[Reason]:
    """Why the step failed. A tool whose report is wanted and which did not finish is a scanner that failed."""
    where = f"step {intended.step.name} of {intended.stage}"
    messages = [message for message in (stopped, refused, *unmade) if message]
    broken = bool(performance.reports) and bool(stopped or (unmade and not refused))
    code = "scanner-failed" if broken else "step-not-passed"
    return [Reason(code, message, where) for message in messages]


def _reports(
    files: Sequence[tuple[str, Path]], untouched: Collection[Path]
) -> tuple[tuple[tuple[str, bytes], ...], tuple[str, ...]]:
    """The reports that can be read, and what is wrong with the others; one of an earlier run is none of this one."""
    found: list[tuple[str, bytes]] = []
    faults: list[str] = []
    for kind, path in files:
        if path in untouched:
            faults.append(f"it did not write the {kind} report, which was there before")
            continue
        try:
            content = read_file(path, REPORT_BYTES)
            read_report(kind, content)
        except (ContentError, UsageError) as error:
            faults.append(f"the {kind} report can't be read ({error.code})")
        else:
            found.append((kind, content))
    return tuple(found), tuple(faults)


def _produced(names: Sequence[str], untouched: Collection[Path]) -> tuple[tuple[FileLink, ...], tuple[str, ...]]:
    """The files that the command has made, and which ones it has not."""
    found: list[FileLink] = []
    faults: list[str] = []
    for name in dict.fromkeys(names):
        try:
            link = _link(name, Path(name))
        except UsageError:
            link = None
        if link is None or Path(name) in untouched:
            faults.append(f"it did not make {name!r}")
        else:
            found.append(link)
    return tuple(found), tuple(faults)


def _state(path: Path) -> object:
    """What changes when a file is written; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _program(name: str, outside: Mapping[str, str]) -> FileLink | None:
    """The file that runs, as it is now; what can't be found or read won't run either."""
    path = running.found(name, outside.get("PATH"))
    try:
        return None if path is None else _link(path, Path(path))
    except UsageError:
        return None  # it may be run without being readable


def _link(name: str, path: Path) -> FileLink:
    digests = hash_file(path)
    return FileLink(name=name, digest=Digest("sha256", digests["sha256"].hex()), size=path.stat().st_size)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
