"""samebits demo: the whole thing on a laptop, without account, Docker or network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.session import begin


def demo(
    context: typer.Context,
    *,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Leave everything in this new folder.")
    ] = None,
) -> None:
    """Show a promotion from build to production, and five forgeries that are refused.

    Starts two embedded registries on this machine, writes only to a temporary folder, and ends with an error
    if anything in it does not go as it must.

    \b
    $ samebits demo
    $ samebits demo --keep shop
    """
    from tempfile import TemporaryDirectory

    from pipeline.demo.story import tell
    from registries.errors import UsageError

    session = begin(context)
    edge = session.edge

    def write(text: str) -> None:
        edge.stdout.write(text)
        edge.stdout.flush()

    if keep is None:
        with TemporaryDirectory(prefix="samebits-demo-") as folder:
            tell(Path(folder), clock=edge.clock, write=write)
        return
    if keep.exists() and any(keep.iterdir()):
        raise UsageError("file-exists", "is not empty, and nothing is ever overwritten", where=str(keep))
    keep.mkdir(parents=True, exist_ok=True)
    tell(keep.resolve(), clock=edge.clock, write=write)
