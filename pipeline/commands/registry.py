"""samebits registry: the embedded OCI registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.session import QuietOption, begin

registry_app = typer.Typer(help="The embedded OCI registry.", rich_markup_mode=None)


@registry_app.callback()
def registry() -> None:
    """The embedded OCI registry."""


@registry_app.command()
def serve(
    context: typer.Context,
    *,
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Where it keeps its OCI layouts.")],
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where it listens.")
    ] = "127.0.0.1:5000",
    quiet: QuietOption = False,
) -> None:
    """Serve OCI Distribution 1.1 with the referrers API from a folder of OCI layouts, until it is interrupted.

    \b
    $ samebits registry serve --root ./registry --address 127.0.0.1:5001
    """
    from registries.errors import UsageError
    from registries.server import serve as run

    session = begin(context, quiet=quiet)
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise UsageError("usage", f"--address: {address!r} is not HOST:PORT")
    run(root, host, int(port), ready=lambda where: session.output.note(f"serving {root} on http://{where}"))
