"""A cluster that cannot be used as configured: the operator's mistake, told as such."""

from typing import Any

import click

from stream.kafka.errors import KafkaException, is_operators_fault
from stream.kafka.topics import ClusterError, UnreachableError


class ClusterRefused(click.ClickException):
    """The text on stderr as it is, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the text."""
        click.echo(self.message, file=file, err=file is None)


def refused(problem: ClusterError) -> click.ClickException:
    """Return how a command under a supervisor ends: exit code 2 where somebody has to mend.

    Where no broker answers it is 1: in an outage it is restarted, and is to be there afterwards.
    """
    if isinstance(problem, UnreachableError):
        return click.ClickException(str(problem))
    return ClusterRefused(str(problem))


def unusable(problem: KafkaException, remedy: str = "start it again") -> click.ClickException:
    """Return how a command ends for a client's error: exit code 2 where somebody has to grant.

    `remedy` is for the others.
    """
    error = problem.args[0]
    if is_operators_fault(error):
        return ClusterRefused(f"Kafka: {error.str()}")
    return click.ClickException(f"Kafka: {error.str()}: {remedy}")
