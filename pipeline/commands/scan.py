"""samebits scan: every file of an image through clamd, and a report for `samebits step`."""

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
from registries.errors import Reason


def scan(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A tag, digest or full reference.")],
    *,
    clamd: Annotated[
        str,
        typer.Option("--clamd", envvar="SAMEBITS_CLAMD", metavar="HOST:PORT|unix:PATH", help="Where clamd listens."),
    ],
    report: Annotated[Path, typer.Option("--report", metavar="FILE", help="Where to write the report.")],
    stage: Annotated[
        str | None,
        typer.Option("--stage", metavar="STAGE", help="Where the image is; else in the last stage that has it."),
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
) -> None:
    """Scan every file of every layer for malware, and write a report that `samebits step` records.

    Exits with 3 when something was found or could not be scanned; the report is written all the same.

    \b
    $ samebits scan 1.4.2 --stage build --clamd 127.0.0.1:3310 --report malware.json
    $ samebits step build malware 1.4.2 --report clamav=malware.json --key scanner.key
    """
    from pipeline import scan as room
    from pipeline.clamd import Clamd
    from pipeline.commands.definition import write_whole
    from pipeline.formats.result import Told

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    reach = reaching(
        plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
    )
    opened = open_pipeline(session, definition=definition, trust=trust, reach=reach, read_only=True)
    found = opened.tools.places.anywhere(image, stage, opened.pipeline)
    done = room.scan(found, Clamd(clamd), now=opened.now, shelf=opened.tools.shelf, say=session.output.say)
    write_whole(report, done.report)
    layers = done.layers
    where = str(found)
    reasons = [
        *(
            Reason("malware-found", f"{signature} in {path} of layer {layer.layer}", where)
            for layer in layers
            for path, signature in layer.found
        ),
        *(
            Reason("scanner-failed", f"{path} of layer {layer.layer} was not scanned: {why}", where)
            for layer in layers
            for path, why in layer.unscanned
        ),
    ]
    told = Told(
        heading=f"scanned: {found.digest}",
        lines=(
            ("engine", f"ClamAV {done.engine.version}"),
            ("platforms", str(len(done.platforms))),
            ("files", str(sum(layer.files for layer in layers))),
            ("found", str(sum(len(layer.found) for layer in layers))),
            ("unscanned", str(sum(len(layer.unscanned) for layer in layers))),
            ("report", str(report)),
        ),
    )
    session.finish(told, reasons=reasons)
