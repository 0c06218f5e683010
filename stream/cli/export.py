"""`tailstream export`: send the kept traces to a backend."""

import asyncio

import click

from stream import logs
from stream.cli.options import settings_options
from stream.cli.pages import metrics_of, pages
from stream.cli.refused import ClusterRefused, refused, unusable
from stream.cli.running import Progress, flat, listed, until_told_to_stop
from stream.export.backend import BackendSettings, shown, traces_url
from stream.export.delivery import ExportCounts, GaveUpError, NotForUsError
from stream.export.exporter import Exporter, ExportPlan
from stream.kafka.client_settings import Membership, consumer_settings, producer_settings
from stream.kafka.dead_letters import RECORD_OVERHEAD_BYTES
from stream.kafka.errors import KafkaException
from stream.kafka.record_producer import RecordProducer
from stream.kafka.required_topics import required_topics
from stream.kafka.topics import ClusterError
from stream.metrics import EXPORT_DECLARATIONS, Metrics
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings
from stream.version import build

log = logs.logger("tailstream")


@click.command()
@settings_options
def command(settings: Settings) -> None:
    """Read topics.output (committed records only) and POST it to export.endpoint, OTLP/HTTP.

    At least once, in order per partition: an offset is committed after the backend's 2xx. What the
    backend refuses for good goes to the dead letters. Ends on SIGTERM or SIGINT within seconds,
    what was acknowledged committed. Serves /metrics, /livez and /readyz at web.port. Exit codes: 0
    clean, 2 an operator's mistake, 1 gave up (export.retry_for) or a client that could not go on:
    start it again.
    """
    check_key_files(settings.kafka)
    logs.configure(settings.log.level, settings.log.format)
    metrics = metrics_of(EXPORT_DECLARATIONS)
    try:
        counts = _run(settings, metrics)
    except ClusterError as problem:
        raise refused(problem) from None
    except NotForUsError as problem:
        raise ClusterRefused(str(problem)) from None
    except GaveUpError as problem:
        raise click.ClickException(str(problem)) from None
    except KafkaException as problem:
        raise unusable(problem) from None
    click.echo(f"export: {listed(flat(counts))}")


def _run(settings: Settings, metrics: Metrics) -> ExportCounts:
    topics, worker, export = settings.topics, settings.worker, settings.export
    names = {"topics.output": topics.output, "topics.dead_letters": topics.dead_letters}
    required_topics(settings.kafka, names)
    member = Membership(
        export.consumer_group or f"{worker.group}-export",
        worker.instance_id,
        worker.static_membership,
        worker.session_timeout_s,
    )
    producing = producer_settings(
        settings.kafka, member, compression=settings.output.compression, transaction_timeout_s=None
    )
    backend = BackendSettings(
        url=traces_url(export.endpoint),
        headers=export.headers,
        gzip=export.compression == "gzip",
        timeout_s=export.timeout_s,
        user_agent=f"tailstream/{build()['version']}",
    )
    exporter = Exporter(
        _plan(settings),
        backend,
        consumer_settings(settings.kafka, member),
        RecordProducer(producing, [topics.dead_letters], partitioner=topics.partitioner),
        metrics,
    )
    log.info("export", source=topics.output, url=shown(backend.url), group=member.group)
    with (
        pages(
            settings, metrics, turned_s=lambda: exporter.turned_s, joined=lambda: exporter.joined
        ),
        until_told_to_stop() as stopping,
        Progress("export") as progress,
    ):
        asyncio.run(exporter.run(stopping, lambda counts: progress.tell(lambda: flat(counts))))
    return exporter.counts


def _plan(settings: Settings) -> ExportPlan:
    return ExportPlan(
        source=settings.topics.output,
        dead_letters=settings.topics.dead_letters,
        dead_letter_bytes_max=max(0, settings.output.message_bytes_max - RECORD_OVERHEAD_BYTES),
        initial_offset=settings.worker.initial_offset,
        instance_id=settings.worker.instance_id,
        request_bytes_max=settings.export.request_bytes_max,
        requests_max=settings.export.requests_max,
        retry_for_s=settings.export.retry_for_s,
    )
