"""Finds one trace's decision records in the decisions topic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from stream import clock
from stream.kafka.client_settings import LOGGER
from stream.kafka.closing import Closing
from stream.kafka.errors import is_end_of_partition, is_passing
from stream.kafka.partitioner import Partitioner

CALL_TIMEOUT_S: Final = 10.0
READ_RECORDS_MAX: Final = 1_000
READ_WAIT_S: Final = 0.5
SILENCE_MAX_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """A record of the trace: where it lies, and its value."""

    partition: int
    offset: int
    value: bytes


class DecisionReader(Closing):
    """A `read_committed` reader of the decisions topic; commits nothing, joins no group."""

    def __init__(self, connection: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                **connection,
                "group.id": "tailstream-explain",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
            },
            logger=LOGGER,
        )

    def find(self, key: bytes, since_ms: int, partitioner: Partitioner) -> list[Found]:
        """Return the records with this key that were written since then (Unix milliseconds).

        The partition that the key hashes to is read first, the others only if it has none.

        Raises:
            KafkaException: the broker cannot be reached, has no such topic, or falls silent.
        """
        count = self._partitions()
        own = partitioner(key, count)
        found = self._read(key, since_ms, {own})
        return found or self._read(key, since_ms, set(range(count)) - {own})

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _partitions(self) -> int:
        metadata = self._consumer.list_topics(self._topic, CALL_TIMEOUT_S).topics[self._topic]
        if metadata.error is not None:
            text = f"topic {self._topic!r}: {metadata.error.str()}"
            raise KafkaException(KafkaError(metadata.error.code(), text))
        return len(metadata.partitions)

    def _read(self, key: bytes, since_ms: int, numbers: set[int]) -> list[Found]:
        asked = [TopicPartition(self._topic, number, since_ms) for number in numbers]
        if not asked:
            return []
        starts = self._consumer.offsets_for_times(asked, CALL_TIMEOUT_S)
        left = {start.partition for start in starts if start.offset not in (-1, OFFSET_END)}
        self._consumer.assign([start for start in starts if start.partition in left])
        return [
            Found(message.partition(), message.offset(), message.value())
            for message in self._messages(left)
            if message.key() == key and message.value()
        ]

    def _messages(self, left: set[int]) -> Iterator[Any]:
        heard_s = clock.monotonic_s()
        while left:
            for message in self._consumer.consume(READ_RECORDS_MAX, READ_WAIT_S):
                heard_s = clock.monotonic_s()
                error = message.error()
                if error is None:
                    yield message
                elif is_end_of_partition(error):
                    left.discard(message.partition())
                elif not is_passing(error):
                    raise KafkaException(error)
            if clock.monotonic_s() > heard_s + SILENCE_MAX_S:
                text = f"nothing was heard of {self._topic!r} for {SILENCE_MAX_S:.0f} s"
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, text))  # noqa: SLF001 - librdkafka's public code
