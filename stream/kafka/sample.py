"""Reads a topic's most recent records, without joining a group or committing anything."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.kafka.errors import is_group_refused
from stream.kafka.headers import SIGNAL_HEADER, headers_of
from stream.kafka.keying import SampledRecord
from stream.kafka.topics import REQUEST_TIMEOUT_S, Complaints
from stream.sampling.control import CONTROL_HEADER

RECORDS_MAX = 1_000
BYTES_MAX = 64 * 1024 * 1024
POLL_S = 0.25
QUIET_POLLS_MAX = 20
"""Polls in a row without an answer, after which what was read must do: 5 s."""

PARTITION_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - a code of librdkafka itself


def read_recent(
    kafka: Mapping[str, Any],
    topic: str,
    partitions: int,
    *,
    group: str,
    records_max: int = RECORDS_MAX,
) -> list[SampledRecord]:
    """Return up to `records_max` of the newest records of spans, shared out over the partitions.

    Leaves out control records and other signals, and stops early at 64 MiB. librdkafka wants a
    group's name, and a broker may check the permission for it; the group is never joined.

    Raises:
        ClusterError: no broker answers, or it does not allow the reading.
    """
    complaints = Complaints(kafka)
    settings = {
        **kafka,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        # An unfinished transaction in the input must not hide what is there to be judged.
        "isolation.level": "read_uncommitted",
    }
    consumer = complaints.client(Consumer, settings)
    try:
        starts = _starts(consumer, topic, partitions, records_max)
        consumer.assign(starts)
        return _read(consumer, {start.partition for start in starts}, records_max)
    except KafkaException as problem:
        raise complaints.explained(problem.args[0], f"read topic {topic!r}") from None
    finally:
        consumer.close()


def share(available: Mapping[int, int], records_max: int) -> dict[int, int]:
    """Return how many of the available records to read of each partition: equal shares.

    What a partition cannot give of its share goes to those that hold more. Empty ones are left out.
    """
    shares = {}
    left = records_max
    holding = sorted((count, number) for number, count in available.items() if count > 0)
    for place, (count, number) in enumerate(holding):
        shares[number] = min(count, left // (len(holding) - place))
        left -= shares[number]
    return {number: count for number, count in shares.items() if count}


def _starts(consumer: Any, topic: str, partitions: int, records_max: int) -> list[TopicPartition]:
    bounds = {
        number: consumer.get_watermark_offsets(
            TopicPartition(topic, number), timeout=REQUEST_TIMEOUT_S
        )
        for number in range(partitions)
    }
    shares = share({number: high - low for number, (low, high) in bounds.items()}, records_max)
    return [
        TopicPartition(topic, number, bounds[number][1] - count) for number, count in shares.items()
    ]


def _read(consumer: Any, unfinished: set[int], records_max: int) -> list[SampledRecord]:
    """Read until every partition's end was met, or nothing comes any more."""
    records: list[SampledRecord] = []
    quiet_polls = read_bytes = 0
    while unfinished and quiet_polls < QUIET_POLLS_MAX and read_bytes < BYTES_MAX:
        messages = consumer.consume(records_max, POLL_S)
        quiet_polls = 0 if messages else quiet_polls + 1
        for message in messages:
            if message.error() is None:
                read_bytes += len(message)
                if len(records) < records_max and _holds_spans(message):
                    value = message.value() or b""
                    records.append(SampledRecord(message.partition(), message.key(), value))
            elif message.error().code() == PARTITION_EOF:
                unfinished.discard(message.partition())
            elif not is_group_refused(message.error()):
                raise KafkaException(message.error())
    return records


def _holds_spans(message: Any) -> bool:
    return not any(
        name == CONTROL_HEADER or (name == SIGNAL_HEADER and content != b"traces")
        for name, content in headers_of(message)
    )
