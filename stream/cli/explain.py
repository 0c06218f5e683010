"""`tailstream explain`: why a trace was kept or dropped."""

import json
from collections.abc import Sequence

import click

from stream import clock
from stream.cli.arguments import Duration, TraceId
from stream.cli.options import settings_options
from stream.cli.refused import ClusterRefused
from stream.explain import Recorded, as_json, explained, late_line, recorded
from stream.kafka.client_settings import connection
from stream.kafka.decision_reader import DecisionReader
from stream.kafka.errors import KafkaException, is_unknown_topic
from stream.kafka.partitioner import PARTITIONERS
from stream.printable import printable
from stream.sampling.decision import Trigger
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings
from stream.settings.units import format_duration

# Ten lines a second while no broker answers; the last line says it once.
QUIET = {"log_level": 0}
REMEDY = (
    "Start Kafka, or correct the address, topics.decisions or the kafka.security.*, kafka.sasl.* "
    "and kafka.ssl.* settings; the principal needs Read on the topic"
)


@click.command()
@click.argument("trace_id", type=TraceId(), metavar="TRACE_ID")
@click.option(
    "--since",
    "since_s",
    type=Duration(),
    default="1h",
    show_default=True,
    metavar="DURATION",
    help="How far back to look, e.g. 90s, 24h.",
)
@click.option("--json", "as_lines", is_flag=True, help="One line a record, for programs.")
@settings_options
def command(settings: Settings, trace_id: str, since_s: float, *, as_lines: bool) -> None:
    """Say why a trace was kept or dropped.

    Reads the decisions topic; with the worker's settings it knows the policies' names. Exit code 1
    where there is no decision.
    """
    check_key_files(settings.kafka)
    records, others = _found(settings, trace_id, since_s)
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
    if late:
        click.echo(late_line(late))


def _found(settings: Settings, trace_id: str, since_s: float) -> tuple[list[Recorded], int]:
    """Return this group's records in their order, and how many were of no use."""
    since_ms = max(0, clock.now_ms() - round(since_s * 1000))
    topic = settings.topics.decisions
    try:
        with DecisionReader({**QUIET, **connection(settings.kafka)}, topic) as reader:
            partitioner = PARTITIONERS[settings.topics.partitioner]
            found = reader.find(trace_id.encode(), since_ms, partitioner)
    except KafkaException as problem:
        address, error = settings.kafka["bootstrap.servers"], problem.args[0]
        text = f"kafka.bootstrap.servers is {address!r}: {error.str()}. "
        if is_unknown_topic(error):
            text += "Set topics.decisions to the worker's, or name its settings with --config"
        else:
            text += REMEDY
        raise ClusterRefused(text) from None
    records: list[Recorded] = []
    others = 0
    for each in found:
        try:
            record = recorded(each.value, each.partition, each.offset)
        except ValueError:
            others += 1
            continue
        if record.group == settings.worker.group:
            records.append(record)
        else:
            others += 1
    return records, others


def _nothing(settings: Settings, trace_id: str, since_s: float, others: int) -> str:
    last = format_duration(since_s)
    where = f"{settings.topics.decisions} has no decision on it of the last {last}"
    lines = [f"{trace_id}: {where} by group {settings.worker.group}."]
    if others:
        are = (
            "record of another group or version is"
            if others == 1
            else "records of other groups or versions are"
        )
        lines.append(f"{others:,} {are} there: see worker.group.")
    wait = format_duration(settings.tail_sampling.decision_wait_s)
    causes: Sequence[str] = (
        f"it is still open (decision_wait is {wait})",
        "it was decided before that (--since 24h looks further back)",
        f"none of its spans came to {settings.topics.input}",
    )
    return "\n".join([*lines, f"Either {', or '.join(causes)}."])
