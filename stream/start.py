"""What is looked at before a worker starts: a refusal names what, which value, what to do."""

import functools
import socket
from contextlib import AbstractContextManager

from prometheus_client import ProcessCollector

from stream import compiled, logs
from stream.exits import Exit, end_process
from stream.kafka.topic_rules import Level, Needs, check
from stream.kafka.topics import ClusterError, UnreachableError, describe, read_cluster
from stream.metrics import Metrics
from stream.settings.directory import check_directory
from stream.settings.errors import SettingsError
from stream.settings.key_files import check_key_files
from stream.settings.model import Settings
from stream.settings.units import format_duration
from stream.slot import Slot
from stream.version import build
from stream.web import waiting_pages

log = logs.logger("tailstream")


def check_start(settings: Settings, *, check_topics: bool) -> int | None:
    """Say what runs, and refuse what cannot work.

    Returns the input's retention in milliseconds, None where it is not known or has no end.
    """
    worker = settings.worker
    log.info(
        "tailstream",
        **build(),
        bootstrap=settings.kafka["bootstrap.servers"],
        group=worker.group,
        instance_id=worker.instance_id,
        delivery=worker.delivery,
        input=settings.topics.input,
        output=settings.topics.output,
        web=f"http://{settings.web.host}:{settings.web.port}",
        policies=settings.policies_hash(),
    )
    if not compiled.RUNS:
        log.warning("the slow core runs", core=compiled.core())
    for note in settings.notes():
        log.info(note)
    _check_files(settings)
    _check_port(settings)
    slot_of(settings).wait(pages=functools.partial(_pages, settings))
    retention_ms = _check_topics(settings) if check_topics else None
    why, longest = waits_for(settings)
    log.info(why, group=worker.group, at_most=longest)
    return retention_ms


def slot_of(settings: Settings) -> Slot:
    """Return the worker's slot, its start now."""
    worker = settings.worker
    return Slot(settings.storage.directory, worker.group, worker.instance_id)


def waits_for(settings: Settings) -> tuple[str, str]:
    """Return why the group may let a worker wait until it is assigned partitions, and how long."""
    worker = settings.worker
    own = "this slot's last one, too" if not worker.static_membership else "not this slot's own"
    why = (
        "joining the group, until `assigned`: a member that ended without leaving (kill -9) keeps "
        f"its partitions until its session ends ({own})"
    )
    if settings.kafka.get("group.protocol") == "consumer":
        return why, "the broker's group.consumer.session.timeout.ms"
    return why, f"worker.session_timeout ({format_duration(worker.session_timeout_s)})"


def metrics_of(settings: Settings) -> Metrics:
    """Return the process's metrics, nothing counted yet, and CPU and memory by the usual names."""
    metrics = Metrics()
    ProcessCollector(registry=metrics.registry)
    metrics["build"].info(build())
    metrics["config"].info({"hash": settings.policies_hash()})
    metrics["decision_wait_seconds"].set(settings.tail_sampling.decision_wait_s)
    metrics["budget_bytes"].labels("memory").set(settings.storage.memory_bytes)
    metrics["budget_bytes"].labels("disk").set(settings.storage.disk_bytes)
    return metrics


def needs_of(settings: Settings, *, beside: bool = False) -> Needs:
    """Return what the topics are checked against.

    With `beside` also those of the commands beside the workers: `rekey`'s where it is named, that
    of `exemplars` where the settings speak of it. By default they do not, and most do without.
    """
    topics, exemplars = settings.topics, settings.exemplars
    spoken_of = "exemplars" in settings.model_fields_set or "metrics" in topics.model_fields_set
    return Needs(
        input=topics.input,
        output=topics.output,
        decisions=topics.decisions,
        dead_letters=topics.dead_letters,
        message_bytes_max=settings.output.message_bytes_max,
        bootstrap=str(settings.kafka["bootstrap.servers"]),
        metrics=topics.metrics if beside and spoken_of and exemplars.kafka else "",
        unkeyed=topics.unkeyed if beside else "",
        decisions_retention_ms=round(settings.decisions.retention_s * 1000),
    )


def _pages(settings: Settings, why: str) -> AbstractContextManager[None]:
    return waiting_pages(settings.web.host, settings.web.port, metrics_of(settings), why)


def _check_files(settings: Settings) -> None:
    try:
        check_directory(settings.storage.directory)
        check_key_files(settings.kafka)
    except SettingsError as problem:
        end_process(Exit.OPERATOR, str(problem))


def _check_port(settings: Settings) -> None:
    """Faust would start everything else before it finds that the port is taken."""
    host, port = settings.web.host, settings.web.port
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address[4])
    except OSError as problem:
        end_process(
            Exit.OPERATOR,
            f"web.port: {port} on {host}: {problem.strerror}",
            remedy="set web.port to a free one (each worker on a host needs its own), or web.host",
        )


def _check_topics(settings: Settings) -> int | None:
    needs = needs_of(settings)
    try:
        read_cluster(settings.kafka)
        topics = describe(settings.kafka, needs.roles().values())
        found = check(topics, needs)
    except UnreachableError as problem:
        # In an outage a worker is restarted while no broker is there: that must not be its last.
        end_process(Exit.WATCHDOG, str(problem))
    except ClusterError as problem:
        end_process(Exit.OPERATOR, str(problem))
    for finding in found:
        if finding.level is Level.WARN:
            log.warning(finding.text)
    refused = [finding.text for finding in found if finding.level is Level.REFUSE]
    for text in refused[:-1]:
        log.error(text)
    if refused:
        end_process(Exit.OPERATOR, refused[-1])
    retention_ms = topics[needs.input].retention_ms
    return retention_ms if retention_ms >= 0 else None
