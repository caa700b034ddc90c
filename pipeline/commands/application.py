"""All commands, put together; imported when one of them is about to run."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from pipeline.commands.approve import approve
from pipeline.commands.attest import attest_app
from pipeline.commands.definition import definition_app
from pipeline.commands.demo import demo
from pipeline.commands.explain import explain
from pipeline.commands.init import init
from pipeline.commands.promote import plan, promote
from pipeline.commands.registry import registry_app
from pipeline.commands.rewrap import rewrap
from pipeline.commands.rollback import rollback
from pipeline.commands.scan import scan
from pipeline.commands.step import step
from pipeline.commands.trust import trust_app
from pipeline.commands.verify import audit, verify
from pipeline.commands.waive import waive_app

UNREADABLE: Final[type[Exception]] = typer.BadParameter.mro()[1]
"""What is raised for a command line that can't be read: typer has no public name for all of it."""

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for command in (init, promote, plan, step, scan, approve, rollback, verify, audit, rewrap, explain):
    app.command()(command)
app.add_typer(definition_app, name="definition")
app.add_typer(attest_app, name="attest")
app.add_typer(trust_app, name="trust")
app.add_typer(waive_app, name="waive")
app.add_typer(registry_app, name="registry")
app.command()(demo)


@app.callback()
def samebits(*, version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """The image that runs in production is, bit for bit, the image that was built, and every stage is proven."""


def application() -> Any:
    """The command that reads the arguments; its `main` runs it."""
    return typer.main.get_command(app)
