"""A trace's decisions, read from their topic."""

from collections.abc import Iterable
from typing import Any

from stream.cli.refused import ClusterRefused
from stream.explain import Recorded, recorded
from stream.kafka.client_settings import connection
from stream.kafka.decision_reader import DecisionReader
from stream.kafka.errors import (
    KafkaException,
    is_bad_setting,
    is_unknown_topic,
    is_unreachable,
)
from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.topic_reader import ReadRecord
from stream.kafka.topics import ClusterError, UnreachableError, read_cluster
from stream.settings.model import Settings

# Ten lines a second while no broker answers; the last line says it once.
QUIET = {"log_level": 0}


def decisions_of(
    settings: Settings, trace_id: str, since_ms: int, *, everywhere: bool = False
) -> tuple[list[Recorded], int]:
    """Return this group's records on a trace in their order, and how many were of no use.

    Raises:
        KafkaException: the broker does not answer, or has no such topic.
    """
    topic = settings.topics.decisions
    with DecisionReader({**QUIET, **connection(settings.kafka)}, topic) as reader:
        partitioner = PARTITIONERS[settings.topics.partitioner]
        found = reader.find(trace_id.encode(), since_ms, partitioner, everywhere=everywhere)
    return _of_group(found, settings.worker.group)


def refused(
    settings: Settings, setting: str, problem: KafkaException, other_bootstrap: str = ""
) -> ClusterRefused:
    """Return what to tell of a topic that cannot be read; `setting` names it: `topics.output`.

    `other_bootstrap`: the option's value, where that is the address.
    """
    error = problem.args[0]
    name = "--other-bootstrap" if other_bootstrap else "kafka.bootstrap.servers"
    address = other_bootstrap or settings.kafka["bootstrap.servers"]
    at_the_door = is_unreachable(error) or is_bad_setting(error)
    if at_the_door and (told := _refused_at_the_door(settings, address)):
        return ClusterRefused(told)
    text = f"{name} is {address!r}: {error.str()}. "
    if is_unknown_topic(error):
        text += f"Set {setting} to the worker's, or name its settings with --config"
    else:
        text += (
            f"Start Kafka, or correct the address, {setting} or the kafka.security.*, "
            "kafka.sasl.* and kafka.ssl.* settings; the principal needs Read on the topic"
        )
    return ClusterRefused(text)


def _refused_at_the_door(settings: Settings, address: Any) -> str:
    """Return what a client that is only to connect says of a password or a certificate, if it does.

    A reader's own error tells of a broken connection.
    """
    if str(settings.kafka["security.protocol"]).upper() == "PLAINTEXT":
        return ""
    try:
        read_cluster({**settings.kafka, "bootstrap.servers": address})
    except UnreachableError:
        return ""
    except ClusterError as problem:
        return str(problem)
    return ""


def others_line(others: int) -> str:
    """Return what to tell of records that were of no use."""
    are = (
        "record of another group or version is"
        if others == 1
        else "records of other groups or versions are"
    )
    return f"{others:,} {are} there: see worker.group."


def _of_group(found: Iterable[ReadRecord], group: str) -> tuple[list[Recorded], int]:
    records: list[Recorded] = []
    others = 0
    for each in found:
        try:
            record = recorded(each.value, each.partition, each.offset)
        except ValueError:
            others += 1
            continue
        if record.group == group:
            records.append(record)
        else:
            others += 1
    return records, others
