"""`tailstream demo`: the main job, whole, on an embedded broker or on a real cluster."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from stream.cli.refused import ClusterRefused
from stream.clock import now_ms
from stream.demo.run import Demo, NotSettledError, run, worker_settings
from stream.demo.story import render_story
from stream.demo.worker_process import WorkerFailedError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topic_rules import Needs, plan_missing
from stream.kafka.topics import Cluster, ClusterError
from stream.settings.model import Settings

TRACES = 5_000
TRACES_PER_S = 250.0
PARTITIONS = 4
EMBEDDED_NEXT = "tailstream demo --kafka host:9092"
CLUSTER_NEXT = "tailstream init"
INTERRUPTED_CODE = 130
SIGNALS = (signal.SIGTERM, signal.SIGHUP)
SIGNAL_CODE = 128
"""A shell's exit code of what a signal ended is this and the signal's number."""
ROLES = ("input", "output", "decisions", "dead_letters")


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where the demo plays: an address, how it delivers, what to say at the end."""

    address: str
    delivery: str
    partitions: int
    end: str


@click.command()
@click.option(
    "--kafka", metavar="HOST:PORT", help="A real cluster, for exactly once; else an embedded one."
)
@click.option("--traces", type=click.IntRange(min=1), default=TRACES, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=TRACES_PER_S,
    show_default=True,
    help="Traces a second.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Makes the same load again.")
@click.option("--next", "then", hidden=True, help="What the last line recommends.")
def command(kafka: str | None, traces: int, rate: float, seed: int, then: str | None) -> None:
    """See the whole story on this machine: traces in, decisions, whole kept traces out.

    Sends made-up OTLP traces, with errors, slow ones, late, resent and broken ones, to a worker,
    and accounts for every span. On a real cluster it makes four topics of its own and deletes them.
    """
    console = Console()
    topics = _topics(real=kafka is not None)
    try:
        with (
            _ended_by_signals(),
            tempfile.TemporaryDirectory(prefix="tailstream-demo-") as name,
            _cluster(kafka, topics, then) if kafka else _embedded(topics, then) as stage,
        ):
            directory = Path(name)
            client = {"bootstrap.servers": stage.address}
            settings = worker_settings(client, topics, delivery=stage.delivery, directory=directory)
            demo = Demo(
                kafka=client,
                settings=settings,
                topics=topics,
                partitions=stage.partitions,
                traces=traces,
                traces_per_s=rate,
                seed=seed,
                # The embedded broker has no admin API to ask.
                check_topics=kafka is not None,
                why={p.name: p.meaning() for p in Settings().tail_sampling.policies},
                end=stage.end,
            )
            story = run(demo, directory, console)
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    except (NotSettledError, WorkerFailedError, RuntimeError) as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        click.echo("Ended early: the worker is stopped, and its files are gone.", err=True)
        sys.exit(INTERRUPTED_CODE)
    console.print(render_story(story), soft_wrap=True)
    if story.faults:
        raise click.ClickException("; ".join(story.faults))


def _topics(*, real: bool) -> dict[str, str]:
    defaults = Settings().topics
    prefix = f"demo_{now_ms()}_" if real else ""
    return {role: prefix + getattr(defaults, role) for role in ROLES}


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let what is told to end clean up behind it, as after Ctrl-C."""

    def end(number: int, _frame: object) -> None:
        sys.exit(SIGNAL_CODE + number)

    before = {each: signal.signal(each, end) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _embedded(topics: dict[str, str], then: str | None) -> Iterator[_Stage]:
    with EmbeddedBroker() as broker:
        counts = [broker.create_topic(topic) for topic in topics.values()]
        end = "Embedded broker: at least once, nothing kept after exit."
        end += f"   Next:  {then or EMBEDDED_NEXT}"
        yield _Stage(broker.address, "at_least_once", counts[0], end)


@contextmanager
def _cluster(address: str, topics: dict[str, str], then: str | None) -> Iterator[_Stage]:
    cluster = Cluster({"bootstrap.servers": address}, option="--kafka")
    needs = Needs(
        **topics,
        message_bytes_max=Settings().output.message_bytes_max,
        bootstrap=address,
    )
    brokers = cluster.facts().brokers
    end = f"Kafka at {address}: exactly once; the demo's topics and groups are deleted."
    end += f"   Next:  {then or CLUSTER_NEXT}"
    try:
        cluster.create(plan_missing({}, needs, partitions=PARTITIONS, brokers=brokers))
        yield _Stage(address, "exactly_once", PARTITIONS, end)
    finally:
        _clear(cluster, topics)


def _clear(cluster: Cluster, topics: dict[str, str]) -> None:
    """Delete what the demo made; say what could not be."""
    group = topics["input"]
    try:
        cluster.delete_groups([group, f"{group}-position"])
        cluster.delete(topics.values())
    except ClusterError as problem:
        names = ", ".join(topics.values())
        left = f"the topics {names} and the groups {group} and {group}-position"
        click.echo(f"{problem}\nDelete what may be left there: {left}", err=True)
