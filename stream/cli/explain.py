"""`tailstream explain`: why a trace was kept or dropped."""

import json
from collections.abc import Sequence

import click

from stream import clock
from stream.cli.decisions import decisions_of, others_line, refused
from stream.cli.options import settings_options, since_option
from stream.cli.parameters import TraceId
from stream.explain import as_json, explained, late_line
from stream.kafka.errors import KafkaException
from stream.printable import printable
from stream.sampling.decision import Trigger, Verdict
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings
from stream.settings.units import format_duration


@click.command()
@click.argument("trace_id", type=TraceId(), metavar="TRACE_ID")
@since_option
@click.option(
    "--all-partitions",
    "everywhere",
    is_flag=True,
    help="Look in every partition: a trace has two decisions where partitions were added.",
)
@click.option("--json", "as_lines", is_flag=True, help="One line a record, for programs.")
@settings_options
def command(
    settings: Settings, trace_id: str, since_s: float, *, everywhere: bool, as_lines: bool
) -> None:
    """Say why a trace was kept or dropped.

    Reads the decisions topic; with the worker's settings it knows the policies' names. Exit code 1
    where there is no decision.
    """
    check_key_files(settings.kafka)
    since_ms = max(0, clock.now_ms() - round(since_s * 1000))
    try:
        records, others = decisions_of(settings, trace_id, since_ms, everywhere=everywhere)
    except KafkaException as problem:
        raise refused(settings, "topics.decisions", problem) from None
    if not records:
        raise click.ClickException(_nothing(settings, trace_id, since_s, others))
    if as_lines:
        for record in records:
            click.echo(json.dumps(as_json(record, settings)))
        return
    click.echo(f"trace {trace_id}: ", nl=False)
    verdicts = [each for each in records if each.decision.trigger is not Trigger.LATE]
    late = [each for each in records if each.decision.trigger is Trigger.LATE]
    for record in verdicts or records[:1]:
        for line in explained(record, settings):
            click.echo(printable(line))
    for verdict in Verdict:
        of_it = [each for each in late if each.decision.verdict is verdict]
        if of_it:
            click.echo(late_line(of_it))


def _nothing(settings: Settings, trace_id: str, since_s: float, others: int) -> str:
    last = format_duration(since_s)
    where = f"{settings.topics.decisions} has no decision on it of the last {last}"
    lines = [f"{trace_id}: {where} by group {settings.worker.group}."]
    if others:
        lines.append(others_line(others))
    wait = format_duration(settings.tail_sampling.decision_wait_s)
    causes: Sequence[str] = (
        f"it is still open (decision_wait is {wait})",
        "it was decided before that (--since 24h looks further back)",
        f"none of its spans came to {settings.topics.input}",
    )
    return "\n".join([*lines, f"Either {', or '.join(causes)}."])
