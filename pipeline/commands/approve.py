"""samebits approve: sign that an image may go on, for exactly this image, stage, definition and what was found."""

from __future__ import annotations

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
from registries.errors import UsageError

if TYPE_CHECKING:
    from pipeline.approve import Review


def approve(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="The stage that the image is to be admitted to.")],
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A tag or digest of the stage before.")],
    *,
    words: Annotated[
        str, typer.Option("--words", envvar="SAMEBITS_WORDS", metavar="TEXT", help="Why; it is signed with it.")
    ] = "",
    valid: Annotated[
        str, typer.Option("--valid", envvar="SAMEBITS_VALID", metavar="TIME", help="How long the approval holds.")
    ] = "72h",
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="Approve an emergency: let it in although gates refuse it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; what was found is shown all the same.")] = False,
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
    """Approve an image for a stage. What the gates say about it is shown first, and is what you sign.

    \b
    $ samebits approve prod 1.4.2 --key alice.key --words "tested with the shop team"
    $ samebits approve prod sha256:… --break-glass --words "CVE-2026-1 is being exploited" --key bob.key
    """
    from attestations.records.approval import ApprovalKind
    from pipeline import approve as room
    from pipeline.formats.result import Told
    from pipeline.wiring import Signing
    from stages.duration import Duration

    session = begin(context, formats=output, quiet=quiet, verbose=verbose, color=color)
    try:
        length = Duration.parse(valid).timedelta
    except UsageError as error:
        raise UsageError("usage", f"--valid: {error}", hint="--valid 24h") from error
    kind = ApprovalKind.BREAK_GLASS if break_glass else ApprovalKind.PROMOTION
    if break_glass and not words:
        raise UsageError("usage", "an emergency needs a reason", hint='--words "WHY"')
    opened = open_pipeline(
        session,
        definition=definition,
        trust=trust,
        signing=Signing(key=key, identity_token=identity_token, trust_config=tuple(trust_config or ())),
        reach=reaching(
            plain_http=plain_http, allow_host=allow_host, registry_ca=registry_ca, rate=rate, deadline=deadline
        ),
        read_only=False,
    )
    found = opened.tools.places.incoming(image, stage, opened.pipeline)
    seen = room.review(found, stage, kind=kind, pipeline=opened.pipeline, tools=opened.tools, now=opened.now)
    _show(session, seen)
    _ask(session, yes=yes)
    record, approval = room.approve(seen, words=words, valid=length, tools=opened.tools, now=opened.now)
    session.finish(
        Told(
            heading=f"approved for {stage}{' in an emergency' if break_glass else ''}: {found.digest}",
            lines=(
                ("record", str(record)),
                ("findings", str(approval.findings)),
                ("until", approval.expires.isoformat()),
                ("words", approval.words or "none"),
            ),
        )
    )


def _show(session: Session, seen: Review) -> None:
    """What an approver has to know, on stderr: stdout carries the result alone."""
    session.output.note(f"{seen.image} for {seen.stage.name}, definition version {seen.pipeline.lineage.version}")
    for verdict in seen.decision.verdicts:
        counts = ", ".join(f"{count} {name}" for name, count in verdict.counts if count)
        session.output.note(f"  gate {verdict.gate}: {verdict.outcome}{f' ({counts})' if counts else ''}")
        for reason in verdict.reasons:
            session.output.note(f"    {reason.message} [{reason.code}]")
    if not seen.decision.verdicts:
        session.output.note("  no gate; its chain is whole")


def _ask(session: Session, *, yes: bool) -> None:
    """A person at a terminal is asked; a job has to say `--yes`: nothing is approved by leaving something out."""
    if yes:
        return
    if not session.edge.stderr.isatty():
        raise UsageError("usage", "nobody is there to be asked", hint="--yes, if this is really approved")
    if not typer.confirm("Approve this?", default=False, err=True):
        raise UsageError("approval-declined", "nothing was signed")
