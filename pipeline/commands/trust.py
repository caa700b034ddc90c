"""samebits trust: whom this pipeline trusts for what, and why a record is believed or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.session import (
    AllowHostOption,
    ColorOption,
    DeadlineOption,
    DefinitionOption,
    Opened,
    OutputOption,
    PlainHttpOption,
    QuietOption,
    RateOption,
    RegistryCaOption,
    TimeOption,
    TrustOption,
    begin,
    open_pipeline,
    reaching,
)

if TYPE_CHECKING:
    from pipeline.anchors import Anchors
    from pipeline.formats.result import Told

trust_app = typer.Typer(help="Show whom this pipeline trusts for what.", rich_markup_mode=None)


@trust_app.callback()
def trust_commands() -> None:
    """Show whom this pipeline trusts for what."""  # without this, the one command would have no name of its own


@trust_app.command()
def show(
    context: typer.Context,
    *,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="IMAGE", help="Each record about an image, and why it counts.")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option("--stage", metavar="STAGE", help="Where the image is; else in the last stage that has it."),
    ] = None,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
    plain_http: PlainHttpOption = None,
    allow_host: AllowHostOption = None,
    registry_ca: RegistryCaOption = None,
    rate: RateOption = None,
    deadline: DeadlineOption = "30m",
    effective_time: TimeOption = None,
) -> None:
    """Show the pinned owners, every signer with what they may do, and what was revoked.

    \b
    $ samebits trust show
    $ samebits trust show --explain 1.4.2 --stage build
    """
    from pipeline.formats.result import Told

    session = begin(context, formats=output, quiet=quiet, color=color)
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
    if explain is not None:
        session.finish(_explained(opened, explain, stage))
        return
    heading = f"{opened.pipeline.name} version {opened.pipeline.lineage.version}, by {opened.anchors.path}"
    session.finish(Told(heading=heading, lines=(*_anchors(opened.anchors), *_signers(opened))))


def _anchors(anchors: Anchors) -> Iterator[tuple[str, str]]:
    """What the trust file pins, before anything else is read."""
    from pipeline.trusted import known_by

    owners = anchors.owners
    yield "owners", f"{owners.threshold} of {len(owners.signers)} must sign a definition"
    yield from (("", known_by(owner)) for owner in owners.signers)
    yield "registries", ", ".join(anchors.registries)
    if anchors.sigstore is None:
        yield "certificates", "none is believed, as no trusted root is pinned"
    else:
        asked = anchors.sigstore.requirements
        yield (
            "certificates",
            (
                f"under the pinned trusted root; distinct logs {asked.logs}, timestamp authorities {asked.timestamps}, "
                f"certificate logs {asked.certificate_logs}"
            ),
        )
    revoked = anchors.revocations
    yield from (("revoked", f"image {digest}") for digest in sorted(revoked.digests))
    yield from (("revoked", f"signer {name} from {time.isoformat()}") for name, time in revoked.signers.items())
    yield from (
        ("stopped", f"{name or 'the whole pipeline'} from {time.isoformat()}") for name, time in revoked.stages.items()
    )
    yield from (
        ("revoked", f"{subject} from {issuer}, from {time.isoformat()}") for issuer, subject, time in revoked.identities
    )


def _signers(opened: Opened) -> Iterator[tuple[str, str]]:
    from pipeline.trusted import known_by, trusted

    for one in trusted(opened.pipeline):
        yield "signer", known_by(one.identity)
        yield from (("  may", right) for right in one.may)
        if not one.may:
            yield "  may", "do nothing"


def _explained(opened: Opened, text: str, stage: str | None) -> Told:
    from pipeline.formats.result import Told
    from pipeline.gather import gather, with_attached
    from pipeline.trusted import explained
    from registries.shelf import Shelf

    pipeline, tools, now = opened.pipeline, opened.tools, opened.now
    image = tools.places.anywhere(text, stage, pipeline)
    places, revocations, shelf = (image.place,), tools.revocations, Shelf()
    found = gather(image.digest, places, pipeline=pipeline, revocations=revocations, now=now, shelf=shelf)
    found = with_attached(found, places, pipeline=pipeline, revocations=revocations, now=now, shelf=shelf)
    lines = [
        line
        for record, said, why in explained(found.records, pipeline)
        for line in (("record", record), ("  says", said), ("  so", why))
    ]
    return Told(heading=str(image), lines=tuple(lines))
