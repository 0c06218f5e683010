"""What the broker says of the logs: offsets, ends, decision records. Never the polling consumer.

Its clients join no group, so they may be used from a thread of their own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.kafka.log_state import NO_OFFSET, Identity, LogState

CALL_TIMEOUT_S = 10.0
READ_RECORDS_MAX = 1_000
READ_WAIT_S = 0.1


@dataclass(frozen=True, slots=True)
class Topics:
    """The two logs a worker restores from."""

    input: str
    decisions: str


class PartitionsMissingError(Exception):
    """The decisions topic has fewer partitions than the input: an operator has to add them."""


class LogReader:
    """Reads offsets and logs. One thread at a time, but for `read_decisions`."""

    def __init__(self, connection: dict[str, Any], *, group: str, topics: Topics) -> None:
        self._connection = connection
        self._topics = topics
        # read_committed makes `committed()` wait for transactions that a dead owner left open.
        self._committed = Consumer(
            {**connection, "group.id": group, "isolation.level": "read_committed"}
        )
        self._ends = Consumer(
            {**connection, "group.id": group, "isolation.level": "read_uncommitted"}
        )

    def identity(self) -> Identity:
        """Return which cluster and topic offsets speak of; a broker without topic ids gives none.

        Raises:
            KafkaException: the broker cannot be reached.
        """
        name = self._topics.input
        cluster_id = self._ends.list_topics(name, timeout=CALL_TIMEOUT_S).cluster_id or ""
        try:
            admin = AdminClient(self._connection)
            described = admin.describe_topics(TopicCollection([name]), request_timeout=2.0)
            return Identity(cluster_id, str(described[name].result().topic_id))
        except KafkaException:
            return Identity(cluster_id, "")

    def partitions(self, topic: str) -> int:
        """Return the topic's partition count; 0 if it does not exist."""
        metadata = self._ends.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic]
        return len(metadata.partitions)

    def states(
        self, numbers: Sequence[int], wanted: Callable[[], bool]
    ) -> dict[int, LogState] | None:
        """Return the committed offsets first, the ends after; None once nobody wants them.

        Raises:
            PartitionsMissingError: the decisions topic did not grow with the input.
        """
        self._check_decisions(max(numbers) + 1)
        asked = [TopicPartition(self._topics.input, number) for number in numbers]
        committed = None
        while committed is None:
            if not wanted():
                return None
            committed = self._stable(asked)
        return {found.partition: self._state(found) for found in committed}

    def end(self, number: int) -> int:
        """Return an input partition's end as the broker says it now, open transactions included."""
        return self._watermarks(self._topics.input, number)[1]

    def read_decisions(
        self, number: int, first: int, end: int
    ) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the committed decision records from `first` up to `end`, in runs.

        `end` counts open transactions: where a dead owner left one, this waits until it is ended.
        """
        consumer = Consumer(
            {
                **self._connection,
                "group.id": "tailstream-restore",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
            }
        )
        try:
            consumer.assign([TopicPartition(self._topics.decisions, number, first)])
            position = first
            while position < end:
                messages = consumer.consume(READ_RECORDS_MAX, READ_WAIT_S)
                run, position = _run(messages, position)
                yield run
        finally:
            consumer.close()

    def close(self) -> None:
        """Leave the broker."""
        self._committed.close()
        self._ends.close()

    def _check_decisions(self, wanted: int) -> None:
        name = self._topics.decisions
        partitions = self.partitions(name)
        if partitions < wanted:
            raise PartitionsMissingError(
                f"topics.decisions: {name}: {partitions} partitions, the input has {wanted}: "
                f"add partitions to {name} first, then to {self._topics.input}"
            )

    def _stable(self, asked: list[Any]) -> list[Any] | None:
        """The committed offsets, None while a transaction holds them open."""
        try:
            found: list[Any] = self._committed.committed(asked, CALL_TIMEOUT_S)
        except KafkaException as problem:
            if problem.args[0].code() not in _PASSING:
                raise
            time.sleep(READ_WAIT_S)
            return None
        for one in found:
            if one.error is not None:
                if one.error.code() not in _PASSING:
                    raise KafkaException(one.error)
                return None
        return found

    def _state(self, found: Any) -> LogState:
        start, end = self._watermarks(self._topics.input, found.partition)
        decisions = self._watermarks(self._topics.decisions, found.partition)
        committed = found.offset if found.offset >= 0 else NO_OFFSET
        return LogState(committed, found.metadata, start, end, *decisions)

    def _watermarks(self, topic: str, number: int) -> tuple[int, int]:
        low, high = self._ends.get_watermark_offsets(
            TopicPartition(topic, number), timeout=CALL_TIMEOUT_S, cached=False
        )
        return low, high


_PASSING = frozenset(
    {
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._TIMED_OUT,  # noqa: SLF001 - librdkafka's public code
        KafkaError._TRANSPORT,  # noqa: SLF001 - as above
        KafkaError._WAIT_COORD,  # noqa: SLF001 - as above
    }
)


def _run(messages: list[Any], position: int) -> tuple[list[tuple[int, bytes]], int]:
    run: list[tuple[int, bytes]] = []
    for message in messages:
        error = message.error()
        if error is None:
            run.append((message.offset(), message.value() or b""))
            position = message.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
            position = max(position, message.offset())
        elif error.code() not in _PASSING:
            raise KafkaException(error)
    return run, position
