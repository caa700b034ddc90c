"""samebits explain: what a reason code means and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.session import ColorOption, OutputOption, QuietOption, begin


def explain(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="A reason code, as errors print it.")],
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Say what a reason code means, with which exit code it ends, and what to do.

    \b
    $ samebits explain predecessor-missing
    """
    from difflib import get_close_matches

    from pipeline.formats.result import Told
    from pipeline.reasons import REASONS
    from registries.errors import UsageError

    session = begin(context, formats=output, quiet=quiet, color=color)
    advice = REASONS.get(code)
    if advice is None:
        near = get_close_matches(code, REASONS, n=1)
        raise UsageError(
            "usage", f"{code!r} is no reason code", hint=f"samebits explain {near[0]}" if near else "see docs/reference"
        )
    session.finish(
        Told(
            heading=f"{code}: {advice.title}",
            lines=(("exit code", str(advice.exit_code)), ("what to do", advice.advice)),
        )
    )
