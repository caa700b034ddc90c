"""samebits rollback: move a stage's tags back to an image that was admitted there before, with a record of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.promote import carry_out
from pipeline.commands.session import (
    AllowHostOption,
    ColorOption,
    DeadlineOption,
    DefinitionOption,
    IdentityTokenOption,
    JobsOption,
    KeyOption,
    OutputOption,
    PlainHttpOption,
    QuietOption,
    RateOption,
    ReadBack,
    RegistryCaOption,
    TrustConfigOption,
    TrustOption,
    VerboseOption,
    VerifyDestinationOption,
    begin,
    open_pipeline,
    reaching,
)


def rollback(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="The stage whose tags go back.")],
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="The image to go back to: TAG@DIGEST of the stage before.")
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide and show; write nothing.")] = False,
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
    """Go back to an image that was admitted to the stage before. Its chain is verified and its gates are judged anew.

    \b
    $ samebits rollback prod 1.4.1 --key ci-promote.key
    $ samebits rollback prod sha256:… --dry-run
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
    carry_out(session, opened, image, stage, AdmissionKind.ROLLBACK, dry_run=dry_run)
