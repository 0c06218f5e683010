"""`tailstream validate`: check the settings without running anything."""

import click

from stream.cli.options import settings_options
from stream.settings.directory import check_directory
from stream.settings.key_files import key_file_problems
from stream.settings.model import Settings


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
        click.echo(f"note: {note}")
    # A certificate may well be elsewhere than where settings are checked.
    for problem in key_file_problems(settings.kafka):
        click.echo(f"note: a start on this machine is refused: {problem}")
    policies = settings.tail_sampling.policies_in_order()
    name_width = max(len(policy.name) for policy in policies)
    type_width = max(len(policy.type) for policy in policies)
    click.echo("policies, in the order they are evaluated:")
    for number, policy in enumerate(policies, start=1):
        columns = f"{policy.name:{name_width}}  {policy.type:{type_width}}"
        shadow = "decides nothing (shadow): " if policy.is_shadow else ""
        click.echo(f"  {number}. {columns}  {shadow}{policy.meaning()}")
