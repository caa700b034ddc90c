"""What every command shares: its options, the files they name, and one way to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from pipeline.output import CopyProgress, Output, parse_formats, wants_color
from registries.errors import Reason, UsageError

if TYPE_CHECKING:
    from pipeline.anchors import Anchors
    from pipeline.definition import Pipeline
    from pipeline.formats.result import Shown
    from pipeline.promote import Tools
    from pipeline.surroundings import Surroundings
    from pipeline.wiring import Reach, Signing
    from registries.shelf import Shelf


class ReadBack(StrEnum):
    """How much of a blob is read before it counts as there."""

    RANGES = "ranges"
    FULL = "full"


DefinitionOption = Annotated[
    Path | None,
    typer.Option("--definition", envvar="SAMEBITS_DEFINITION", help="The pipeline definition.", metavar="FILE"),
]
TrustOption = Annotated[
    Path | None, typer.Option("--trust", envvar="SAMEBITS_TRUST", help="The pinned trust file.", metavar="FILE")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", envvar="SAMEBITS_KEY", help="The private key to sign with.", metavar="FILE|URI")
]
IdentityTokenOption = Annotated[
    str | None,
    typer.Option(
        "--identity-token",
        envvar="SAMEBITS_IDENTITY_TOKEN",
        help="Without a key: the identity token, or @FILE with it.",
        metavar="TOKEN|@FILE",
    ),
]
TrustConfigOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust-config",
        envvar="SAMEBITS_TRUST_CONFIG",
        help="The Sigstore instance: to sign without a key, or to stamp a key's signatures; repeatable.",
        metavar="FILE",
    ),
]
OutputOption = Annotated[
    list[str] | None,
    typer.Option("--output", "-o", envvar="SAMEBITS_OUTPUT", help="text or json; repeatable.", metavar="FORMAT[=FILE]"),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", envvar="SAMEBITS_QUIET", help="Only results and errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", envvar="SAMEBITS_VERBOSE", help="Say what goes on.")]
ColorOption = Annotated[
    str, typer.Option("--color", envvar="SAMEBITS_COLOR", metavar="auto|always|never", help="Color.")
]
PlainHttpOption = Annotated[
    list[str] | None,
    typer.Option("--plain-http", envvar="SAMEBITS_PLAIN_HTTP", metavar="HOST", help="Reach this host without TLS."),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host",
        envvar="SAMEBITS_ALLOW_HOST",
        metavar="HOST[:PORT]",
        help="A registry may send us there: its storage, its token server; repeatable.",
    ),
]
RegistryCaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--registry-ca",
        envvar="SAMEBITS_REGISTRY_CA",
        metavar="HOST=FILE",
        help="The authority of this host's certificate; repeatable.",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option("--rate", envvar="SAMEBITS_RATE", metavar="N", help="At most N requests per second and registry."),
]
DeadlineOption = Annotated[
    str,
    typer.Option("--deadline", envvar="SAMEBITS_DEADLINE", metavar="TIME", help="When to give the whole run up."),
]
JobsOption = Annotated[
    int, typer.Option("--jobs", envvar="SAMEBITS_JOBS", min=1, max=64, help="Blobs moved at the same time.")
]
VerifyDestinationOption = Annotated[
    ReadBack,
    typer.Option(
        "--verify-destination",
        envvar="SAMEBITS_VERIFY_DESTINATION",
        help="How much of a blob is read to prove that it is there: both ends, or every byte.",
    ),
]
TimeOption = Annotated[
    str | None,
    typer.Option("--effective-time", envvar="SAMEBITS_EFFECTIVE_TIME", metavar="TIME", help="Judge as of this time."),
]


@dataclass(slots=True)
class Edge:
    """What `pipeline.cli` hands to every command: the streams, the clock, and the surroundings.

    `session` is that of the command which runs, so that the edge can end it when something is refused.
    """

    around: Surroundings
    clock: Callable[[], datetime]
    stdout: TextIO
    stderr: TextIO
    version: str
    session: Session | None = None


@dataclass(slots=True)
class Session:
    """One run of a command: where it writes, what it believes, and what it uses."""

    command: str
    edge: Edge
    output: Output
    progress: CopyProgress | None = None
    shelf: Shelf | None = None

    def finish(self, shown: Shown, *, reasons: Sequence[Reason] = ()) -> None:
        """Show a value. With reasons, they go to stderr and the process ends with their exit code."""
        if code := self.end(shown, reasons):
            raise typer.Exit(code)

    def end(self, shown: Shown | None, reasons: Sequence[Reason], *, interrupted: int | None = None) -> int:
        """Show how the command ended in every format that was asked for; returns the exit code.

        `interrupted` is the exit code of a run that a signal has ended: the reasons alone do not say which one.
        """
        from pipeline.formats.result import Result
        from pipeline.reasons import exit_code

        self.close()
        code = interrupted or (exit_code([reason.code for reason in reasons]) if reasons else 0)
        self.output.result(Result(command=self.command, exit_code=code, shown=shown, reasons=tuple(reasons)))
        self.output.refused(reasons)
        return code

    def close(self) -> None:
        """Leave the terminal as it was, and the cache within its bounds."""
        if self.progress is not None:
            self.progress.close()
        if self.shelf is not None:
            self.shelf.tidy()


def begin(
    context: typer.Context,
    *,
    formats: list[str] | None = None,
    quiet: bool = False,
    verbose: bool = False,
    color: str = "auto",
) -> Session:
    """The session of a command, which is known to the edge from here on."""
    edge: Edge = context.obj
    if color not in ("auto", "always", "never"):
        raise UsageError("usage", f"--color is auto, always or never, not {color!r}")
    output = Output(
        stdout=edge.stdout,
        stderr=edge.stderr,
        formats=parse_formats(formats or ()),
        quiet=quiet,
        verbose=verbose,
        color=wants_color(color, edge.around.environment, terminal=edge.stderr.isatty()),
    )
    session = Session(command=context.command_path.removeprefix("samebits "), edge=edge, output=output)
    edge.session = session
    return session


def reaching(
    *,
    plain_http: list[str] | None,
    allow_host: list[str] | None,
    registry_ca: list[str] | None,
    rate: float | None,
    deadline: str,
) -> Reach:
    """How registries are reached, as it was typed. The time of the run begins here."""
    from pipeline.wiring import Reach
    from registries.pace import Deadline

    return Reach(
        plain_http=tuple(plain_http or ()),
        allow_host=tuple(allow_host or ()),
        registry_ca=tuple(registry_ca or ()),
        rate=rate,
        deadline=Deadline(_seconds(deadline)),
    )


def _seconds(deadline: str) -> float:
    from stages.duration import Duration

    try:
        return Duration.parse(deadline).timedelta.total_seconds()
    except UsageError as error:
        raise UsageError("usage", f"--deadline: {error}", hint="--deadline 45m") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A believed pipeline with the tools to work on it, at one time."""

    pipeline: Pipeline
    anchors: Anchors
    tools: Tools
    now: datetime


