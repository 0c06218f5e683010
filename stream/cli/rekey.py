"""`tailstream rekey`: bring a topic that is not keyed by trace id to the input topic."""

from collections.abc import Iterator

import click

from stream import logs
from stream.cli.options import settings_options
from stream.cli.pages import metrics_of, pages
from stream.cli.refused import refused, unusable
from stream.cli.running import Progress, flat, listed, until_told_to_stop
from stream.kafka.client_settings import Membership, consumer_settings, producer_settings
from stream.kafka.dead_letters import RECORD_OVERHEAD_BYTES
from stream.kafka.errors import KafkaException
from stream.kafka.record_producer import RecordProducer
from stream.kafka.required_topics import required_topics
from stream.kafka.topics import ClusterError
from stream.metrics import REKEY_DECLARATIONS, Metrics
from stream.rekey import Rekey, RekeyCounts, RekeyPlan
from stream.settings.errors import Problem, SettingsError
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings

log = logs.logger("tailstream")


@click.command()
@settings_options
def command(settings: Settings) -> None:
    """Split topics.unkeyed by trace and write it to topics.input, keyed by trace id.

    At least once: a crash repeats some records, which the worker counts as duplicates. Ends on
    SIGTERM or SIGINT within seconds, what is safe committed. Serves /metrics, /livez and /readyz at
    web.port. Exit codes: 0 clean, 2 an operator's mistake, 1 a client that could not go on: start
    it again.
    """
    check_key_files(settings.kafka)
    check_source(settings)
    logs.configure(settings.log.level, settings.log.format)
    metrics = metrics_of(REKEY_DECLARATIONS)
    try:
        counts = _run(settings, metrics)
    except ClusterError as problem:
        raise refused(problem) from None
    except KafkaException as problem:
        raise unusable(problem) from None
    click.echo(f"rekey: {listed(flat(counts))}")


def check_source(settings: Settings) -> None:
    """Raise SettingsError unless topics.unkeyed names a topic that is none of the worker's own."""
    name = settings.topics.unkeyed
    problems = list(_problems(settings, name))
    if problems:
        raise SettingsError(problems)


def _problems(settings: Settings, name: str) -> Iterator[Problem]:
    if not name:
        remedy = "set it to the topic to read, e.g. --set topics.unkeyed=otlp_spans_unkeyed"
        yield Problem("topics.unkeyed", name, "names no topic", remedy)
    for role in ("input", "output", "decisions", "dead_letters", "metrics"):
        if name == getattr(settings.topics, role):
            yield Problem(
                "topics.unkeyed",
                name,
                f"topics.{role} is the same topic",
                "let the exporters write to a topic of its own, and name that one",
            )


def _run(settings: Settings, metrics: Metrics) -> RekeyCounts:
    topics, worker = settings.topics, settings.worker
    needed = {f"topics.{role}": getattr(topics, role) for role in ("unkeyed", "input")}
    required_topics(settings.kafka, {**needed, "topics.dead_letters": topics.dead_letters})
    member = Membership(
        f"{worker.group}-rekey",
        worker.instance_id,
        worker.static_membership,
        worker.session_timeout_s,
    )
    producing = producer_settings(
        settings.kafka, member, compression=settings.output.compression, transaction_timeout_s=None
    )
    plan = RekeyPlan(
        source=topics.unkeyed,
        target=topics.input,
        dead_letters=topics.dead_letters,
        dead_letter_bytes_max=max(0, settings.output.message_bytes_max - RECORD_OVERHEAD_BYTES),
        initial_offset=worker.initial_offset,
    )
    rekey = Rekey(
        plan,
        consumer_settings(settings.kafka, member),
        RecordProducer(producing, [plan.target, plan.dead_letters], partitioner=topics.partitioner),
        metrics,
    )
    log.info("rekey", source=plan.source, target=plan.target, group=member.group)
    with (
        pages(settings, metrics, turned_s=lambda: rekey.turned_s, joined=lambda: rekey.joined),
        until_told_to_stop() as stopping,
        Progress("rekey") as progress,
    ):
        rekey.run(stopping, lambda counts: progress.tell(lambda: flat(counts)))
    return rekey.counts
