"""`tailstream init`: write a commented settings file."""

from pathlib import Path
from typing import Any

import click

from stream.cli import SettingsRefused
from stream.settings.collector import take_tail_sampling
from stream.settings.errors import ABSENT, Problem, SettingsError
from stream.settings.load import read_file
from stream.settings.template import template, unsupported


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("tailstream.yaml"))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="A Collector file (or settings of ours) whose tail_sampling block is taken over.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
def command(path: Path, source: Path | None, *, force: bool) -> None:
    """Write a commented settings file to PATH (tailstream.yaml; `-`: to stdout).

    Every setting is in it with its meaning and its default. What stops the start, of a block that
    is taken over, is named on stderr.
    """
    try:
        pasted = None if source is None else _tail_sampling_of(source)
        text = template(pasted)
        if str(path) == "-":
            click.echo(text, nl=False)
        else:
            _write(path, text, force=force)
    except SettingsError as error:
        raise SettingsRefused(error) from None
    stops = unsupported(pasted or {})
    if str(path) != "-":
        first = "mend what stops the start (below), then " if stops else ""
        click.echo(f"Wrote {path}. Next: {first}tailstream validate --config {path}")
    # Last: what is to be done is not to be scrolled away by what is done.
    for stop in stops:
        click.echo(f"stops the start: {stop}", err=True)


def _tail_sampling_of(source: Path) -> dict[str, Any]:
    tree, _ = take_tail_sampling(read_file(source))
    block = tree.get("tail_sampling")
    if not isinstance(block, dict):
        wrong, remedy = "has no tail_sampling block", "give a file with processors.tail_sampling"
        raise SettingsError([Problem(str(source), ABSENT, wrong, remedy)])
    return block


def _write(path: Path, text: str, *, force: bool) -> None:
    if path.exists() and not force:
        wrong, remedy = "is there already", "choose another name, or overwrite it with --force"
        raise SettingsError([Problem(str(path), ABSENT, wrong, remedy)])
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        wrong = f"cannot be written: {error.strerror or error}"
        remedy = "choose a directory that is there and is yours"
        raise SettingsError([Problem(str(path), ABSENT, wrong, remedy)]) from None
