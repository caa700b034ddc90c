"""samebits init: a working example with fresh keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.session import ColorOption, OutputOption, QuietOption, begin
from registries.errors import UsageError


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; created when absent.")],
    *,
    pipeline: Annotated[str, typer.Option("--pipeline", metavar="NAME", help="The pipeline's name.")] = "shop-api",
    registry: Annotated[
        str, typer.Option("--registry", metavar="HOST", help="The registry of the stages build and test.")
    ] = "127.0.0.1:5001",
    production: Annotated[
        str, typer.Option("--production", metavar="HOST", help="The registry of the stage prod.")
    ] = "127.0.0.1:5002",
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Write a pipeline definition, fresh keys and the trust file, signed and ready to promote. Nothing is overwritten.

    \b
    $ samebits init shop
    $ samebits registry serve --root dev --address 127.0.0.1:5001 &
    $ samebits registry serve --root production --address 127.0.0.1:5002 &
    """
    from pipeline.formats.result import Told
    from pipeline.scaffold import files

    session = begin(context, formats=output, quiet=quiet, color=color)
    written = files(pipeline=pipeline, registry=registry, production=production)
    _refuse_overwriting(folder, list(written))
    for name, (content, mode) in written.items():
        _write_new(folder / name, content, mode)
    session.finish(
        Told(
            heading=f"wrote {len(written)} files to {folder}",
            lines=(
                *((f"{mode:04o}", str(folder / name)) for name, (_, mode) in written.items()),
                (
                    "next",
                    f'export SAMEBITS_TRUST="{_from_anywhere(folder / "trust.yaml")}"  # better not in the repository',
                ),
            ),
        )
    )


def _from_anywhere(path: Path) -> str:
    """The path as a shell writes it so that it holds after `cd`."""
    return str(path) if path.is_absolute() else f"$PWD/{path}"


def _refuse_overwriting(folder: Path, names: list[str]) -> None:
    for name in names:
        if os.path.lexists(folder / name):
            raise UsageError("file-exists", "is there already, and is never overwritten", where=str(folder / name))


def _write_new(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except OSError as error:
        raise UsageError("file-exists", f"can't be created: {error.strerror}", where=str(path)) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
