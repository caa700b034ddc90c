"""samebits step: do a step of a stage and record it, or record the report that a tool made of it."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

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
from registries.errors import Reason, UsageError

if TYPE_CHECKING:
    from pipeline.commands.session import Opened
    from pipeline.step import Done, Intended

_GIT: Final = "git:"


def step(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="The stage that the image is in.")],
    name: Annotated[str, typer.Argument(metavar="STEP", help="The step to do.")],
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="A tag or digest there, a full reference, or git:COMMIT.")
    ],
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND", help="The command to run.")] = None,
    *,
    report: Annotated[
        list[str] | None, typer.Option("--report", metavar="FORMAT=FILE", help="A report of the step; repeatable.")
    ] = None,
    produces: Annotated[
        list[str] | None,
        typer.Option("--produces", metavar="FILE", help="A file that the command must make; repeatable."),
    ] = None,
    in_image: Annotated[
        bool, typer.Option("--in-image", help="Run the command inside the image itself, with the Docker engine.")
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="FOLDER", help="Where the record of a step on the source is kept."),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="Attach the records of a step on the source that lie there."),
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

    A step that the definition gives a command runs that command, and no other. It gets the variables that the
    definition allows it, and ends when its time is over. What it prints goes to stderr.

    \b
    $ samebits step test integration 1.4.2 --key ci-promote.key
    $ samebits step test load 1.4.2 --report junit=load.xml --key ci-promote.key
    $ samebits step build sbom 1.4.2 --report cyclonedx=sbom.json --key ci-build.key -- make sbom
    $ samebits step test smoke 1.4.2 --in-image --key ci-promote.key -- /app --self-test
    $ samebits step build sast git:COMMIT --report sarif=sast.json --into evidence --key scanner.key
    $ samebits step build sast 1.4.2 --from evidence
    """
    from pipeline import kept
    from pipeline import step as room
    from pipeline.formats.result import StepDone
    from pipeline.wiring import Signing

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    reach = reaching(
        plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
    )
    signing = Signing(key=key, identity_token=identity_token, trust_config=tuple(trust_config or ()))
    opened = open_pipeline(
        session,
        definition=definition,
        trust=trust,
        signing=None if from_ else signing,
        reach=reach,
        read_only=False,
    )
    if from_ is not None:
        if report or produces or command or into or in_image:
            raise UsageError("usage", "--from attaches what was done already, and takes nothing else")
        _bring(session, opened, (stage, name, image), from_)
        return
    intended = _intended(opened, (stage, name, image), into)
    files = _report_files(report or [])
    room.check_reports(intended, [kind for kind, _ in files])
    arguments = _command(intended, tuple(command or ()))
    if arguments:
        with nullcontext() if reach.deadline is None else reach.deadline.paused():
            done = _performed(arguments, intended, session, files, produces or [], in_image=in_image)
    elif produces or in_image:
        raise UsageError("step-command-missing", "without a command nothing is made, and nothing runs in the image")
    else:
        done = _taken(files, session)
    if into is None:
        digest, recorded = room.record(intended, done, tools=opened.tools)
    else:
        digest, recorded = kept.keep(intended, done, tools=opened.tools, folder=into)
    session.finish(
        StepDone(subject=str(intended.subject), record=digest, step=recorded),
        reasons=(room.failure(intended, done),) if recorded.result != "passed" else (),
    )


def _intended(opened: Opened, named: tuple[str, str, str], into: Path | None) -> Intended:
    """The step of this stage, by its name, on an image or a commit; what stands against it is told before it runs."""
    from attestations.commit import Commit
    from pipeline import kept
    from pipeline import step as room

    stage, name, subject = named
    pipeline, tools, now = opened.pipeline, opened.tools, opened.now
    if (into is None) == subject.startswith(_GIT):
        message = "a step on the source is done on git:COMMIT and kept --into a folder, every other one is not"
        raise UsageError("step-subject-differs", message, where=f"step {name} of {stage}")
    if into is not None:
        commit = Commit(subject.removeprefix(_GIT))
        return kept.intend(commit, stage, name, pipeline=pipeline, tools=tools, folder=into, now=now)
    found = tools.places.admitted(subject, stage, pipeline)
    return room.intend(found, stage, name, pipeline=pipeline, tools=tools, now=now)


def _bring(session: Session, opened: Opened, named: tuple[str, str, str], folder: Path) -> None:
    """Attach what was done on the source; a failure is told as such, as that is what hangs there then."""
    from pipeline import kept
    from pipeline.formats.result import StepDone

    stage, name, subject = named
    found = opened.tools.places.admitted(subject, stage, opened.pipeline)
    digest, recorded = kept.bring(
        found, stage, name, pipeline=opened.pipeline, tools=opened.tools, folder=folder, now=opened.now
    )
    failure = Reason(
        "step-not-passed", f"the step failed: {recorded.reason or 'see its reports'}", f"step {name} of {stage}"
    )
    session.finish(
        StepDone(subject=str(found), record=digest, step=recorded),
        reasons=(failure,) if recorded.result != "passed" else (),
    )


def _command(intended: Intended, given: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments to run: the definition's own command where it has one, else the one that was given."""
    from attestations.fields import text as recordable

    defined = intended.step.run
    if defined is None:
        step = intended.step
        if not given and (step.evidence is None or step.in_image is not None or step.produces):
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
    return ("/bin/sh", "-c", defined.replace(*_placeholder(intended)))


def _placeholder(intended: Intended) -> tuple[str, str]:
    from attestations.commit import Commit

    subject = intended.subject
    if isinstance(subject, Commit):
        return "{commit}", subject.hex
    return "{image}", shlex.quote(str(subject))


def _performed(
    arguments: tuple[str, ...],
    intended: Intended,
    session: Session,
    files: list[tuple[str, Path]],
    produces: list[str],
    *,
    in_image: bool,
) -> Done:
    """Run it, here or inside the image, and read what it has made."""
    from attestations.commit import Commit
    from attestations.fields import text as recordable
    from attestations.records.step import InImage
    from pipeline.inside import Inside
    from pipeline.perform import Performance, perform

    for name in produces:
        recordable(name, "--produces")
    session.output.say(f"running {shlex.join(arguments)}")
    session.output.stderr.flush()
    outside, shown = session.edge.around.environment, session.output.stderr.fileno()
    how = intended.step.in_image or (InImage(network=False, writable=False) if in_image else None)
    if how is not None and produces:
        raise UsageError("usage", "what is made inside the image is gone with its container", where="--produces")
    if isinstance(intended.subject, Commit):
        if how is not None:
            raise UsageError("step-subject-differs", "there is no image yet to run it in", where="--in-image")
        inside = None
    else:
        inside = Inside(image=intended.subject, timeout=intended.step.timeout, outside=outside, shown=shown)
    performance = Performance(
        arguments=arguments,
        reports=files,
        produces=(*intended.step.produces, *produces),
        outside=outside,
        shown=shown,
        inside=None if how is None or inside is None else (how, inside),
    )
    return perform(intended, performance, clock=session.edge.clock)


def _taken(files: list[tuple[str, Path]], session: Session) -> Done:
    """The reports of a step that was done elsewhere."""
    from pipeline.step import Done
    from pipeline.wiring import read_file
    from registries.limits import REPORT_BYTES

    now = session.edge.clock()
    reports = tuple((kind, read_file(path, REPORT_BYTES)) for kind, path in files)
    return Done(started_at=now, finished_at=now, reports=reports)


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
