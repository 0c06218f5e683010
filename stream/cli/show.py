"""`tailstream show`: one kept trace, assembled from all its deliveries, and why it was kept."""

import json
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from stream import clock
from stream.assembly.as_json import as_json
from stream.assembly.delivery import Deliveries, deliveries_of
from stream.assembly.drawing import SPANS_MAX, headline, tree_lines
from stream.assembly.layout import layout_for
from stream.assembly.selection import drawn
from stream.assembly.trace import Trace, assemble
from stream.cli.decisions import QUIET, decisions_of, refused
from stream.cli.options import settings_options, since_option
from stream.cli.parameters import TraceId
from stream.cli.show_words import Looked, lines_of, nothing
from stream.explain import as_json as record_as_json
from stream.kafka.client_settings import connection
from stream.kafka.errors import KafkaException, is_unreachable
from stream.kafka.output_reader import OutputReader
from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.topics import Cluster, ClusterError
from stream.printable import printable
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings


@click.command()
@click.argument("trace_id", type=TraceId(), metavar="TRACE_ID")
@since_option
@click.option("--json", "as_line", is_flag=True, help="One line of JSON, for programs.")
@click.option(
    "--max-spans",
    "spans_max",
    type=click.IntRange(min=1),
    default=SPANS_MAX,
    show_default=True,
    help="Draw so many: what failed, the critical path, then the longest.",
)
@click.option("--depth", "depth_max", type=click.IntRange(min=1), help="Draw so many levels.")
@click.option("--all", "all_spans", is_flag=True, help="Draw every span.")
@click.option(
    "--all-partitions",
    "everywhere",
    is_flag=True,
    help="Look in every partition: for spans of other traces that link to this one, and for parts "
    "of it that were decided apart, where partitions were added.",
)
@settings_options
def command(
    settings: Settings,
    trace_id: str,
    since_s: float,
    spans_max: int,
    depth_max: int | None,
    *,
    as_line: bool,
    all_spans: bool,
    everywhere: bool,
) -> None:
    """Show a kept trace as a tree, and why it was kept.

    Reads the trace's partition of the output, and its decisions. Marked are the critical path (the
    full part of the bars), errors, clocks that differ, links in both directions. Exit code 1 where
    the trace was dropped, or nothing is known of it.
    """
    check_key_files(settings.kafka)
    looked = Looked(trace_id, max(0, clock.now_ms() - round(since_s * 1000)))
    _read_decisions(settings, looked, everywhere=everywhere)
    found = _read_output(settings, looked, everywhere=everywhere)
    if looked.decisions and len(looked.partitions) > 1 and not everywhere:
        # Its own partition has none of it. What lies elsewhere was decided there, apart.
        _read_decisions(settings, looked, everywhere=True)
    if not found.spans:
        looked.retention_ms = _retention_ms(settings)
        raise click.ClickException(nothing(settings, looked))
    trace = assemble(found.spans, found.others)
    if as_line:
        click.echo(json.dumps(_told(settings, trace, found, looked)))
        return
    _draw(settings, trace, found, looked, None if all_spans else spans_max, depth_max)


def _read_decisions(settings: Settings, looked: Looked, *, everywhere: bool) -> None:
    """Take what the decisions topic says; without one, the output can be read all the same."""
    try:
        looked.decisions, looked.others = decisions_of(
            settings, looked.trace_id, looked.since_ms, everywhere=everywhere
        )
    except KafkaException as problem:
        if is_unreachable(problem.args[0]):
            raise refused(settings, "topics.decisions", problem) from None
        looked.unread = problem.args[0].str()


def _read_output(settings: Settings, looked: Looked, *, everywhere: bool) -> Deliveries:
    trace_id = bytes.fromhex(looked.trace_id)
    try:
        with OutputReader(
            {**QUIET, **connection(settings.kafka)}, settings.topics.output
        ) as reader:
            # A worker writes to the partition of the same number as the input's.
            if looked.decisions:
                own = looked.decisions[0].partition
            else:
                partition = PARTITIONERS[settings.topics.partitioner]
                own = partition(looked.trace_id.encode(), reader.partitions())
            found = reader.find(trace_id, looked.since_ms, own, everywhere=everywhere)
    except KafkaException as problem:
        raise refused(settings, "topics.output", problem) from None
    looked.partitions, looked.records = found.partitions, found.records_read
    return deliveries_of(found.records, trace_id)


def _retention_ms(settings: Settings) -> int | None:
    topic = settings.topics.output
    try:
        facts = Cluster({**QUIET, **connection(settings.kafka)}).describe([topic])
    except ClusterError:  # its reader may not be allowed to look at its settings
        return None
    return facts[topic].retention_ms if topic in facts else None


def _draw(
    settings: Settings,
    trace: Trace,
    found: Deliveries,
    looked: Looked,
    spans_max: int | None,
    depth_max: int | None,
) -> None:
    console = Console(highlight=False)
    layout = layout_for(console.width if console.is_terminal else None, full=True)
    console.print(headline(trace, Text(looked.trace_id)), soft_wrap=True)
    for line in lines_of(settings, trace, found, looked):
        console.print(Text(printable(line)), soft_wrap=True)
    triggers = [delivery.trigger for delivery in found.deliveries]
    chosen = drawn(trace, spans_max, depth_max)
    for row in tree_lines(trace, layout, chosen, triggers):
        console.print(row, soft_wrap=True)
    if len(chosen) < len(trace.nodes):
        left_out = f"{len(chosen):,} of {len(trace.nodes):,} spans are drawn: --all draws every one"
        console.print(Text(left_out), soft_wrap=True)


def _told(settings: Settings, trace: Trace, found: Deliveries, looked: Looked) -> dict[str, Any]:
    """Return the trace, and with it what was delivered, decided and read."""
    return {
        **as_json(trace),
        "deliveries": [
            {
                "policy": each.policy,
                "trigger": each.trigger,
                "partition": each.partition,
                "offset": each.offset,
                "records": len(each.parts),
                "records_delivered": each.parts_of,
                "spans": each.spans,
            }
            for each in found.deliveries
        ],
        "decisions": [record_as_json(record, settings) for record in looked.decisions],
        "read": {
            "topic": settings.topics.output,
            "partitions": looked.partitions,
            "since_ms": looked.since_ms,
            "records": looked.records,
        },
    }
