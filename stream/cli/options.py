"""Options that commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stream.cli import SettingsRefused
from stream.cli.parameters import Duration
from stream.settings.errors import SettingsError

since_option = click.option(
    "--since",
    "since_s",
    type=Duration(),
    default="1h",
    show_default=True,
    metavar="DURATION",
    help="How far back to look, e.g. 90s, 30m, 24h.",
)

topic_check_option = click.option(
    "--without-topic-check",
    is_flag=True,
    help="Start without looking at the topics (for brokers that do not let us).",
)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config` and `--set`; it is called with `settings=`, the loaded Settings.

    Goes below `@click.command()`. Wrong settings are printed to stderr; the exit code is 2.
    """

    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="TAILSTREAM_CONFIG",
        show_envvar=True,
        help="Settings in YAML, or a whole Collector file. Without one the defaults apply.",
    )
    @click.option(
        "--set",
        "overrides",
        metavar="A.B=C",
        multiple=True,
        help="Set one setting, above the file; e.g. --set worker.group=blue. Repeatable.",
    )
    @functools.wraps(command)
    def with_settings(
        *args: Any, config: Path | None, overrides: tuple[str, ...], **options: Any
    ) -> Any:
        # Imported here: the model takes pydantic, which `--help` does not need.
        from stream.settings.environment import environment  # noqa: PLC0415 - see above
        from stream.settings.load import load  # noqa: PLC0415 - see above

        try:
            settings = load(config, overrides, environment())
        except SettingsError as error:
            raise SettingsRefused(error) from None
        return command(*args, settings=settings, **options)

    return with_settings
