"""Reads whole topics from their start, in the order of each partition, as they grow."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from stream.kafka.closing import Closing
from stream.kafka.errors import is_end_of_partition, is_group_refused, not_readable
from stream.kafka.headers import headers_of

CALL_TIMEOUT_S = 10.0
READ_RECORDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A record as it was read. `headers` in their order; `time_ms` its timestamp, Unix ms."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    time_ms: int = 0


class TopicReader(Closing):
    """A `read_committed` reader of all partitions of `topics`; commits nothing, joins no group.

    It begins at the start of each partition, or with what comes from now on.

    Raises:
        KafkaException: the broker cannot be reached, or has no such topic.
    """

    def __init__(
        self, connection: Mapping[str, Any], topics: Sequence[str], *, from_end: bool = False
    ) -> None:
        self._consumer = Consumer(
            {
                **connection,
                "group.id": "tailstream-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
            }
        )
        self._consumer.assign(
            [
                TopicPartition(topic, partition, OFFSET_END if from_end else OFFSET_BEGINNING)
                for topic in topics
                for partition in self._partitions(topic)
            ]
        )

    def read(self, timeout_s: float) -> Iterator[ReadRecord]:
        """Yield what has come, waiting at most `timeout_s` for it."""
        for message in self._consumer.consume(READ_RECORDS_MAX, timeout_s):
            error = message.error()
            if error is None:
                yield ReadRecord(
                    message.topic(),
                    message.partition(),
                    message.offset(),
                    message.key() or b"",
                    message.value() or b"",
                    list(headers_of(message)),
                    message.timestamp()[1],
                )
            elif not (is_end_of_partition(error) or is_group_refused(error)):
                raise not_readable(error, message.topic() or "")

    def _partitions(self, topic: str) -> list[int]:
        found = self._consumer.list_topics(topic, CALL_TIMEOUT_S).topics[topic]
        if found.error is not None:
            # Without partitions it would wait for ever, and say nothing.
            self._consumer.close()
            raise KafkaException(
                KafkaError(found.error.code(), f"topic {topic!r}: {found.error.str()}")
            )
        return list(found.partitions)

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
