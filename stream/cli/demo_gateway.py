"""`tailstream demo gateway`: the shop's gateway alone, for W3C's trace context test harness."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from stream.cli.demo_stage import clear
from stream.cli.refused import ClusterRefused
from stream.clock import now_ms
from stream.demo.shop.gateway import gateway
from stream.demo.shop.relay import Relay, Straight, ThroughKafka
from stream.demo.shop.serving import serve
from stream.demo.shop.tracing import Tracing, provider_of, tracer_of
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topics import Cluster, ClusterError, TopicPlan

EMBEDDED = "embedded"


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5000,
    show_default=True,
    help="0: any that is free.",
)
@click.option(
    "--through-kafka",
    metavar="HOST:PORT",
    help="Pass each call through a message on this cluster, or on an 'embedded' broker.",
)
def command(port: int, through_kafka: str | None) -> None:
    """Run the shop's gateway alone, for test harnesses.

    `POST /test` takes a JSON list of {"url", "arguments"} and POSTs each `arguments` to its url,
    with the trace context that came in: the protocol of W3C's trace context test suite. It calls
    whatever url it is told, so it listens on this machine only. Its spans go nowhere.
    """
    provider = provider_of("gateway", ParentBased(ALWAYS_ON))
    tracing = Tracing(tracer_of(provider), provider)
    try:
        with _relay(tracing, through_kafka) as relay:
            serve(gateway(tracing, relay), port, _tell)
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    except OSError as problem:
        raise click.ClickException(f"--port is {port}: {problem}") from None
    except RuntimeError as problem:
        raise click.ClickException(str(problem)) from None


def _tell(port: int) -> None:
    click.echo(f"listening on http://127.0.0.1:{port}/test")


@contextmanager
def _relay(tracing: Tracing, through_kafka: str | None) -> Iterator[Relay]:
    topic = f"demo_{now_ms()}_gateway"
    if through_kafka is None:
        yield Straight(tracing.tracer)
    elif through_kafka == EMBEDDED:
        with EmbeddedBroker() as broker:
            broker.create_topic(topic)
            yield ThroughKafka(tracing, broker.address, topic)
    else:
        cluster = Cluster({"bootstrap.servers": through_kafka}, option="--through-kafka")
        cluster.facts()
        try:
            cluster.create([TopicPlan(topic, 1, 1, {})])
            yield ThroughKafka(tracing, through_kafka, topic)
        finally:
            clear(cluster, [topic], [])
