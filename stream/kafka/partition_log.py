"""What must be known of one partition's logs before it is read: offsets, ends, decisions.

A restore has clients of its own: it may wait long for a transaction that a dead owner left open,
and nothing else must wait for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.kafka.client_log import LOGGER
from stream.kafka.closing import Closing
from stream.kafka.errors import is_end_of_partition, is_group_refused, is_passing, not_readable
from stream.kafka.log_state import NO_OFFSET, LogState

CALL_TIMEOUT_S = 10.0
STABLE_TIMEOUT_S = 1.0
READ_RECORDS_MAX = 1_000
READ_WAIT_S = 0.1
EMPTY_READS_MAX = 50


class PartitionsMissingError(Exception):
    """The decisions topic has fewer partitions than the input: an operator has to add them."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The two logs a worker restores from."""

    input: str
    decisions: str


class PartitionLog(Closing):
    """One input partition and its decisions. `wanted` says whether the restore still matters."""

    def __init__(
        self,
        connection: dict[str, Any],
        *,
        group: str,
        topics: Topics,
        number: int,
        wanted: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._number = number
        self.waits_for = ""
        self._wanted = wanted
        # read_committed makes `committed()` wait for transactions that a dead owner left open.
        self._committed = Consumer(
            {**connection, "group.id": group, "isolation.level": "read_committed"},
            logger=LOGGER,
        )
        self._ends = Consumer(
            {**connection, "group.id": group, "isolation.level": "read_uncommitted"},
            logger=LOGGER,
        )

    def state(self) -> LogState | None:
        """Return the committed offset first, the ends after; None to be asked again later.

        Takes about a second at most while a dead owner's transaction holds the offset open.

        Raises:
            PartitionsMissingError: the decisions topic did not grow with the input.
        """
        try:
            committed = self._stable_offset()
            self._check_partitions()
            ends = self._watermarks(self._topics.input)
            return LogState(*committed, *ends, *self._watermarks(self._topics.decisions))
        except KafkaException as problem:
            if not is_passing(problem.args[0]):
                raise
            self.waits_for = problem.args[0].str()
            return None

    def decisions(self, first: int, end: int) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the committed decision records from `first` up to `end`, in runs, while wanted.

        A run comes at least every tenth of a second, if need be an empty one.

        `end` counts open transactions: where a dead owner left one, this waits until it is ended.
        """
        # Made here and not before: a client that has been idle takes a second to begin to fetch.
        reader = Consumer(
            {
                **self._connection,
                "group.id": "tailstream-restore",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
            },
            logger=LOGGER,
        )
        try:
            reader.assign([TopicPartition(self._topics.decisions, self._number, first)])
            yield from self._runs(reader, first, end)
        finally:
            reader.close()

    def close(self) -> None:
        """Leave the broker."""
        self._committed.close()
        self._ends.close()

    def _stable_offset(self) -> tuple[int, str | None]:
        asked = [TopicPartition(self._topics.input, self._number)]
        (found,) = self._committed.committed(asked, STABLE_TIMEOUT_S)
        if found.error is not None:
            raise KafkaException(found.error)
        return (found.offset if found.offset >= 0 else NO_OFFSET), found.metadata

    def _check_partitions(self) -> None:
        name = self._topics.decisions
        metadata = self._ends.list_topics(name, timeout=CALL_TIMEOUT_S)
        partitions = len(metadata.topics[name].partitions)
        if 0 < partitions <= self._number:
            raise PartitionsMissingError(
                f"topics.decisions: {name}: {partitions} partitions, but the input has a partition "
                f"{self._number}: add partitions to {name} first, then to {self._topics.input}"
            )
        # The client must know of partitions that were added since it last looked.
        self._ends.list_topics(self._topics.input, timeout=CALL_TIMEOUT_S)

    def _watermarks(self, topic: str) -> tuple[int, int]:
        low, high = self._ends.get_watermark_offsets(
            TopicPartition(topic, self._number), timeout=CALL_TIMEOUT_S, cached=False
        )
        return low, high

    def _runs(self, reader: Any, position: int, end: int) -> Iterator[list[tuple[int, bytes]]]:
        empty = 0
        while position < end and self._wanted():
            run, position = _run(reader, position)
            yield run
            empty = 0 if run else empty + 1
            if empty >= EMPTY_READS_MAX:
                # The log may have been cut meanwhile: it cannot reach what it no longer holds.
                empty = 0
                state = self.state()
                end = min(end, state.decisions_end) if state else end


def _run(reader: Any, position: int) -> tuple[list[tuple[int, bytes]], int]:
    run: list[tuple[int, bytes]] = []
    for message in reader.consume(READ_RECORDS_MAX, READ_WAIT_S):
        error = message.error()
        if error is None:
            run.append((message.offset(), message.value() or b""))
            position = message.offset() + 1
        elif is_end_of_partition(error):
            position = max(position, message.offset())
        elif not (is_passing(error) or is_group_refused(error)):
            raise not_readable(error, message.topic() or "")
    return run, position
