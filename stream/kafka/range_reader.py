"""Reads some records of a partition again, by their offsets, on a client of its own."""

from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from stream import clock
from stream.kafka.client_log import LOGGER
from stream.kafka.errors import is_end_of_partition, is_group_refused, is_passing, not_readable
from stream.kafka.scan_note import OffsetRange

READ_RECORDS_MAX = 100
READ_WAIT_S = 0.1
SILENCE_MAX_S = 60.0


def read_range(
    connection: dict[str, Any], topic: str, wanted: OffsetRange
) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, value) of the records that the log still holds, those with a value.

    Raises:
        KafkaException: the broker does not answer, or refuses.
    """
    reader = Consumer(
        {
            **connection,
            "group.id": "tailstream-range",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        },
        logger=LOGGER,
    )
    try:
        reader.assign([TopicPartition(topic, wanted.partition, wanted.first)])
        yield from _records(reader, wanted)
    finally:
        reader.close()


def _records(reader: Any, wanted: OffsetRange) -> Iterator[tuple[int, bytes]]:
    heard_s = clock.monotonic_s()
    while clock.monotonic_s() < heard_s + SILENCE_MAX_S:
        for message in reader.consume(READ_RECORDS_MAX, READ_WAIT_S):
            error = message.error()
            if error is not None:
                if is_end_of_partition(error):
                    return
                if not (is_passing(error) or is_group_refused(error)):
                    raise not_readable(error, message.topic() or "")
                continue
            if message.offset() > wanted.last:
                return
            if message.value():
                yield message.offset(), message.value()
            heard_s = clock.monotonic_s()
