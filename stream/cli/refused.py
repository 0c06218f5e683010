"""A cluster that cannot be used as configured: the operator's mistake, told as such."""

from typing import Any

import click


class ClusterRefused(click.ClickException):
    """The text on stderr as it is, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the text."""
        click.echo(self.message, file=file, err=file is None)
