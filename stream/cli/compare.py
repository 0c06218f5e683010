"""`tailstream compare`: the kept traces beside another sampler's, before one takes its place."""

import json
from collections.abc import Mapping
from typing import Any

import click

from stream import clock
from stream.cli.compare_words import lines_of, nothing, told
from stream.cli.decisions import QUIET, refused
from stream.cli.options import settings_options, since_option
from stream.cli.parameters import Duration
from stream.cli.refused import ClusterRefused
from stream.compare import SPANS_MAX, Side, TwoTopics
from stream.kafka.client_settings import connection
from stream.kafka.errors import KafkaException
from stream.kafka.since_reader import SinceReader
from stream.kafka.topic_reader import ReadRecord
from stream.printable import printable
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings

_POLICY_HEADER = "tailstream.policy"


@click.command()
@click.option("--other-topic", required=True, metavar="NAME", help="The other sampler's output.")
@click.option(
    "--other-bootstrap",
    metavar="HOST:PORT",
    help="Its brokers, where they are others; reached with the same security settings.",
)
@since_option
@click.option(
    "--edge",
    "edge_s",
    type=Duration(),
    default="2m",
    show_default=True,
    metavar="DURATION",
    help="More than the two samplers are apart: wait, lag and late spans.",
)
@click.option(
    "--spans-max",
    type=click.IntRange(min=1),
    default=SPANS_MAX,
    show_default=True,
    help="Hold so many span ids; above it a share of the traces is compared.",
)
@click.option("--json", "as_line", is_flag=True, help="One line of JSON, for programs.")
@settings_options
def command(
    settings: Settings,
    other_topic: str,
    other_bootstrap: str | None,
    since_s: float,
    edge_s: float,
    spans_max: int,
    *,
    as_line: bool,
) -> None:
    """Compare the kept traces with those of another sampler, by their span ids.

    Reads the output and the other topic as `read_committed`, to where they end now. A trace is
    compared only if all its records, in both topics, lie in the time that both cover and at least
    an edge away from its ends. Exit code 0: the same traces with the same spans; 1: not so; 2: a
    mistake, or nothing to compare.
    """
    check_key_files(settings.kafka)
    since_ms = max(0, clock.now_ms() - round(since_s * 1000))
    two = TwoTopics(spans_max)
    ours: dict[str, Any] = connection(settings.kafka)
    other = {**ours, "bootstrap.servers": other_bootstrap} if other_bootstrap else ours
    for side, kafka, topic, option, address in (
        (two.ours, ours, settings.topics.output, "topics.output", ""),
        (two.other, other, other_topic, "--other-topic", other_bootstrap or ""),
    ):
        try:
            _take(two, side, kafka, topic, since_ms)
        except KafkaException as problem:
            raise refused(settings, option, problem, address) from None
    found = two.compare(round(edge_s * 1000))
    names = (settings.topics.output, other_topic)
    if not found.compared:
        raise ClusterRefused(nothing(names, two, since_s, edge_s))
    lines = (
        [json.dumps(told(names, two, found))] if as_line else lines_of(names, two, found, edge_s)
    )
    for line in lines:
        click.echo(printable(line))
    click.get_current_context().exit(1 if found.different else 0)


def _take(two: TwoTopics, side: Side, kafka: Mapping[str, Any], topic: str, since_ms: int) -> None:
    with SinceReader({**QUIET, **kafka}, topic) as reader:
        for record in reader.read(range(reader.partitions()), since_ms, _has_value):
            two.take(side, record.value, record.time_ms, _policy(record))


def _has_value(_key: bytes, value: bytes) -> bool:
    return value != b""


def _policy(record: ReadRecord) -> str:
    for name, value in record.headers:
        if name == _POLICY_HEADER and value:
            return value.decode(errors="replace")
    return ""
