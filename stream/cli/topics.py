"""`tailstream topics`: check the topics, or create them, and look at how the input is keyed."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from stream.cli.options import settings_options
from stream.cli.refused import ClusterRefused
from stream.kafka.keying import Keying, examine, keying_findings
from stream.kafka.sample import read_recent
from stream.kafka.topic_rules import Finding, Level, Needs, check, plan_missing
from stream.kafka.topics import Cluster, ClusterError, ClusterFacts, TopicFacts
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings
from stream.start import needs_of

PIPED_WIDTH = 120
MS_OF_UNIT = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))


@click.command()
@click.option("--create", is_flag=True, help="Create what is missing. Changes no topic that is.")
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Of an input that is created; the other topics get as many as the input has.",
)
@settings_options
def command(settings: Settings, *, create: bool, partitions: int) -> None:
    """Check the topics, or create them, and look at how the input is keyed.

    Reads up to 1,000 recent records of the input, without joining a group. Exit code 2 where
    something must be put right before a worker can run. Where the settings name topics.unkeyed, or
    speak of exemplars, also the topics that rekey and exemplars read: faults of theirs are
    warnings.
    """
    check_key_files(settings.kafka)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    try:
        findings = _report(console, settings, create=create, partitions=partitions)
    except ClusterError as error:
        raise ClusterRefused(str(error)) from None
    _print_findings(console, findings)
    if any(finding.level is Level.REFUSE for finding in findings):
        raise SystemExit(2)


def _report(
    console: Console, settings: Settings, *, create: bool, partitions: int
) -> list[Finding]:
    """Print the cluster, its topics and how the input is keyed; return what is wrong."""
    needs = needs_of(settings, beside=True)
    cluster = Cluster(settings.kafka)
    cluster_facts = cluster.facts()
    _print_cluster(console, cluster_facts, needs)
    topics = cluster.describe(needs.all_roles().values())
    if create:
        topics = _create(console, cluster, cluster_facts, topics, needs, partitions)
    _print_topics(console, topics, needs)
    return check(topics, needs) + _look_at_input(console, settings, topics)


def _create(
    console: Console,
    cluster: Cluster,
    cluster_facts: ClusterFacts,
    topics: Mapping[str, TopicFacts],
    needs: Needs,
    partitions: int,
) -> dict[str, TopicFacts]:
    """Create what is missing and say so; return all topics as they are then."""
    # The input first: the decisions are to be kept for as long as the broker keeps the spans.
    for only_input in (True, False):
        plans = [
            plan
            for plan in plan_missing(
                topics, needs, partitions=partitions, brokers=cluster_facts.brokers
            )
            if (plan.name == needs.input) is only_input
        ]
        cluster.create(plans)
        for plan in plans:
            config = ", ".join(f"{name}={value}" for name, value in plan.config.items())
            _say(console, f"created {plan.name}: {plan.partitions} partitions, {config}")
        topics = cluster.describe(needs.all_roles().values())
    return dict(topics)


def _look_at_input(
    console: Console, settings: Settings, topics: Mapping[str, TopicFacts]
) -> list[Finding]:
    name = settings.topics.input
    if name not in topics:
        return []
    partitions = topics[name].partitions
    records = read_recent(settings.kafka, name, partitions, group=settings.worker.group)
    keying = examine(records, partitions)
    _print_keying(console, keying, name, partitions)
    return keying_findings(keying, name, partitions, settings.topics.partitioner)


def _print_cluster(console: Console, cluster: ClusterFacts, needs: Needs) -> None:
    brokers = "1 broker" if cluster.brokers == 1 else f"{cluster.brokers} brokers"
    _say(console, f"cluster {cluster.cluster_id} at {needs.bootstrap}, {brokers}")


def _print_topics(console: Console, topics: Mapping[str, TopicFacts], needs: Needs) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("for", "topic"):
        table.add_column(heading, overflow="fold")
    for heading in ("partitions", "replicas"):
        table.add_column(heading, justify="right")
    for heading in ("cleanup", "timestamps", "kept for"):
        table.add_column(heading)
    table.add_column("record max", justify="right")
    for role, name in needs.all_roles().items():
        topic = topics.get(name)
        table.add_row(role, name, *(_cells(topic) if topic else ["[red]missing[/red]"]))
    console.print(table)


def _cells(topic: TopicFacts) -> list[str]:
    return [
        str(topic.partitions),
        str(topic.replication_factor),
        topic.cleanup_policy,
        topic.timestamp_type,
        _duration(topic.retention_ms),
        f"{topic.max_message_bytes:,} B",
    ]


def _print_keying(console: Console, keying: Keying, name: str, partitions: int) -> None:
    if not keying.records:
        _say(console, f"{name}: no records of spans to look at, so nothing is said of their keys")
        return
    _say(console, f"{name}: looked at {keying.records:,} recent records of spans")
    _print_counts(console, "payload", keying.encodings)
    _print_counts(console, "keys", keying.keys)
    if keying.mixed:
        _say(console, f"  {'':13}{keying.mixed:,} x several traces in one record")
    if keying.other_key:
        _say(console, f"  {'':13}something else is, for example, {keying.other_key[:60]!r}")
    if not keying.traces:
        return
    whole = keying.traces - keying.scattered
    _say(console, f"  {'traces':13}{whole:,} of {keying.traces:,} in one partition")
    if partitions == 1:
        placed = "the topic has one partition, so any will do"
    else:
        placed = keying.partitioner or "none that is known explains where the keys lie"
    _say(console, f"  {'partitioner':13}{placed}")


def _print_counts(console: Console, what: str, counts: Mapping[Any, int]) -> None:
    for place, (kind, count) in enumerate(sorted(counts.items(), key=lambda pair: -pair[1])):
        _say(console, f"  {'' if place else what:13}{count:,} x {kind}")


def _print_findings(console: Console, findings: Sequence[Finding]) -> None:
    for finding in findings:
        mark = "[red]refused[/red]" if finding.level is Level.REFUSE else "[yellow]warning[/yellow]"
        console.print(mark, end="  ")
        _say(console, finding.text)
    if not findings:
        console.print("[green]ok[/green]")


def _say(console: Console, text: str) -> None:
    """Print a line as it is: a command in it can be copied, whatever the terminal's width."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _duration(retention_ms: int) -> str:
    if retention_ms < 0:
        return "ever"
    unit, unit_ms = next(
        ((unit, unit_ms) for unit, unit_ms in MS_OF_UNIT if retention_ms % unit_ms == 0)
    )
    return f"{retention_ms // unit_ms:,} {unit}"
