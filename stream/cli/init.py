"""`tailstream init`: write a commented settings file."""

from pathlib import Path
from typing import Any

import click

from stream.cli import SettingsRefused
from stream.settings.collector import take_tail_sampling
from stream.settings.environment import environment
from stream.settings.errors import ABSENT, Problem, SettingsError
from stream.settings.load import problems_of, read_file
from stream.settings.template import template


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("tailstream.yaml"))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="A Collector file (or settings of ours) whose tail_sampling block is taken over.",
)
@click.option(
    "--processor",
    metavar="NAME",
    help="Which one, where that file has several: e.g. tail_sampling/prod.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
def command(path: Path, source: Path | None, processor: str | None, *, force: bool) -> None:
    """Write a commented settings file to PATH (tailstream.yaml; `-`: to stdout).

    Every setting is in it with its meaning and its default. What stops the start, of a block that
    is taken over, and what of the file is not used, is said on stderr.
    """
    if processor is not None and source is None:
        raise click.UsageError("--processor chooses a block of the file that --from names")
    notes: tuple[str, ...] = ()
    stops: tuple[Problem, ...] = ()
    try:
        if source is None:
            text = template()
        else:
            block, notes = _tail_sampling_of(source, processor)
            stops = problems_of({"tail_sampling": block}, environment())
            text = template(block, stops)
        if str(path) == "-":
            click.echo(text, nl=False)
        else:
            _write(path, text, force=force)
    except SettingsError as error:
        raise SettingsRefused(error) from None
    if str(path) != "-":
        first = "mend what stops the start (below), then " if stops else ""
        click.echo(f"Wrote {path}. Next: {first}tailstream validate --config {path}")
    # Last: what is to be done is not to be scrolled away by what is done.
    for line in [*(f"note: {note}" for note in notes), *(f"stops the start: {x}" for x in stops)]:
        click.echo(line, err=True)


def _tail_sampling_of(
    source: Path, processor: str | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    tree, notes = take_tail_sampling(read_file(source), processor)
    block = tree.get("tail_sampling")
    if not isinstance(block, dict):
        wrong, remedy = "has no tail_sampling block", "give a file with processors.tail_sampling"
        raise SettingsError([Problem(str(source), ABSENT, wrong, remedy)])
    return block, notes


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