def open_pipeline(
    session: Session,
    *,
    definition: Path | None,
    trust: Path | None,
    signing: Signing | None = None,
    reach: Reach | None = None,
    jobs: int = 8,
    verify_destination: ReadBack = ReadBack.RANGES,
    effective_time: str | None = None,
    read_only: bool,
) -> Opened:
    """Read and believe the definition, then open the places it names. What is only read needs no `signing`."""
    from pipeline import wiring

    edge = session.edge
    now = parse_time(effective_time) if effective_time else edge.clock()
    named = wiring.Named(
        definition=definition,
        trust=trust,
        signing=signing,
        jobs=jobs,
        reach=reach or wiring.Reach(),
        whole=verify_destination is ReadBack.FULL,
    )
    anchors = wiring.read_anchors(trust, edge.around)
    read = wiring.read_definition(definition, edge.around)
    session.output.say(f"definition {read.path} {read.digest}")
    pipeline = wiring.believe(read, anchors, now=now)
    session.progress = session.output.progress()
    tools = wiring.open_tools(
        named,
        anchors,
        edge.around,
        clock=edge.clock,
        read_only=read_only,
        tool=(("name", "samebits"), ("version", edge.version)),
        say=session.output.say,
        progress=session.progress,
        waivers=wiring.read_waivers(Path(read.path)),
    )
    session.shelf = tools.shelf
    return Opened(pipeline=pipeline, anchors=anchors, tools=tools, now=now)


def parse_time(text: str) -> datetime:
    """RFC 3339, in UTC afterwards."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError("usage", f"--effective-time: {text!r} is no RFC 3339 time") from None
