"""A cluster that cannot be used as configured: the operator's mistake, told as such."""

from typing import Any

import click

from stream.kafka.errors import KafkaException, is_operators_fault


class ClusterRefused(click.ClickException):
    """The text on stderr as it is, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the text."""
        click.echo(self.message, file=file, err=file is None)


def unusable(problem: KafkaException) -> click.ClickException:
    """Return how a command ends for a client's error: exit code 2 where somebody has to grant."""
    error = problem.args[0]
    if is_operators_fault(error):
        return ClusterRefused(f"Kafka: {error.str()}")
    return click.ClickException(f"Kafka: {error.str()}: start it again")
