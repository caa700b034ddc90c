"""samebits step: do a step of a stage and record it, or record the report that a tool made of it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.session import (
    AllowHostOption,
    ColorOption,
    DeadlineOption,
    DefinitionOption,
    IdentityTokenOption,
    KeyOption,
    OutputOption,
    PlainHttpOption,
    QuietOption,
    RateOption,
    RegistryCaOption,
    Session,
    TrustConfigOption,
    TrustOption,
    VerboseOption,
    begin,
    open_pipeline,
    reaching,
)
from pipeline.surroundings import SECRETS
from registries.errors import Reason, UsageError

if TYPE_CHECKING:
    from pipeline.step import Intended


def step(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="The stage that the image is in.")],
    name: Annotated[str, typer.Argument(metavar="STEP", help="The step to do.")],
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A tag or digest there, or a full reference.")],
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND", help="The command to run.")] = None,
    *,
    report: Annotated[
        list[str] | None, typer.Option("--report", metavar="FORMAT=FILE", help="A report of the step; repeatable.")
    ] = None,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
    key: KeyOption = None,
    identity_token: IdentityTokenOption = None,
    trust_config: TrustConfigOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    color: ColorOption = "auto",
    plain_http: PlainHttpOption = None,
    allow_host: AllowHostOption = None,
    registry_ca: RegistryCaOption = None,
    rate: RateOption = None,
    deadline: DeadlineOption = "30m",
) -> None:
    """Run a step on an image, or take the report of one, and record the result, signed, beside the image.

    A step that the definition gives a command runs that command, and no other. What it prints goes to stderr.

    \b
    $ samebits step test integration 1.4.2 --key ci-promote.key
    $ samebits step test load 1.4.2 --report junit=load.xml --key ci-promote.key
    $ samebits step build sbom 1.4.2 --report cyclonedx=sbom.json --key ci-build.key -- make sbom
    """
    from pipeline import step as room
    from pipeline.formats.result import StepDone
    from pipeline.wiring import Signing

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    signing = Signing(key=key, identity_token=identity_token, trust_config=tuple(trust_config or ()))
    opened = open_pipeline(
        session,
        definition=definition,
        trust=trust,
        signing=signing,
        reach=reaching(
            plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
        ),
        read_only=False,
    )
    found = opened.tools.places.admitted(image, stage, opened.pipeline)
    intended = room.intend(found, stage, name, pipeline=opened.pipeline, tools=opened.tools, now=opened.now)
    files = _report_files(report or [])
    room.check_reports(intended, [kind for kind, _ in files])
    arguments = _command(intended, tuple(command or ()))
    started = session.edge.clock()
    exit_code = _run(arguments, intended, session) if arguments else None
    done = room.Done(
        started_at=started,
        finished_at=session.edge.clock(),
        command=arguments,
        exit_code=exit_code,
        reports=_reports(files, failed=exit_code not in (None, 0)),
    )
    digest, recorded = room.record(intended, done, tools=opened.tools)
    failure = Reason("step-not-passed", "the step failed; the failure is on record", f"step {name} of {stage}")
    session.finish(
        StepDone(image=str(found), record=digest, step=recorded),
        reasons=(failure,) if recorded.result != "passed" else (),
    )


def _command(intended: Intended, given: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments to run: the definition's own command where it has one, else the one that was given."""
    from attestations.fields import text as recordable

    defined = intended.step.run
    if defined is None:
        if not given and intended.step.evidence is None:
            raise UsageError("step-command-missing", "the definition gives no command; add one after --")
        for argument in given:
            recordable(argument, "command")  # before it runs: what can't be recorded must not be done
        return given
    if given:
        raise UsageError(
            "step-command-differs",
            f"the definition runs {defined!r} here, and nothing else counts",
            where=f"step {intended.step.name} of {intended.stage}",
        )
    return ("/bin/sh", "-c", defined.replace("{image}", shlex.quote(str(intended.image))))


def _run(arguments: tuple[str, ...], intended: Intended, session: Session) -> int:
    """Run it with the user's own environment and the image in SAMEBITS_IMAGE; what could sign stays here."""
    outside = session.edge.around.environment
    environment = {name: value for name, value in outside.items() if name not in SECRETS}
    environment["SAMEBITS_IMAGE"] = str(intended.image)
    environment |= {"SAMEBITS_STAGE": intended.stage, "SAMEBITS_STEP": intended.step.name}
    session.output.say(f"running {shlex.join(arguments)}")
    try:
        running = subprocess.Popen(  # noqa: S603  the owners' signed definition, or the user, says what to run
            arguments,
            env=environment,
            stdout=session.output.stderr,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError("step-command-missing", f"{arguments[0]} can't be run: {error.strerror}") from error
    try:
        return running.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGTERM)  # whatever it has started ends with it
        raise


def _report_files(texts: list[str]) -> list[tuple[str, Path]]:
    """Formats and files as they were named; looked at before the step runs."""
    from stages.reports import REPORTS

    found: list[tuple[str, Path]] = []
    for text in texts:
        kind, equals, path = text.partition("=")
        if not equals or kind not in REPORTS:
            raise UsageError(
                "format-unknown", f"--report {text}: write FORMAT=FILE with one of {', '.join(sorted(REPORTS))}"
            )
        found.append((kind, Path(path)))
    return found


def _reports(files: list[tuple[str, Path]], *, failed: bool) -> tuple[tuple[str, bytes], ...]:
    """What the step reported. One that failed may have left files out; its failure is recorded all the same."""
    from pipeline.wiring import read_file
    from registries.limits import REPORT_BYTES

    found: list[tuple[str, bytes]] = []
    for kind, path in files:
        if failed and not path.is_file():
            continue
        found.append((kind, read_file(path, REPORT_BYTES)))
    return tuple(found)
