"""What is looked at before a worker starts: a refusal names what, which value, what to do."""

import socket

from stream import compiled, logs
from stream.exits import Exit, end_process
from stream.kafka.topic_rules import Level, Needs, check
from stream.kafka.topics import ClusterError, UnreachableError, describe, read_cluster
from stream.settings.directory import check_directory
from stream.settings.errors import SettingsError
from stream.settings.model import Settings
from stream.slot import Slot
from stream.version import build

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
    _check_directory(settings)
    _check_port(settings)
    Slot(settings.storage.directory, worker.instance_id).wait()
    return _check_topics(settings) if check_topics else None


def needs_of(settings: Settings) -> Needs:
    """Return what the topics are checked against."""
    topics = settings.topics
    return Needs(
        input=topics.input,
        output=topics.output,
        decisions=topics.decisions,
        dead_letters=topics.dead_letters,
        message_bytes_max=settings.output.message_bytes_max,
        bootstrap=str(settings.kafka["bootstrap.servers"]),
    )


def _check_directory(settings: Settings) -> None:
    try:
        check_directory(settings.storage.directory)
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
