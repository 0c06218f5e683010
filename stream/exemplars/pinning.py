"""The Kafka side of `tailstream exemplars`, on one thread: reads metrics, writes pins, commits.

An offset is committed when the pins of all records below it are acknowledged. A crash repeats what
was not committed: a pin that comes twice does what it does once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stream import clock, logs
from stream.companion import GroupLag
from stream.exemplars.exemplar import Exemplar
from stream.exemplars.otlp_metrics import read_metrics
from stream.exemplars.pins import PinRules, Pins
from stream.kafka.acknowledged import Acknowledged
from stream.kafka.control_records import ControlRecords
from stream.kafka.group_reader import GroupReader, GroupRecord
from stream.kafka.headers import SIGNAL_HEADER
from stream.metrics import Metrics
from stream.otlp.wire import Malformed

READ_RECORDS_MAX: Final = 500
READ_WAIT_S: Final = 0.1
COMMIT_INTERVAL_S: Final = 0.5
RECORDS: Final = ("read", "malformed", "skipped", "lost_to_retention")
LIMIT: Final = "pins_under_way_max"
UNDER_WAY_MAX: Final = 50_000
"""Control records that are not acknowledged; above it nothing is read: outages are waited for."""

SETTLE_S: Final = 3.0
"""How long what is under way may take when partitions are given up, or at the end."""

MALFORMED_TOLD_EVERY_S: Final = 10.0

log = logs.logger("tailstream")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read: a topic of OTLP metrics, as a member of a group.

    `consumer` are `client_settings.consumer_settings`.
    """

    topic: str
    initial_offset: str
    consumer: Mapping[str, Any]


class Pinning:
    """Reads, if there is something to read, and pins. One thread, after `join`.

    `turned_s` is when it last turned, by the monotonic clock.
    """

    def __init__(
        self, reading: Reading | None, records: ControlRecords, rules: PinRules, metrics: Metrics
    ) -> None:
        self.turned_s = clock.monotonic_s()
        self.joined = False
        self._reading = reading
        self._records = records
        self._metrics = metrics
        for kind in RECORDS:
            # From 0 on: the first one is a rise.
            metrics["exemplars_records"].labels(kind)
        self._pins = Pins(records, rules, metrics, clock.now_ms)
        self._acknowledged = Acknowledged()
        self._reader: GroupReader | None = None
        self._committed_s = clock.monotonic_s()
        self._was_full = False
        self._lost_records = 0
        self._lag = GroupLag(metrics["exemplars_lag_records"], metrics["exemplars_lag_seconds"])
        self._malformed_untold = 0
        self._malformed_told_s = clock.monotonic_s() - MALFORMED_TOLD_EVERY_S

    @property
    def is_full(self) -> bool:
        """Whether so much is under way that nothing more should be taken."""
        return self._records.under_way >= UNDER_WAY_MAX

    def join(self) -> None:
        """Join the group.

        Raises:
            ClusterError: a property below `kafka.` that librdkafka does not take.
        """
        if self._reading is None:
            self.joined = True
            return
        self._reader = GroupReader(
            self._reading.consumer,
            self._reading.topic,
            initial_offset=self._reading.initial_offset,
            revoked=self._revoked,
            lost=self._lost,
        )

    def turn(self) -> None:
        """Read what is there, pin, and commit when it is time.

        Raises:
            ClusterError: somebody has to grant or mend something first.
            KafkaException: a client cannot go on. What is not committed will be read again.
        """
        if self._reader is None:
            self._records.poll(READ_WAIT_S)
        else:
            self._read(self._reader)
            self._records.poll()
        now_s = clock.monotonic_s()
        if self._reader is not None and now_s - self._committed_s >= COMMIT_INTERVAL_S:
            self._committed_s = now_s
            self._commit(self._reader)
            self._lag.measure(self._reader.behind(), clock.now_ms())
        self._metrics["exemplars_pins_under_way"].set(len(self._pins))
        self.turned_s = now_s

    def take(self, exemplars: Sequence[Exemplar], source: str) -> None:
        """Pin the traces of exemplars that came another way."""
        self._pins.take(exemplars, source)

    def close(self) -> None:
        """Settle what is under way, commit it, leave the group, disconnect."""
        if self._reader is not None:
            # The group takes the partitions away, which settles and commits them.
            self._reader.close()
        else:
            self._settle()
        self._records.close()

    def _read(self, reader: GroupReader) -> None:
        is_full = self.is_full
        if is_full and not self._was_full:
            self._metrics["limit_reached"].labels(LIMIT).inc()
        self._was_full = is_full
        reader.hold(paused=is_full)
        for record in reader.read(READ_RECORDS_MAX, READ_WAIT_S):
            self._take(record)
        self.joined = reader.joined
        lost = reader.lost_to_retention - self._lost_records
        if lost:
            self._count("lost_to_retention", lost)
            self._lost_records += lost

    def _take(self, record: GroupRecord) -> None:
        pending = self._acknowledged.read(record.partition, record.offset)
        if dict(record.headers).get(SIGNAL_HEADER, b"metrics") != b"metrics":
            self._count("skipped")
            return
        try:
            found = read_metrics(record.value or b"")
        except Malformed as problem:
            self._count("malformed")
            self._tell_malformed(record, problem)
            return
        self._count("read")
        self._metrics["exemplars_data_points"].inc(found.data_points)
        if found.exemplars:
            self._pins.take(found.exemplars, "kafka", pending)

    def _tell_malformed(self, record: GroupRecord, problem: Malformed) -> None:
        self._malformed_untold += 1
        if clock.monotonic_s() - self._malformed_told_s < MALFORMED_TOLD_EVERY_S:
            return
        self._malformed_told_s = clock.monotonic_s()
        log.warning(
            "a record of metrics cannot be read, and is left out",
            record=f"{record.partition}@{record.offset}",
            why=str(problem),
            since_the_last_line=self._malformed_untold,
        )
        self._malformed_untold = 0

    def _commit(self, reader: GroupReader) -> None:
        offsets = self._acknowledged.to_commit()
        if reader.commit(offsets):
            self._acknowledged.committed(offsets)

    def _count(self, kind: str, records: int = 1) -> None:
        self._metrics["exemplars_records"].labels(kind).inc(records)

    def _settle(self) -> None:
        if self._records.flush(SETTLE_S):
            log.warning("not every pin was acknowledged in time: the next member repeats them")

    def _revoked(self, partitions: list[int]) -> dict[int, int]:
        self._settle()
        offsets = self._acknowledged.to_commit(partitions)
        self._acknowledged.forget(partitions)
        return offsets

    def _lost(self, partitions: list[int]) -> None:
        self._acknowledged.forget(partitions)
