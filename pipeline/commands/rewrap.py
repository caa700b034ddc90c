"""samebits rewrap: attestations in cosign's older form, carried over into bundles."""

from __future__ import annotations

from pathlib import Path
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
    TrustOption,
    VerboseOption,
    begin,
    open_pipeline,
    reaching,
)


def rewrap(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A tag, digest or full reference.")],
    *,
    stage: Annotated[
        str | None,
        typer.Option("--stage", metavar="STAGE", help="Where the image is; else in the last stage that has it."),
    ] = None,
    attestation: Annotated[
        list[Path] | None,
        typer.Option("--attestation", metavar="FILE", help="Hang this file's bundles too, one a line; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be carried; write nothing.")] = False,
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
) -> None:
    """Carry attestations of cosign 1 and 2 (`.att` tags) over into bundles, their signatures untouched.

    \b
    $ samebits rewrap 1.4.2 --dry-run
    $ samebits rewrap sha256:… --stage build
    $ samebits rewrap 1.4.2 --attestation sha256:….jsonl    (from `gh attestation download`)
    """
    from pipeline import rewrap as room
    from pipeline import wiring
    from registries.limits import BUNDLE_BYTES

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    opened = open_pipeline(
        session,
        definition=definition,
        trust=trust,
        reach=reaching(
            plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
        ),
        read_only=dry_run,
    )
    found = opened.tools.places.anywhere(image, stage, opened.pipeline)
    files = [(str(path), wiring.read_file(path, BUNDLE_BYTES)) for path in attestation or ()]
    done = room.rewrap(found, tools=opened.tools, now=opened.now, dry_run=dry_run, files=files)
    session.finish(done, reasons=done.faults)
