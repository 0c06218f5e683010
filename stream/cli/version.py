"""`tailstream version`: say what is installed."""

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from stream import compiled


@click.command()
def command() -> None:
    """Say what is installed.

    Imports none of it, so it also answers where one of them is broken.
    """
    click.echo(f"tailstream  {installed('tailstream')}")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    click.echo(f"python      {python} ({platform.system()} {platform.machine()})")
    click.echo(f"librdkafka  the one in confluent-kafka {installed('confluent-kafka')}")
    click.echo(f"faust       {installed('faust-streaming')}")
    click.echo(f"rocksdict   {installed('rocksdict')}")
    click.echo(f"core        {compiled.core()}")


def installed(package: str) -> str:
    """Return the version of a distribution, or words that say that it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed (a bare checkout)" if package == "tailstream" else "not installed"
