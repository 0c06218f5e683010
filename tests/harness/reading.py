"""Reads whole topics back, as a consumer that sees committed records only."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from tests.harness.topics import end_offsets

READ_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as the broker holds it."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]


def read_whole(
    bootstrap: str,
    topic: str,
    *,
    only: Collection[int] | None = None,
    isolation: str = "read_committed",
) -> list[Stored]:
    """Return a topic's committed records (`only` of these partitions): by partition and offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tailstream-test-reader",
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",  # a fresh topic may call offset 0 out of range
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # an end is told after a fetch that found nothing
        }
    )
    partitions = set(end_offsets(bootstrap, topic) if only is None else only)
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    try:
        records = _until_all_ends(consumer, partitions)
    finally:
        consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def _until_all_ends(consumer: Consumer, waiting: set[int]) -> list[Stored]:
    records: list[Stored] = []
    until_s = time.monotonic() + READ_TIMEOUT_S
    while waiting:
        assert time.monotonic() < until_s, f"no end seen of partitions {sorted(waiting)}"
        for message in consumer.consume(5000, 0.2):
            error = message.error()
            if error is None:
                records.append(_stored(message))
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                waiting.discard(message.partition())
    return records


def _stored(message: Message) -> Stored:
    return Stored(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key() or b"",
        message.value() or b"",
        _headers(message.headers()),
    )


def _headers(pairs: Sequence[tuple[str, bytes]] | None) -> dict[str, bytes]:
    headers = dict(pairs or [])
    assert len(headers) == len(pairs or []), "a header came twice"
    return headers
