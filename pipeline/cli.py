"""The command line: reads the clock, the arguments and the environment, hands them on, and sets the exit code."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

from pipeline import VERSION

if TYPE_CHECKING:  # what is loaded here, `--version` pays for
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import FrameType
    from typing import Any

    from pipeline.commands.session import Edge, Session
    from registries.errors import Reason

BUG: Final = 1
_INTERRUPTED: Final = (128 + signal.SIGINT, 128 + signal.SIGTERM)
_GRACE_SECONDS: Final = 5.0


class Interrupted(BaseException):
    """A signal asked the process to end; carries its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main() -> NoReturn:
    """The `samebits` command."""
    _streams()
    code = run(sys.argv[1:])
    if code in _INTERRUPTED or _written():
        _leave(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command in this process and return its exit code; it ends in words, never in a traceback."""
    if list(arguments) == ["--version"]:
        sys.stdout.write(f"samebits {VERSION}\n")
        return 0
    from datetime import UTC, datetime
    from pathlib import Path

    from pipeline.commands.application import UNREADABLE, application
    from pipeline.commands.session import Edge
    from pipeline.output import NobodyReads
    from pipeline.surroundings import Surroundings
    from registries.errors import Reason, Refusal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    edge = Edge(
        around=Surroundings(environment=dict(os.environ), folder=Path.cwd(), home=Path.home()),
        clock=lambda: datetime.now(UTC).replace(microsecond=0),
        stdout=sys.stdout,
        stderr=sys.stderr,
        version=VERSION,
    )
    try:
        code = application().main(list(arguments), prog_name="samebits", obj=edge, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UNREADABLE as error:
        return _unreadable(error, edge, arguments)
    except Refusal as refusal:
        return _end(edge, refusal.reasons)
    except Interrupted as interrupted:
        reason = Reason("run-interrupted", "interrupted; no tag was moved by what was left undone", hint="run it again")
        return _end(edge, (reason,), interrupted=128 + interrupted.number)
    except NobodyReads:
        _silence(sys.stdout)
        return 128 + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001  the last handler: a bug ends with its code, and never as a pass
        return _bug(error, edge)


def _end(edge: Edge, reasons: Sequence[Reason], *, interrupted: int | None = None) -> int:
    """Show why the command ended; where the result itself can't be written, stderr alone tells."""
    from pipeline.reasons import exit_code
    from registries.errors import Refusal

    try:
        return _session(edge).end(None, reasons, interrupted=interrupted)
    except Refusal as unwritable:
        _silence(sys.stdout)
        told = tuple(dict.fromkeys((*reasons, *unwritable.reasons)))
        _session(edge).output.refused(told)
        return interrupted or exit_code([reason.code for reason in told])


def _written() -> bool:
    """Whether all that was said has left; if not, Python's own way to end will complain and set the exit code."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return False
    return True


def _silence(stream: TextIO) -> None:
    """Let nothing fail at exit when what is still buffered can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _streams() -> None:
    """UTF-8 whatever the locale says; a stream that was closed can't be written to, and says so when it is."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115  open for reading: a write fails
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _unreadable(error: Any, edge: Edge, arguments: Sequence[str]) -> int:
    """A command line that can't be read ends like everything else: in words, and in the formats that it asks for."""
    from pipeline.commands.session import Session
    from pipeline.output import Output
    from pipeline.reasons import exit_code
    from registries.errors import Reason

    context, message = error.ctx, error.format_message()
    if context is not None and message == context.get_help():  # no argument at all: the help is the answer
        edge.stderr.write(f"{message}\n")
        return exit_code(["usage"])
    if context is not None:
        edge.stderr.write(f"{context.get_usage()}\n")
    output = Output(stdout=edge.stdout, stderr=edge.stderr, formats=_formats(arguments, edge.around.environment))
    command = "" if context is None else context.command_path.removeprefix("samebits").strip()
    edge.session = edge.session or Session(command=command, edge=edge, output=output)
    hint = f"samebits {command} --help".replace("  ", " ")
    return _end(edge, (Reason("usage", message, hint=hint),))


def _formats(arguments: Sequence[str], environment: Mapping[str, str]) -> Sequence[tuple[str, Path | None]]:
    """The formats that a command line asks for which nobody could read; text if that can't be read either."""
    from itertools import pairwise

    from pipeline.output import parse_formats
    from registries.errors import UsageError

    named = [value for option, value in pairwise(arguments) if option in ("-o", "--output")]
    joined = [text.partition("=")[2] for text in arguments if text.startswith("--output=")]
    try:
        return parse_formats(named + joined or environment.get("SAMEBITS_OUTPUT", "").split())
    except UsageError:
        return parse_formats(())


def _session(edge: Edge) -> Session:
    """The session of the command, or a plain one when the command did not come as far as having its own."""
    from pipeline.commands.session import Session
    from pipeline.output import Output

    return edge.session or Session(command="", edge=edge, output=Output(stdout=edge.stdout, stderr=edge.stderr))


def _bug(error: Exception, edge: Edge) -> int:
    from pathlib import Path

    from registries.errors import Reason

    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    reason = Reason("internal-error", f"a bug in samebits: {type(error).__name__}: {error}", place, "please report it")
    _end(edge, (reason,))
    return BUG


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """Unwind, so that a running step is ended too; threads that wait for a slow registry are not waited for."""
    from threading import Timer

    last_resort = Timer(_GRACE_SECONDS, _leave, (128 + number,))
    last_resort.daemon = True
    last_resort.start()
    raise Interrupted(number)


def _leave(code: int) -> NoReturn:
    """End at once, without taking the interpreter apart, which takes as long as a tenth of a small promotion's work.

    Nothing is lost: the registries are the only state, and a run that was cut is run again.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
