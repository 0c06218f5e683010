"""`tailstream validate`: check the settings without running anything."""

import click

from stream.cli.options import settings_options
from stream.printable import printable
from stream.settings.directory import check_directory
from stream.settings.key_files import key_file_problems
from stream.settings.model import Settings

_NAME_CELLS_MAX = 40


@click.command()
@settings_options
def command(settings: Settings) -> None:
    """Check the settings without running anything.

    Prints what the start would say, and the policies in the order they are evaluated. Exit code 2
    and one line a problem where the settings are wrong, or storage.directory is a file here.
    """
    check_directory(settings.storage.directory)
    click.echo(f"ok  (policies {settings.policies_hash()})")
    for note in settings.notes():
        click.echo(f"note: {printable(note)}")
    # A certificate may well be elsewhere than where settings are checked.
    for problem in key_file_problems(settings.kafka):
        click.echo(f"note: a start on this machine is refused: {problem}")
    policies = settings.tail_sampling.policies_in_order()
    names = [printable(policy.name) for policy in policies]
    name_width = min(_NAME_CELLS_MAX, max(map(len, names)))
    number_width = len(str(len(policies)))
    type_width = max(len(policy.type) for policy in policies)
    click.echo("policies, in the order they are evaluated:")
    for number, (name, policy) in enumerate(zip(names, policies, strict=True), start=1):
        columns = f"{name:{name_width}}  {policy.type:{type_width}}"
        shadow = "decides nothing (shadow): " if policy.is_shadow else ""
        meaning = printable(policy.meaning())
        click.echo(f"  {number:{number_width}}. {columns}  {shadow}{meaning}")
