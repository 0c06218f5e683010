"""`tailstream demo`: the main job, the shop, and the gateway alone."""

import importlib
from types import MappingProxyType
from typing import Any, Final

import click
from click.core import ParameterSource

from stream.cli.demo_story import tell

TRACES = 5_000
TRACES_PER_S = 250.0
SUBCOMMANDS: Final = MappingProxyType(
    {
        "shop": ("stream.cli.demo_shop", "See trace context on every hop of a small shop."),
        "gateway": ("stream.cli.demo_gateway", "Run the shop's gateway alone, for test harnesses."),
    }
)
"""Each command of the group: the module that has it as `command`, and its line in the list."""


class DemoCommands(click.Group):
    """A group that is a command itself; the modules of the others are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names in the order of the table."""
        del ctx
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in SUBCOMMANDS:
            return None
        command = importlib.import_module(SUBCOMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in SUBCOMMANDS.items()])


@click.group(cls=DemoCommands, invoke_without_command=True)
@click.option(
    "--kafka", metavar="HOST:PORT", help="A real cluster, for exactly once; else an embedded one."
)
@click.option("--traces", type=click.IntRange(min=1), default=TRACES, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=TRACES_PER_S,
    show_default=True,
    help="Traces a second.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Makes the same load again.")
@click.option("--next", "then", hidden=True, help="What the last line recommends.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """See the whole story on this machine: traces in, decisions, whole kept traces out.

    Sends made-up OTLP traces, with errors, slow ones, late, resent and broken ones, to a worker,
    and accounts for every span. On a real cluster it makes four topics of its own and deletes them.
    """
    if ctx.invoked_subcommand is None:
        tell(**options)
        return
    given = [
        name for name in options if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        name = given[0].replace("then", "next")
        raise click.UsageError(f"--{name} stands before {ctx.invoked_subcommand}: write it after")
