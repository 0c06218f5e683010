"""A member of a consumer group that reads one topic, for commands that are done at least once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from stream import clock, logs
from stream.kafka.client_reports import ClientReports
from stream.kafka.commit import Headers
from stream.kafka.errors import GRANT
from stream.kafka.group_offsets import GroupOffsets
from stream.kafka.headers import headers_of
from stream.kafka.topics import ClusterError

CALL_TIMEOUT_S = 10.0
ENDS_ASKED_EVERY_S = 5.0
ENDS_TIMEOUT_S = 2.0

log = logs.logger("tailstream")


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A record as it was read. `timestamp_ms` is None where the topic keeps none.

    `headers` are none where a header's name is not UTF-8: no name of ours is like that.
    """

    partition: int
    offset: int
    timestamp_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Behind:
    """How far behind a partition is: records, and the time of the oldest of them.

    That is the newest one read where no older one waits; None where no time is known. `unheard_s`:
    how long ago the broker was heard of, in seconds.
    """

    records: int
    since_ms: int | None
    unheard_s: float = 0.0


EMPTY: Mapping[int, GroupRecord] = MappingProxyType({})


class GroupReader:
    """Reads the partitions that the group gives to it. One thread at a time.

    `settings` are `client_settings.consumer_settings`: cooperative, or KIP-848.
    `revoked(partitions)` runs inside `read` and `close`, before another member gets the partitions:
    it returns their offsets to commit, as the next record to read. `lost(partitions)` runs where
    they are another member's already. Where the group has never committed, reading starts at
    `initial_offset`: `earliest` or `latest`.
    `lost_to_retention` counts records that the topic deleted before they were read. `joined`: the
    group has given us our partitions, be it none.

    Raises:
        ClusterError: a property below `kafka.` that librdkafka does not take.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        topic: str,
        *,
        initial_offset: str,
        revoked: Callable[[list[int]], Mapping[int, int]],
        lost: Callable[[list[int]], None],
    ) -> None:
        self.lost_to_retention = 0
        self.joined = False
        self._topic = topic
        self._group = str(settings["group.id"])
        self._initial_offset = initial_offset
        self._revoked = revoked
        self._lost = lost
        self._next: dict[int, int | None] = {}
        self._read_ms: dict[int, int | None] = {}
        self._offsets = GroupOffsets()
        self._ends: dict[int, int] = {}
        self._ends_asked_s = self._heard_s = clock.monotonic_s()
        self._paused = False
        self._report = ClientReports()
        ours = {"error_cb": self._report, "log_level": 0}
        try:
            self._consumer = Consumer({**settings, **ours})
        except KafkaException as problem:
            raise ClusterError(
                f"kafka: {problem.args[0].str()}: use the consumer's properties of librdkafka"
            ) from problem
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def read(self, records_max: int, timeout_s: float) -> list[GroupRecord]:
        """Return what has come, waiting at most `timeout_s` for it; serves the group meanwhile.

        Raises:
            ClusterError: somebody has to grant or mend something first.
            KafkaException: the client cannot go on.
        """
        records = []
        for message in self._consumer.consume(1 if self._paused else records_max, timeout_s):
            error = message.error()
            if error is not None:
                self._error(message.partition(), error)
            elif message.partition() in self._next:
                record = _record(message)
                records.append(record)
                self._heard_s = clock.monotonic_s()
                self._next[record.partition] = record.offset + 1
                self._read_ms[record.partition] = record.timestamp_ms
        self._note_positions()
        return records

    def hold(self, *, paused: bool) -> None:
        """Stop or resume the reading, also of partitions yet to come; `read` goes on serving."""
        if paused == self._paused:
            return
        self._paused = paused
        partitions = [TopicPartition(self._topic, number) for number in self._next]
        (self._consumer.pause if paused else self._consumer.resume)(partitions)

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit the next record to read of each partition; False if the group moves on just now.

        To be called again and again, also with nothing new: the client may be behind a marker since
        (`group_offsets`). What was not committed is to be committed again with the next call, if it
        is still ours.
        """
        self._offsets.done(offsets)
        asked = self._offsets.to_commit(self._next)
        if not asked:
            return True
        places = [TopicPartition(self._topic, *pair) for pair in asked.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as problem:
            if problem.args[0].fatal():
                raise
            log.warning("offsets not committed, will be tried again", error=str(problem.args[0]))
            return False
        self._offsets.committed(asked)
        return True

    def behind(self, oldest: Mapping[int, GroupRecord] = EMPTY) -> dict[int, Behind]:
        """Return how far behind each partition is, by the ends heard of last.

        `oldest` are records that were read and are not done with: they and what follows them count.
        A partition whose end nothing was heard of yet is left out. What is held is not fetched, so
        nothing is heard of its end: then the broker is asked, every few seconds; and where nothing
        comes, whether it is there at all.
        """
        self._ask_for_ends()
        unheard_s = clock.monotonic_s() - self._heard_s
        places = [TopicPartition(self._topic, number) for number in self._next]
        found = {}
        for place in self._consumer.position(places):
            low, high = self._consumer.get_watermark_offsets(place, cached=True)
            high = max(high, self._ends.get(place.partition, high))
            if high >= 0:
                # The client's own position is behind a transaction's marker, too.
                position = max(place.offset, self._next[place.partition] or low, low)
                first = oldest.get(place.partition)
                found[place.partition] = Behind(
                    max(0, high - (position if first is None else first.offset)),
                    self._read_ms.get(place.partition) if first is None else first.timestamp_ms,
                    unheard_s,
                )
        return found

    def close(self) -> None:
        """Give up the partitions and leave the group."""
        numbers = list(self._next)
        if numbers:
            # Now: inside the client's own close it is too late for a commit.
            self.commit(self._revoked(numbers))
            self._next.clear()
        self._consumer.close()

    def _note_positions(self) -> None:
        places = [TopicPartition(self._topic, number) for number in self._next]
        found = self._consumer.position(places) if places else []
        self._offsets.client_is_at({p.partition: p.offset for p in found if p.offset >= 0})

    def _on_assign(self, consumer: Any, partitions: Sequence[Any]) -> None:
        self.joined = True
        starts = self._starts(consumer, partitions)
        consumer.incremental_assign(starts)
        for start in starts:
            known = start.offset if start.offset >= 0 else None
            self._next[start.partition] = known
            self._offsets.started(start.partition, known)
        if starts:
            # A pause outlives unassign and assign, so what was paused then must be resumed.
            (consumer.pause if self._paused else consumer.resume)(starts)
        log.info("partitions assigned", partitions=sorted(start.partition for start in starts))

    def _starts(self, consumer: Any, partitions: Sequence[Any]) -> list[Any]:
        starts = []
        for found in consumer.committed(list(partitions), CALL_TIMEOUT_S) if partitions else []:
            if found.error is not None:
                raise KafkaException(found.error)
            offset = found.offset
            if offset < 0 and self._initial_offset == "earliest":
                offset = OFFSET_BEGINNING
            elif offset < 0:
                offset = self._bounds(consumer, found.partition)[1]
                # Or the next member of the group would find nothing, and start at another end.
                first = TopicPartition(self._topic, found.partition, offset)
                consumer.commit(offsets=[first], asynchronous=False)
            starts.append(TopicPartition(self._topic, found.partition, offset))
        return starts

    def _on_revoke(self, consumer: Any, partitions: Sequence[Any]) -> None:
        numbers = [one.partition for one in partitions if one.partition in self._next]
        if numbers:
            self.commit(self._revoked(numbers))
            log.info("partitions revoked", partitions=sorted(numbers))
        self._release(consumer, partitions)

    def _on_lost(self, consumer: Any, partitions: Sequence[Any]) -> None:
        numbers = [partition.partition for partition in partitions]
        log.warning("partitions lost, others go on with them", partitions=sorted(numbers))
        self._lost(numbers)
        self._release(consumer, partitions)

    def _release(self, consumer: Any, partitions: Sequence[Any]) -> None:
        for partition in partitions:
            for known in (self._next, self._read_ms, self._ends):
                known.pop(partition.partition, None)
        self._offsets.forget([partition.partition for partition in partitions])
        consumer.incremental_unassign(list(partitions))

    def _error(self, partition: int, error: Any) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET and partition in self._next:  # noqa: SLF001 - librdkafka's public code
            self._out_of_range(partition)
        elif error.code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            of_group = error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
            denied = f"group {self._group!r}" if of_group else f"topic {self._topic!r}"
            raise ClusterError(f"Kafka: {denied}: {error.str()} (Read is needed: {GRANT})")
        elif error.fatal():
            raise KafkaException(error)
        else:
            self._report(error)

    def _out_of_range(self, partition: int) -> None:
        """Go on at the log's start where it has moved past us, and say how much that skips."""
        low, high = self._bounds(self._consumer, partition)
        wanted = self._next[partition]
        if wanted is not None and wanted > high:
            raise ClusterError(
                f"topic {self._topic!r}, partition {partition}: the group's offset {wanted} is "
                f"above the end of the log ({high}); was the topic made anew? Delete the group "
                "(kafka-consumer-groups.sh --delete), or give it another name"
            )
        if wanted is not None and wanted < low:
            self.lost_to_retention += low - wanted
            log.error("the topic deleted records before they were read", records=low - wanted)
        self._next[partition] = low
        self._offsets.begin_anew(partition)
        start = TopicPartition(self._topic, partition, low)
        # The fetcher has stopped, and a stopped one cannot seek: begin the partition anew.
        self._consumer.incremental_unassign([start])
        self._consumer.incremental_assign([start])
        if self._paused:
            self._consumer.pause([start])

    def _ask_for_ends(self) -> None:
        now_s = clock.monotonic_s()
        quiet = self._paused or now_s - self._heard_s >= ENDS_ASKED_EVERY_S
        if not quiet or now_s - self._ends_asked_s < ENDS_ASKED_EVERY_S:
            return
        self._ends_asked_s = now_s
        try:
            for number in self._next:
                place = TopicPartition(self._topic, number)
                _, self._ends[number] = self._consumer.get_watermark_offsets(
                    place, timeout=ENDS_TIMEOUT_S, cached=False
                )
            self._heard_s = now_s
        except KafkaException as problem:
            self._report(problem.args[0])

    def _bounds(self, consumer: Any, partition: int) -> tuple[int, int]:
        low, high = consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), timeout=CALL_TIMEOUT_S, cached=False
        )
        return low, high


def _record(message: Any) -> GroupRecord:
    kind, timestamp_ms = message.timestamp()
    return GroupRecord(
        message.partition(),
        message.offset(),
        None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        message.key(),
        message.value(),
        list(headers_of(message)),
    )
