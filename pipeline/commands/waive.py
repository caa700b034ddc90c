"""samebits waive: give exceptions from a gate, take them back, and see which there are and which end soon."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.session import (
    ColorOption,
    DefinitionOption,
    IdentityTokenOption,
    KeyOption,
    Opened,
    OutputOption,
    QuietOption,
    Session,
    TimeOption,
    TrustConfigOption,
    TrustOption,
    begin,
    open_pipeline,
    parse_time,
)
from registries.errors import UsageError

if TYPE_CHECKING:
    from attestations.records.waivers import Waiver
    from attestations.verify import Verified
    from pipeline.waive import Given
    from pipeline.wiring import Signing

waive_app = typer.Typer(help="Let findings of a gate stand for a while, or see which do.", rich_markup_mode=None)


@waive_app.command()
def add(
    context: typer.Context,
    waiver_id: Annotated[str, typer.Argument(metavar="ID", help="What the waiver is called; the same id replaces it.")],
    *,
    finding: Annotated[list[str], typer.Option("--finding", metavar="ID", help="An exact id; repeat for its aliases.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="alternative-solution or secured-by-practice.")],
    owner: Annotated[str, typer.Option("--owner", metavar="WHO", help="Who answers for it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why the finding may stand.")],
    expires: Annotated[str, typer.Option("--expires", metavar="TIME", help="A day or a time; at most a year ahead.")],
    gate: Annotated[str, typer.Option("--gate", metavar="GATE", help="The gate that finds it.")] = "vulnerabilities",
    evidence: Annotated[
        list[str] | None, typer.Option("--evidence", metavar="URL|DIGEST", help="What shows it; repeatable.")
    ] = None,
    image: Annotated[str | None, typer.Option("--image", metavar="DIGEST", help="Only for this image.")] = None,
    package: Annotated[str | None, typer.Option("--package", metavar="NAME", help="Only in this package.")] = None,
    version: Annotated[str | None, typer.Option("--version", metavar="VERSION", help="Only in this version.")] = None,
    whole_pipeline: Annotated[
        bool, typer.Option("--whole-pipeline", help="For every image and package of the pipeline.")
    ] = False,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
    key: KeyOption = None,
    identity_token: IdentityTokenOption = None,
    trust_config: TrustConfigOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Give a waiver. It is signed, and lies beside the definition; commit that file.

    \b
    $ samebits waive add W-12 --finding CVE-2026-1 --package zlib1g --kind alternative-solution \\
        --evidence https://wiki.example/W-12 --owner shop-team --reason "not reachable: no untrusted input" \\
        --expires 2027-01-31 --key security.key
    """
    from attestations.records.waivers import Scope, Waiver, WaiverKind
    from registries.digest import Digest

    if whole_pipeline == bool(image or package):
        raise UsageError("waiver-invalid", "it is for an --image, a --package or the --whole-pipeline")
    try:
        chosen = WaiverKind(kind)
    except ValueError:
        raise UsageError("usage", f"--kind is {' or '.join(WaiverKind)}, not {kind!r:.40}") from None
    waiver = Waiver(
        id=waiver_id,
        gate=gate,
        kind=chosen,
        findings=tuple(finding),
        scope=Scope(image=Digest.parse(image) if image else None, package=package, version=version),
        owner=owner,
        reason=reason,
        evidence=tuple(evidence or ()),
        expires=parse_time(expires),
    )
    session = begin(context, formats=output, quiet=quiet, color=color)
    opened = _opened(session, definition, trust, _signing(key, identity_token, trust_config))
    _give(session, opened, gate, f"gave {waiver_id}", waiver=waiver)


