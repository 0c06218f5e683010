"""Bring spans of a topic that is not keyed by trace id to the input topic, each to its trace's key.

Stateless and at least once: an offset is committed when all that was made of the records below it
is safe in the topics it went to. A crash repeats what was not committed; the worker counts spans
that come twice as duplicates.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stream import clock, logs
from stream.companion import GroupLag, Totals
from stream.kafka.acknowledged import Acknowledged, Pending
from stream.kafka.commit import Produce
from stream.kafka.dead_letters import dead_letter
from stream.kafka.group_reader import GroupReader, GroupRecord
from stream.kafka.headers import SIGNAL_HEADER
from stream.kafka.record_producer import RecordProducer
from stream.kafka.topics import ClusterError
from stream.metrics import Metrics
from stream.otlp.fragment import BadSpans, DeadLetterReason
from stream.otlp.scan import ScanPlan, scan
from stream.sampling.control import CONTROL_HEADER

READ_RECORDS_MAX = 500
READ_WAIT_S = 0.1
COMMIT_INTERVAL_S = 0.5
SETTLE_S = 3.0
"""How long what is under way may take when partitions are given up, or at the end."""

IN_FLIGHT_BYTES_MAX = 32 * 1024 * 1024
LIMIT = "rekey_in_flight_bytes"

log = logs.logger("tailstream")


@dataclass(frozen=True, slots=True, kw_only=True)
class RekeyPlan:
    """From where to where. `dead_letter_bytes_max` is what a dead letter's body is cut to."""

    source: str
    target: str
    dead_letters: str
    dead_letter_bytes_max: int
    initial_offset: str


@dataclass(slots=True)
class RekeyCounts:
    """What became of the records that were read.

    `spans` and `keyed` count what is safe in the target: spans and the records that hold them.
    `control` are control records, passed on. `skipped` are records of another signal than traces,
    `no_spans` legal ones without a span; `dead_letters` are counted by reason.
    """

    records: int = 0
    keyed: int = 0
    spans: int = 0
    skipped: int = 0
    no_spans: int = 0
    control: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    lost_to_retention: int = 0


