"""A command line of `tailstream` as the command reads it, without running it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from stream.cli import main
from stream.settings.load import load
from stream.settings.model import Settings


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the options of the command that these arguments call.

    Raises:
        click.UsageError: there is no such command or option, or an option's value is wrong.
    """
    context, rest = click.Context(main, info_name="tailstream"), list(arguments)
    group: click.Group = main
    while True:
        name, command, rest = group.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
        if not isinstance(command, click.Group):
            return context.params
        group, rest = command, [*context._protected_args, *context.args]


def settings_of(arguments: Sequence[str], config: Path, environment: Mapping[str, str]) -> Settings:
    """Return what a command so called would run with; SettingsError where it would be refused."""
    options = parsed(arguments)
    return load(config, options.get("overrides", ()), environment)
