"""The command `tailstream`. A command's module is imported when the command runs, not before."""

import difflib
import importlib
from types import MappingProxyType
from typing import Any, Final

import click

from stream.settings.errors import SettingsError

COMMANDS: Final = MappingProxyType(
    {
        "worker": "Run a worker: read spans, decide on traces, republish those that matter.",
        "rekey": "Bring a topic that is not keyed by trace id to the input, keyed.",
        "export": "Send the kept traces to a backend, over OTLP/HTTP.",
        "pin": "Keep traces whatever the policies say, before or after they are decided.",
        "exemplars": "Pin the traces that metrics' exemplars point at.",
        "topics": "Check the topics, or create them, and look at how the input is keyed.",
        "decide": "Try policies on traces in files, without Kafka.",
        "tail": "Show kept traces as they come, as trees, and why they were kept.",
        "show": "Show a kept trace as a tree, and why it was kept.",
        "explain": "Say why a trace was kept or dropped.",
        "compare": "Compare the kept traces with another sampler's.",
        "validate": "Check the settings without running anything.",
        "generate": "Send made-up traces to Kafka.",
        "init": "Write a commented settings file.",
        "demo": "See the whole story on this machine, without a Kafka.",
        "version": "Say what is installed.",
    }
)
"""Each command, in the module of its name below this one, and its line in the list."""


class SettingsRefused(click.ClickException):
    """The operator's mistake: one line a problem on stderr, exit code 2."""

    exit_code = 2

    def __init__(self, error: SettingsError) -> None:
        super().__init__(str(error))

    def show(self, file: Any = None) -> None:
        """Print the problems as they are."""
        click.echo(self.message, file=file, err=file is None)


class Commands(click.Group):
    """A group whose commands are imported one by one, when they run.

    So `tailstream version` works, at once, where a library of the worker's is broken.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"{__name__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a typing error name the nearest."""
        near = difflib.get_close_matches(args[0], COMMANDS, n=1) if args else []
        if near and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; settings that turn out wrong while it runs are the operator's, too."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise SettingsRefused(error) from None


def _tell_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's signature
    if asked:
        from stream.cli.version import installed  # noqa: PLC0415 - a command's module, when needed

        click.echo(f"tailstream {installed('tailstream')}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Say which version this is, and end.",
)
def main() -> None:
    """Tailstream: a streaming tail sampler on Kafka.

    Keeps the traces that matter, whole, exactly once.
    """