class Rekey:
    """Reads, splits by trace, produces, commits: on one thread.

    `turned_s` is when it last turned, by the monotonic clock.

    Raises:
        ClusterError: a property below `kafka.` that librdkafka does not take.
    """

    def __init__(
        self,
        plan: RekeyPlan,
        consumer: Mapping[str, Any],
        producer: RecordProducer,
        metrics: Metrics,
    ) -> None:
        self.counts = RekeyCounts()
        self.turned_s = clock.monotonic_s()
        self._plan = plan
        self._acknowledged = Acknowledged()
        self._committed_s = clock.monotonic_s()
        self._producer = producer
        self._metrics = metrics
        self._totals = Totals(metrics)
        self._lag = GroupLag(metrics["rekey_lag_records"], metrics["rekey_lag_seconds"])
        self._full = False
        metrics["limit_reached"].labels(LIMIT)
        self._tell_counts()
        self._reader = GroupReader(
            consumer,
            plan.source,
            initial_offset=plan.initial_offset,
            revoked=self._revoked,
            lost=self._acknowledged.forget,
        )

    @property
    def joined(self) -> bool:
        """Whether the group has given us our partitions, be it none."""
        return self._reader.joined

    def run(self, stopping: Callable[[], bool], tell: Callable[[RekeyCounts], None]) -> None:
        """Work until told to stop; then commit what is safe, and leave the group.

        Raises:
            ClusterError: somebody has to grant or mend something first.
            KafkaException: a client cannot go on. What is not committed will be read again.
        """
        try:
            while not stopping():
                self._turn()
                tell(self.counts)
        finally:
            # The group takes the partitions away, which settles and commits them.
            self._reader.close()
            self._producer.close()

    def _turn(self) -> None:
        self._pause_or_go_on()
        for record in self._reader.read(READ_RECORDS_MAX, READ_WAIT_S):
            self._take(record)
        self._producer.poll(0)
        self.counts.lost_to_retention = self._reader.lost_to_retention
        self.turned_s = clock.monotonic_s()
        if self.turned_s - self._committed_s >= COMMIT_INTERVAL_S:
            self._committed_s = self.turned_s
            self._commit()
            self._tell_counts()
            self._lag.measure(self._reader.behind(), clock.now_ms())

    def _pause_or_go_on(self) -> None:
        full = self._producer.in_flight_bytes > IN_FLIGHT_BYTES_MAX
        if full and not self._full:
            self._metrics["limit_reached"].labels(LIMIT).inc()
        self._full = full
        self._reader.hold(paused=full)

    def _tell_counts(self) -> None:
        counts = self.counts
        kinds = ("read", "keyed", "no_spans", "skipped", "control", "lost_to_retention")
        records = {"read": counts.records, **{kind: getattr(counts, kind) for kind in kinds[1:]}}
        self._totals.tell_each("rekey_records", records)
        self._totals.tell("rekey_spans", counts.spans)
        letters = {reason.value: counts.dead_letters[reason] for reason in DeadLetterReason}
        self._totals.tell_each("dead_letters", letters)
        self._metrics["rekey_in_flight_bytes"].set(self._producer.in_flight_bytes)

    def _commit(self) -> None:
        offsets = self._acknowledged.to_commit()
        if self._reader.commit(offsets):
            self._acknowledged.committed(offsets)

    def _take(self, record: GroupRecord) -> None:
        self.counts.records += 1
        pending = self._acknowledged.read(record.partition, record.offset)
        headers = dict(record.headers)
        if headers.get(SIGNAL_HEADER, b"traces") != b"traces":
            self.counts.skipped += 1
        elif CONTROL_HEADER in headers and record.value in (b"", b"{}"):
            # It already has the trace id as its key; the hash of the target is what it lacks.
            self.counts.control += 1
            self._send(pending, record, record.key or b"", record.value)
        else:
            self._split(pending, record)

    def _split(self, pending: Pending, record: GroupRecord) -> None:
        scanned = scan(record.value or b"", ScanPlan())
        self.counts.no_spans += not scanned.fragments and not scanned.bad
        for fragment in scanned.fragments:
            key = fragment.trace_id.hex().encode()
            self._send(pending, record, key, fragment.body, fragment.spans)
        for bad in scanned.bad:
            self._send_dead_letter(pending, record, bad, self._plan.dead_letter_bytes_max)

    def _send(
        self, pending: Pending, record: GroupRecord, key: bytes, value: bytes, spans: int = 0
    ) -> None:
        def delivered() -> None:
            pending.done()
            self.counts.keyed += 1
            self.counts.spans += spans

        bad = BadSpans(DeadLetterReason.UNDELIVERABLE, spans, value)
        bytes_max = self._plan.dead_letter_bytes_max
        pending.pieces += 1
        self._producer.send(
            Produce(self._plan.target, None, key, value, record.headers),
            delivered=delivered,
            refused=partial(self._refuse, pending, record, bad, bytes_max),
            timestamp_ms=record.timestamp_ms,
        )

    def _send_dead_letter(
        self, pending: Pending, record: GroupRecord, bad: BadSpans, bytes_max: int
    ) -> None:
        def delivered() -> None:
            pending.done()
            self.counts.dead_letters[bad.reason] += 1

        letter = dead_letter(
            self._plan.dead_letters,
            bad.reason,
            (self._plan.source, record.partition, record.offset),
            key=record.key,
            body=bad.body,
            bytes_max=bytes_max,
        )
        pending.pieces += 1
        self._producer.send(
            letter,
            delivered=delivered,
            # What is too large even so is reduced to a pointer to where it can be read.
            refused=partial(self._refuse, pending, record, bad, 0)
            if bytes_max
            else self._pointer_refused,
        )

    def _refuse(self, pending: Pending, record: GroupRecord, bad: BadSpans, bytes_max: int) -> None:
        self._send_dead_letter(pending, record, bad, bytes_max)
        pending.done()

    def _pointer_refused(self) -> None:
        name = self._plan.dead_letters
        raise ClusterError(
            f"topics.dead_letters: {name}: takes not even a record of 2 KiB: raise its "
            "max.message.bytes"
        )

    def _revoked(self, partitions: list[int]) -> dict[int, int]:
        if self._producer.flush(SETTLE_S):
            log.warning("not everything was delivered in time: the next member repeats it")
        offsets = self._acknowledged.to_commit(partitions)
        self._acknowledged.forget(partitions)
        return offsets
