"""samebits promote, samebits plan: admit an image to a stage, or show what that would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.session import (
    AllowHostOption,
    ColorOption,
    DeadlineOption,
    DefinitionOption,
    IdentityTokenOption,
    JobsOption,
    KeyOption,
    Opened,
    OutputOption,
    PlainHttpOption,
    QuietOption,
    RateOption,
    ReadBack,
    RegistryCaOption,
    Session,
    TimeOption,
    TrustConfigOption,
    TrustOption,
    VerboseOption,
    VerifyDestinationOption,
    begin,
    open_pipeline,
    reaching,
)

if TYPE_CHECKING:
    from attestations.records.admission import AdmissionKind
    from pipeline.promote import Plan

StageArgument = Annotated[str, typer.Argument(metavar="STAGE", help="The stage to admit to.")]
ImageArgument = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE", help="A tag or digest of the stage before, a full reference, oci:DIR, docker:NAME."
    ),
]


def promote(
    context: typer.Context,
    stage: StageArgument,
    image: ImageArgument,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide and show; write nothing.")] = False,
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="In an emergency: let in what gates refuse and two people approved.")
    ] = False,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
    key: KeyOption = None,
    identity_token: IdentityTokenOption = None,
    trust_config: TrustConfigOption = None,
    jobs: JobsOption = 8,
    verify_destination: VerifyDestinationOption = ReadBack.RANGES,
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
    """Admit an image to a stage: verify the chain, judge the gates, copy, sign, and move the tag last.

    \b
    $ samebits promote build oci:./image --key ci-build.key
    $ samebits promote test 1.4.2 --key ci-promote.key
    $ samebits promote prod sha256:… -o json    (in CI, signed as the job's own identity)
    """
    from attestations.records.admission import AdmissionKind
    from pipeline.wiring import Signing

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    signing = Signing(key=key, identity_token=identity_token, trust_config=tuple(trust_config or ()))
    opened = open_pipeline(
        session,
        definition=definition,
        trust=trust,
        signing=None if dry_run and key is None else signing,
        reach=reaching(
            plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
        ),
        jobs=jobs,
        verify_destination=verify_destination,
        read_only=dry_run,
    )
    kind = AdmissionKind.BREAK_GLASS if break_glass else AdmissionKind.PROMOTION
    carry_out(session, opened, image, stage, kind, dry_run=dry_run)


def plan(
    context: typer.Context,
    stage: StageArgument,
    image: ImageArgument,
    *,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
    verify_destination: VerifyDestinationOption = ReadBack.RANGES,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    color: ColorOption = "auto",
    plain_http: PlainHttpOption = None,
    allow_host: AllowHostOption = None,
    registry_ca: RegistryCaOption = None,
    rate: RateOption = None,
    deadline: DeadlineOption = "30m",
    effective_time: TimeOption = None,
) -> None:
    """Show what `promote` would do, write nothing, and exit as it would.

    \b
    $ samebits plan prod 1.4.2
    """
    from pipeline import promote as room

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    opened = open_pipeline(
        session,
        definition=definition,
        trust=trust,
        reach=reaching(
            plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
        ),
        verify_destination=verify_destination,
        effective_time=effective_time,
        read_only=True,
    )
    wanted = opened.tools.places.incoming(image, stage, opened.pipeline)
    intended = room.plan(wanted, stage, pipeline=opened.pipeline, tools=opened.tools, now=opened.now)
    _tell_skipped(session, intended)
    session.finish(intended)


def carry_out(session: Session, opened: Opened, image: str, stage: str, kind: AdmissionKind, *, dry_run: bool) -> None:
    """Plan the admission, say what is left behind, and publish it unless it is a dry run."""
    from pipeline import promote as room

    wanted = opened.tools.places.incoming(image, stage, opened.pipeline)
    intended = room.plan(wanted, stage, pipeline=opened.pipeline, tools=opened.tools, now=opened.now, kind=kind)
    _tell_skipped(session, intended)
    session.finish(intended if dry_run else room.publish(intended, tools=opened.tools))


def _tell_skipped(session: Session, intended: Plan) -> None:
    """What hangs on the image and is left behind, or hidden, does not block; but nobody should have to look for it."""
    for reason in intended.warnings:
        session.output.warn(f"{reason} [{reason.code}]; {reason.hint}")
    for transfer in intended.transfers:
        for reason in transfer.skipped:
            session.output.warn(f"left behind: {reason} [{reason.code}]")
