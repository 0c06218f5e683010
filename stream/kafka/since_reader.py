"""Reads partitions of a topic from a time on, to where they end now."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from stream import clock
from stream.kafka.client_log import LOGGER
from stream.kafka.closing import Closing
from stream.kafka.errors import is_end_of_partition, is_group_refused, is_passing, not_readable
from stream.kafka.headers import headers_of
from stream.kafka.topic_reader import ReadRecord

CALL_TIMEOUT_S: Final = 10.0
READ_RECORDS_MAX: Final = 1_000
READ_WAIT_S: Final = 0.5
SILENCE_MAX_S: Final = 60.0


class SinceReader(Closing):
    """A `read_committed` reader of one topic; commits nothing, joins no group.

    `records` counts those that it has read, wanted or not.
    """

    def __init__(self, connection: Mapping[str, Any], topic: str) -> None:
        self.records = 0
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

    def partitions(self) -> int:
        """Return the topic's partition count.

        Raises:
            KafkaException: the broker cannot be reached, or has no such topic.
        """
        metadata = self._consumer.list_topics(self._topic, CALL_TIMEOUT_S).topics[self._topic]
        if metadata.error is not None:
            text = f"topic {self._topic!r}: {metadata.error.str()}"
            raise KafkaException(KafkaError(metadata.error.code(), text))
        return len(metadata.partitions)

    def read(
        self, numbers: Iterable[int], since_ms: int, wanted: Callable[[bytes, bytes], bool]
    ) -> Iterator[ReadRecord]:
        """Yield the records whose (key, value) is wanted, written since then (Unix milliseconds).

        In the order of each partition, up to its end as it is when that is reached.

        Raises:
            KafkaException: the broker cannot be reached, or falls silent.
        """
        asked = [TopicPartition(self._topic, number, since_ms) for number in numbers]
        if not asked:
            return
        starts = self._consumer.offsets_for_times(asked, CALL_TIMEOUT_S)
        left = {start.partition for start in starts if start.offset not in (-1, OFFSET_END)}
        self._consumer.assign([start for start in starts if start.partition in left])
        for message in self._messages(left):
            self.records += 1
            key, value = message.key() or b"", message.value() or b""
            if wanted(key, value):
                headers = list(headers_of(message))
                place = (message.topic(), message.partition(), message.offset())
                yield ReadRecord(*place, key, value, headers, message.timestamp()[1])

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

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
                elif not (is_passing(error) or is_group_refused(error)):
                    raise not_readable(error, self._topic)
            if clock.monotonic_s() > heard_s + SILENCE_MAX_S:
                text = f"nothing was heard of {self._topic!r} for {SILENCE_MAX_S:.0f} s"
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, text))  # noqa: SLF001 - librdkafka's public code
