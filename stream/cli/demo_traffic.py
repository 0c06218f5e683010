"""`tailstream demo traffic`: the shop without an end, for a pipeline that runs."""

import tempfile
from collections import Counter
from pathlib import Path

import click

from stream.cli.options import settings_options
from stream.cli.refused import ClusterRefused
from stream.cli.running import Progress, listed, until_told_to_stop
from stream.demo.shop.fate import Fates
from stream.demo.shop.processes import ServiceFailedError
from stream.demo.shop.traffic import Traffic, run
from stream.kafka.required_topics import required_topics
from stream.kafka.topics import Cluster, ClusterError, TopicPlan
from stream.settings.errors import Problem, SettingsError
from stream.settings.model import Settings

CHECKOUTS_PER_S = 5.0
PARTITIONS = 4


@click.command()
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=CHECKOUTS_PER_S,
    show_default=True,
    help="Checkouts a second.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which of them fail.")
@click.option(
    "--checkouts", default="checkouts", show_default=True, help="The topic between its services."
)
@settings_options
def command(settings: Settings, *, rate: float, seed: int, checkouts: str) -> None:
    """Run the shop until it is told to stop: traffic for workers that run elsewhere.

    The services' spans go to topics.input, the checkouts' durations, with exemplars, to
    topics.metrics; the topic between its services is made where it is missing. Ends on
    SIGTERM or Ctrl-C.
    """
    _check(settings)
    traffic = Traffic(
        bootstrap=str(settings.kafka["bootstrap.servers"]),
        spans_topic=settings.topics.input,
        metrics_topic=settings.topics.metrics,
        checkouts_topic=checkouts,
        per_s=rate,
        fates=Fates(seed=seed),
    )
    try:
        _make_topics(settings, checkouts)
        with (
            tempfile.TemporaryDirectory(prefix="tailstream-traffic-") as name,
            until_told_to_stop() as stopping,
            Progress("traffic") as progress,
        ):
            counts = run(
                traffic, Path(name), stopping, lambda so_far: progress.tell(lambda: dict(so_far))
            )
    except ClusterError as problem:
        raise ClusterRefused(str(problem)) from None
    except ServiceFailedError as problem:
        raise click.ClickException(str(problem)) from None
    click.echo(f"checkouts: {listed(dict(Counter(paid=0) + counts))}")


def _check(settings: Settings) -> None:
    protocol = settings.kafka["security.protocol"]
    if str(protocol).upper() != "PLAINTEXT":
        wrong, remedy = "the shop's services speak to plain brokers only", "use a plain listener"
        raise SettingsError([Problem("kafka.security.protocol", protocol, wrong, remedy)])


def _make_topics(settings: Settings, checkouts: str) -> None:
    cluster = Cluster(settings.kafka)
    if checkouts not in cluster.describe([checkouts]):
        cluster.create([TopicPlan(checkouts, PARTITIONS, 1, {})])
    topics = settings.topics
    required_topics(
        settings.kafka, {"topics.input": topics.input, "topics.metrics": topics.metrics}
    )
