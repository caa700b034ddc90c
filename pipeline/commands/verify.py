"""samebits verify, samebits audit: ask about an image that is somewhere in the pipeline; both write nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.session import (
    AllowHostOption,
    ColorOption,
    DeadlineOption,
    DefinitionOption,
    OutputOption,
    PlainHttpOption,
    QuietOption,
    RateOption,
    RegistryCaOption,
    TimeOption,
    TrustOption,
    VerboseOption,
    begin,
    open_pipeline,
    reaching,
)


def verify(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="The stage that the image should be admitted to.")],
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A tag or digest there, or a full reference.")],
    *,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
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
    """Is this image admitted to this stage by a whole chain, back to the build?

    \b
    $ samebits verify prod 1.4.2
    """
    from pipeline import audit as room

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    opened = open_pipeline(
        session,
        definition=definition,
        trust=trust,
        reach=reaching(
            plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
        ),
        effective_time=effective_time,
        read_only=True,
    )
    found = opened.tools.places.admitted(image, stage, opened.pipeline)
    session.finish(room.verify(found, stage, pipeline=opened.pipeline, tools=opened.tools, now=opened.now))


def audit(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A tag, digest or full reference.")],
    *,
    stage: Annotated[
        str | None,
        typer.Option("--stage", metavar="STAGE", help="Where a tag is looked up; else the last that has it."),
    ] = None,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
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
    """Show the chain of an image through every stage as a tree, with everything that is wrong.

    \b
    $ samebits audit 1.4.2
    $ samebits audit sha256:… -o json=chain.json -o text
    """
    from pipeline import audit as room

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    opened = open_pipeline(
        session,
        definition=definition,
        trust=trust,
        reach=reaching(
            plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
        ),
        effective_time=effective_time,
        read_only=True,
    )
    found = opened.tools.places.anywhere(image, stage, opened.pipeline)
    story = room.audit(found, pipeline=opened.pipeline, tools=opened.tools, now=opened.now)
    session.finish(story, reasons=story.faults)
