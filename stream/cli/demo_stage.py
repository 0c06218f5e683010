"""Where a demo plays: an embedded broker, or a real cluster with topics of the demo's own."""

import signal
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import click

from stream.clock import now_ms
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topic_rules import Needs, plan_missing
from stream.kafka.topics import Cluster, ClusterError, TopicPlan
from stream.settings.model import Settings

PARTITIONS = 4
INTERRUPTED_CODE = 130
SIGNALS = (signal.SIGTERM, signal.SIGHUP)
SIGNAL_CODE = 128
"""A shell's exit code of what a signal ended is this and the signal's number."""
ROLES = ("input", "output", "decisions", "dead_letters")


@dataclass(frozen=True, slots=True)
class Stage:
    """An address for clients, how a worker may deliver there, how many partitions a topic has."""

    address: str
    delivery: str
    partitions: int


def own_topics(*, real: bool, others: Collection[str] = ()) -> dict[str, str]:
    """Return the worker's four topics by role, and `others` under their own names.

    On a real cluster each begins with a prefix that no other run has.
    """
    defaults = Settings().topics
    prefix = f"demo_{now_ms()}_" if real else ""
    named = {role: getattr(defaults, role) for role in ROLES} | {name: name for name in others}
    return {role: prefix + name for role, name in named.items()}


@contextmanager
def stage(
    kafka: str | None, topics: Mapping[str, str], groups: Collection[str], *, keep: bool = False
) -> Iterator[Stage]:
    """Give a Kafka that has the topics: at this address, or an embedded one without it.

    On a real cluster the topics and the groups are deleted at the end, unless told to `keep` them.

    Raises:
        ClusterError: it cannot be used.
    """
    if kafka is None:
        with EmbeddedBroker() as broker:
            counts = [broker.create_topic(topic) for topic in topics.values()]
            yield Stage(broker.address, "at_least_once", counts[0])
        return
    cluster = Cluster({"bootstrap.servers": kafka}, option="--kafka")
    plans = _plans(cluster, kafka, topics)
    try:
        cluster.create(plans)
        yield Stage(kafka, "exactly_once", PARTITIONS)
    finally:
        if not keep:
            clear(cluster, topics.values(), groups)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let what is told to end clean up behind it, as after Ctrl-C."""
    told: list[int] = []

    def end(number: int, _frame: object) -> None:
        told.append(number)
        # An event loop ends its tasks in order after Ctrl-C, and after nothing else.
        if callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)
        else:
            sys.exit(SIGNAL_CODE + number)

    before = {each: signal.signal(each, end) for each in SIGNALS}
    try:
        yield
    except KeyboardInterrupt:
        if told:
            sys.exit(SIGNAL_CODE + told[0])
        raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def clear(cluster: Cluster, topics: Collection[str], groups: Collection[str]) -> None:
    """Delete what a demo made; say what could not be."""
    try:
        if groups:
            cluster.delete_groups(groups)
        cluster.delete(topics)
    except ClusterError as problem:
        left = f"the topics {', '.join(topics)} and the groups {' and '.join(groups)}"
        click.echo(f"{problem}\nDelete what may be left there: {left}", err=True)


def _plans(cluster: Cluster, address: str, topics: Mapping[str, str]) -> list[TopicPlan]:
    brokers = cluster.facts().brokers
    needs = Needs(
        input=topics["input"],
        output=topics["output"],
        decisions=topics["decisions"],
        dead_letters=topics["dead_letters"],
        message_bytes_max=Settings().output.message_bytes_max,
        bootstrap=address,
    )
    plans = list(plan_missing({}, needs, partitions=PARTITIONS, brokers=brokers))
    factor = plans[0].replication_factor
    others = [name for role, name in topics.items() if role not in ROLES]
    return plans + [TopicPlan(name, PARTITIONS, factor, {}) for name in others]