@waive_app.command()
def remove(
    context: typer.Context,
    waiver_id: Annotated[str, typer.Argument(metavar="ID", help="The waiver to take back.")],
    *,
    gate: Annotated[str, typer.Option("--gate", metavar="GATE", help="The gate that it is for.")] = "vulnerabilities",
    definition: DefinitionOption = None,
    trust: TrustOption = None,
    key: KeyOption = None,
    identity_token: IdentityTokenOption = None,
    trust_config: TrustConfigOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Take a waiver back: the record that replaces yours does not have it.

    \b
    $ samebits waive remove W-12 --key security.key
    """
    session = begin(context, formats=output, quiet=quiet, color=color)
    opened = _opened(session, definition, trust, _signing(key, identity_token, trust_config))
    _give(session, opened, gate, f"took back {waiver_id}", without=waiver_id)


@waive_app.command("list")
def list_(
    context: typer.Context,
    *,
    within: Annotated[
        str | None,
        typer.Option("--expiring", metavar="TIME", help="Only those that have ended or end within this time."),
    ] = None,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
    effective_time: TimeOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Show the waivers that were given, by when they end.

    \b
    $ samebits waive list
    $ samebits waive list --expiring 30d
    """
    from pipeline.formats.result import Told
    from stages.duration import Duration

    session = begin(context, formats=output, quiet=quiet, color=color)
    opened = _opened(session, definition, trust, None, effective_time)
    limit = None if within is None else opened.now + Duration.parse(within).timedelta
    standing = [one for one in _standing(opened) if limit is None or one.waiver.expires <= limit]
    lines = [line for one in standing for line in _lines(one, opened.now)]
    session.finish(Told(heading=f"waivers: {len(standing)}", lines=tuple(lines)))


def _lines(one: Given, now: datetime) -> list[tuple[str, str]]:
    waiver = one.waiver
    ended = "ended" if waiver.expires < now else "until"
    return [
        (waiver.id, f"{waiver.gate} {', '.join(waiver.findings)} in {waiver.scope}"),
        ("", f"{waiver.kind}, {ended} {waiver.expires.isoformat()}, by {one.signer}, owner {waiver.owner}"),
        ("", waiver.reason),
    ]


def _signing(key: str | None, identity_token: str | None, trust_config: list[Path] | None) -> Signing:
    from pipeline.wiring import Signing

    return Signing(key=key, identity_token=identity_token, trust_config=tuple(trust_config or ()))


def _opened(
    session: Session,
    definition: Path | None,
    trust: Path | None,
    signing: Signing | None,
    effective_time: str | None = None,
) -> Opened:
    return open_pipeline(
        session,
        definition=definition,
        trust=trust,
        signing=signing,
        effective_time=effective_time,
        read_only=True,
    )


def _believed(opened: Opened) -> tuple[Verified, ...]:
    from pipeline.gather import waivers_in

    tools = opened.tools
    return waivers_in(tools.waivers, pipeline=opened.pipeline, revocations=tools.revocations, now=opened.now)


def _standing(opened: Opened) -> tuple[Given, ...]:
    from attestations.records.waivers import WaiversRecord
    from pipeline.waive import given

    believed = _believed(opened)
    return given(
        [(item.signer.name, item.record, claim) for item in believed if isinstance(claim := item.claim, WaiversRecord)]
    )


def _give(
    session: Session,
    opened: Opened,
    gate: str,
    did: str,
    *,
    waiver: Waiver | None = None,
    without: str = "",
) -> None:
    from pipeline import waive as room
    from pipeline import wiring
    from pipeline.commands.definition import write_whole
    from pipeline.formats.result import Told
    from registries.errors import Refusal

    signer = opened.tools.signer
    if signer is None:
        raise Refusal("key-missing", "a waiver needs a signer", hint="--key FILE")
    name = room.check_owner(opened.pipeline, gate, signer)
    standing = _standing(opened)
    waivers = room.added(standing, name, waiver) if waiver else room.removed(standing, name, without)
    bundle = room.sign(opened.pipeline, waivers, signer, now=opened.now)
    path = wiring.waivers_path(Path(opened.pipeline.definition.path))
    replaced = {item.record for item in _believed(opened) if item.signer.name == name}
    kept = [one for one in opened.tools.waivers if one.record not in replaced]
    write_whole(path, b"".join(b"%b\n" % one.content for one in (*kept, bundle)))
    session.finish(
        Told(heading=did, lines=(("record", str(bundle.record)), ("waivers", str(len(waivers))), ("in", str(path))))
    )
