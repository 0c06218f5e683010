"""`tailstream exemplars`: pin the traces that metrics' exemplars point at."""

import asyncio

import click

from stream import logs
from stream.cli.options import settings_options, topic_check_option
from stream.cli.pages import metrics_of, pages
from stream.cli.refused import refused, unusable
from stream.cli.running import Progress, listed, until_told_to_stop
from stream.exemplars.fetching import target_of
from stream.exemplars.openmetrics import Endpoint
from stream.exemplars.pinner import Pinner, PollPlan
from stream.exemplars.pinning import Pinning, Reading
from stream.exemplars.pins import OUTCOMES, PinRules
from stream.exemplars.prometheus import Question
from stream.kafka.client_settings import Membership, consumer_settings, producer_settings
from stream.kafka.control_records import ControlRecords, Target
from stream.kafka.errors import KafkaException
from stream.kafka.record_producer import RecordProducer
from stream.kafka.required_topics import required_topics
from stream.kafka.topics import ClusterError
from stream.metrics import EXEMPLARS_DECLARATIONS, Metrics
from stream.settings.errors import Problem, SettingsError
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings
from stream.version import build

log = logs.logger("tailstream")


@click.command()
@topic_check_option
@settings_options
def command(settings: Settings, *, without_topic_check: bool) -> None:
    """Pin the trace of every exemplar in topics.metrics, so that it is kept whole.

    By setting also of those that exemplars.prometheus has, or the endpoints of exemplars.scrape.
    At least once: offsets are committed after the pins are acknowledged. Ends on SIGTERM or SIGINT
    within seconds. Serves /metrics, /livez and /readyz at web.port. Exit codes: 0 clean, 2 an
    operator's mistake, 1 a client that could not go on: start it again.
    """
    check_key_files(settings.kafka)
    check_sources(settings)
    logs.configure(settings.log.level, settings.log.format)
    for note in settings.pin_notes():
        log.warning(note)
    metrics = metrics_of(EXEMPLARS_DECLARATIONS)
    try:
        if not without_topic_check:
            _check_topics(settings)
        _run(settings, metrics)
    except ClusterError as problem:
        raise refused(problem) from None
    except KafkaException as problem:
        raise unusable(problem) from None
    click.echo(f"exemplars: {listed(counts(metrics))}")


def check_sources(settings: Settings) -> None:
    """Raise SettingsError where there is nothing to find exemplars in."""
    exemplars = settings.exemplars
    if exemplars.kafka or exemplars.prometheus.url or exemplars.scrape.urls:
        return
    remedy = "set it to true, or name exemplars.prometheus.url or exemplars.scrape.urls"
    raise SettingsError([Problem("exemplars.kafka", False, "there is nothing to read", remedy)])


def _check_topics(settings: Settings) -> None:
    needed = {"topics.input": settings.topics.input}
    if settings.exemplars.kafka:
        needed["topics.metrics"] = settings.topics.metrics
    required_topics(settings.kafka, needed)


def counts(metrics: Metrics) -> dict[str, int]:
    """Return how many exemplars were seen, and what became of them."""
    found: dict[str, float] = dict.fromkeys(("seen", *OUTCOMES), 0)
    for name in ("exemplars_seen", "exemplars"):
        for sample in metrics[name].collect()[0].samples:
            if sample.name.endswith("_total"):
                found[sample.labels.get("outcome", "seen")] += sample.value
    return {name: int(count) for name, count in found.items()}


def _run(settings: Settings, metrics: Metrics) -> None:
    pinning = _pinning(settings, metrics)
    pinner = Pinner(pinning, _poll_plan(settings), metrics)
    with (
        pages(
            settings,
            metrics,
            turned_s=lambda: pinning.turned_s,
            joined=lambda: pinning.joined,
        ),
        until_told_to_stop() as stopping,
        Progress("exemplars") as progress,
    ):
        asyncio.run(pinner.run(stopping, lambda: progress.tell(lambda: counts(metrics))))


def _pinning(settings: Settings, metrics: Metrics) -> Pinning:
    topics, worker, exemplars = settings.topics, settings.worker, settings.exemplars
    member = Membership(
        exemplars.consumer_group or f"{worker.group}-exemplars",
        worker.instance_id,
        worker.static_membership,
        worker.session_timeout_s,
    )
    reading = Reading(
        topics.metrics, worker.initial_offset, consumer_settings(settings.kafka, member)
    )
    producing = producer_settings(
        settings.kafka, member, compression=settings.output.compression, transaction_timeout_s=None
    )
    target = Target(
        topic=topics.input,
        all_partitions=exemplars.all_partitions,
        as_json=exemplars.json_input,
    )
    log.info(
        "exemplars",
        target=topics.input,
        group=member.group,
        metrics=reading.topic if exemplars.kafka else "",
        prometheus=target_of(exemplars.prometheus.url),
        scrape=[target_of(url) for url in exemplars.scrape.urls],
    )
    return Pinning(
        reading if exemplars.kafka else None,
        ControlRecords(
            target, RecordProducer(producing, [target.topic], partitioner=topics.partitioner)
        ),
        PinRules(
            ttl_ms=round(exemplars.ttl_s * 1000), remembered_max=exemplars.pins_remembered_max
        ),
        metrics,
    )


def _poll_plan(settings: Settings) -> PollPlan:
    exemplars = settings.exemplars
    prometheus, scrape = exemplars.prometheus, exemplars.scrape
    return PollPlan(
        questions=[
            Question(
                url=prometheus.url,
                query=query,
                overlap_s=prometheus.overlap_s,
                trace_id_labels=exemplars.trace_id_labels,
                headers=prometheus.headers,
            )
            for query in (prometheus.queries if prometheus.url else ())
        ],
        question_interval_s=prometheus.interval_s,
        endpoints=[
            Endpoint(url=url, trace_id_labels=exemplars.trace_id_labels, headers=scrape.headers)
            for url in scrape.urls
        ],
        endpoint_interval_s=scrape.interval_s,
        timeout_s=exemplars.timeout_s,
        answer_bytes_max=exemplars.answer_bytes_max,
        user_agent=f"tailstream/{build()['version']}",
        name=settings.worker.instance_id,
    )
