"""samebits definition: check, sign and show the pipeline definition."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.session import (
    ColorOption,
    DefinitionOption,
    IdentityTokenOption,
    KeyOption,
    OutputOption,
    QuietOption,
    TrustConfigOption,
    TrustOption,
    begin,
    open_pipeline,
)
from registries.errors import Reason

if TYPE_CHECKING:
    from stages.stage import Step

definition_app = typer.Typer(help="Check, sign, show and compare the pipeline definition.", rich_markup_mode=None)


@definition_app.command()
def check(
    context: typer.Context,
    *,
    definition: DefinitionOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Read the definition and name every fault with its line and column. Looks at no signature and no registry.

    \b
    $ samebits definition check
    """
    from pipeline import wiring
    from pipeline.formats.result import Told

    session = begin(context, formats=output, quiet=quiet, color=color)
    read = wiring.read_definition(definition, session.edge.around)
    session.finish(
        Told(
            heading=f"{read.path} is in order",
            lines=(
                ("pipeline", f"{read.pipeline} version {read.version}"),
                ("stages", " ".join(stage.name for stage in read.stages)),
                ("digest", str(read.digest)),
            ),
        )
    )


@definition_app.command()
def sign(
    context: typer.Context,
    *,
    definition: DefinitionOption = None,
    key: KeyOption = None,
    identity_token: IdentityTokenOption = None,
    trust_config: TrustConfigOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Sign the definition as one of its owners; the signature is added to the file beside it.

    \b
    $ samebits definition sign --key alice.key
    """
    from pipeline import wiring
    from pipeline.definition import definition_statement, with_signature
    from pipeline.formats.result import Told
    from registries.errors import UsageError
    from registries.limits import BUNDLE_BYTES

    session = begin(context, formats=output, quiet=quiet, color=color)
    read = wiring.read_definition(definition, session.edge.around)
    signing = wiring.Signing(key=key, identity_token=identity_token, trust_config=tuple(trust_config or ()))
    signer = wiring.open_signer(signing, session.edge.around, session.edge.clock)
    if not signer.is_one_of(read.owners):
        raise UsageError("signer-not-for-stage", f"{signer.public_name} is none of the owners: {read.owners}")
    path = wiring.signatures_path(Path(read.path))
    before = wiring.read_file(path, BUNDLE_BYTES) if path.is_file() else b""
    write_whole(path, with_signature(before, signer.sign(definition_statement(read))))
    session.finish(
        Told(
            heading=f"signed version {read.version} of {read.pipeline}",
            lines=(("digest", str(read.digest)), ("in", str(path))),
        )
    )


@definition_app.command()
def show(
    context: typer.Context,
    *,
    definition: DefinitionOption = None,
    trust: TrustOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Show what a believed definition says: stages, places, who admits, gates and steps.

    \b
    $ samebits definition show
    """
    from pipeline.formats.result import Told

    session = begin(context, formats=output, quiet=quiet, color=color)
    opened = open_pipeline(session, definition=definition, trust=trust, read_only=True)
    lines: list[tuple[str, str]] = [("digest", str(opened.pipeline.lineage.current))]
    for stage in opened.pipeline.definition.stages:
        after = (" or " if stage.any_of else " and ").join(stage.after)
        lines.append((f"stage {stage.name}", f"after {after}" if after else "entry"))
        lines += [("  at", repository) for repository in opened.pipeline.repositories(stage.name)]
        lines.append(("  admit", str(stage.admit)))
        lines += [("  gate", name) for name, _ in stage.gates]
        lines += [("  step", f"{step.name} by {step.by}{_how(step)}") for step in stage.steps]
    session.finish(
        Told(heading=f"{opened.pipeline.name} version {opened.pipeline.lineage.version}", lines=tuple(lines))
    )


@definition_app.command()
def diff(
    context: typer.Context,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The definition as it was.")],
    new: Annotated[Path | None, typer.Argument(metavar="NEW", help="As it is to be; else the one in force.")] = None,
    *,
    fail_on_loosening: Annotated[
        bool, typer.Option("--fail-on-loosening", help="Exit with 3 when something is let in that was not before.")
    ] = False,
    definition: DefinitionOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Say in words what a definition changes, and what of it loosens. Looks at no signature and at no key file.

    \b
    $ git show main:samebits.yaml > old.yaml && samebits definition diff old.yaml
    $ samebits definition diff old.yaml samebits.yaml --fail-on-loosening
    """
    from pipeline import wiring
    from pipeline.definition_diff import Effect, differences
    from pipeline.formats.result import Told

    session = begin(context, formats=output, quiet=quiet, color=color)
    around = session.edge.around
    changes = differences(wiring.decode_definition(old, around), wiring.decode_definition(new or definition, around))
    loosening = [change for change in changes if change.effect is Effect.LOOSENS]
    told = Told(
        heading=f"changes: {len(changes)}; of them loosen: {len(loosening)}",
        lines=tuple((str(change.effect), f"{change.where} {change.message}") for change in changes),
    )
    reasons = [
        Reason("definition-loosened", f"{change.where} {change.message}", str(new or "")) for change in loosening
    ]
    session.finish(told, reasons=reasons if fail_on_loosening else ())


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one move, so that nobody ever reads half of it."""
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    waiting.write_bytes(content)
    waiting.replace(path)


def _how(step: Step) -> str:
    """What a step is, where it is no record about the image."""
    if step.attested:
        return f", who attest {step.attested}"
    return f", on the source that {step.builders} built from" if step.builders is not None else ""
