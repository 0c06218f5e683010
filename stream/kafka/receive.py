"""One poll's messages, scanned and grouped by partition. Runs on the poll thread.

Where the compiled core runs, it receives the plain records (`_receive.pyx`); what is here receives
every other, and all of them where it does not.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE

from stream import compiled
from stream.kafka.headers import headers_of, kind_of, read_control
from stream.kafka.partitioner import Partitioner
from stream.kafka.scan_note import Scanning
from stream.otlp.fragment import BadSpans, DeadLetterReason, Scanned
from stream.otlp.scan import ScanPlan, scan
from stream.sampling.record import NO_TIMESTAMP, Headers, Record, RecordKind

if TYPE_CHECKING or compiled.RUNS:
    from stream.kafka import _receive
    from stream.otlp._scan import Scanner

HASHED_KEY_BYTES_MAX = 1_024
"""A longer key is no trace id, and hashing a megabyte would hold up the poll for a tenth of a
second: it counts as `key_mismatch`, never as `misrouted`."""


@dataclass(slots=True)
class Batch:
    """The records of one partition from one poll. The messages are gone by then.

    `size` is the bytes they hold, `epoch` tells one assignment of the partition from the next.
    `log_append_time`: the broker stamped them, so their times need no clamp. `keys` counts records
    whose key is not their trace id (`key_mismatch`) or belongs elsewhere (`misrouted`), and those
    that are legal and hold none (`no_spans`). Offsets in `poison` are not scanned.
    """

    partition: int
    epoch: int
    records: Sequence[Record] = field(default_factory=list)
    size: int = 0
    log_append_time: bool = True
    keys: Counter[str] = field(default_factory=Counter)
    poison: frozenset[int] = frozenset()


class Receiver:
    """Turns messages into batches.

    `partitions` is the input's partition count, 0 while it is not known: then no record can be
    called misrouted. Headers named in `copy_headers` stay with their records.
    `note` is told of each poll's scan, so that a death in it is known to the next process;
    `poison` holds by partition the offsets of records that are dead letters unscanned. `scans`
    counts the beginnings and ends of scans: odd while one is under way.
    """

    def __init__(
        self,
        plan: ScanPlan,
        partitioner: Partitioner,
        partitions: int = 0,
        copy_headers: Iterable[str] = (),
        *,
        scan: Callable[[bytes, ScanPlan], Scanned] = scan,
        note: Scanning | None = None,
    ) -> None:
        self.partitions = partitions
        self.poison: Mapping[int, frozenset[int]] = {}
        self.scans = 0
        self._scan_record = scan
        self._note = note
        self._copy_headers = frozenset(copy_headers)
        self._plan = plan
        self._partitioner = partitioner

    def receive(
        self, messages: Sequence[Any], epochs: dict[int, int], errors: list[Any]
    ) -> list[Batch]:
        """Return a batch for each partition in `epochs`; messages of others are stale.

        The client's errors, which come as messages too, are added to `errors`, but for what is
        said of a partition that is not in `epochs` (any more).
        """
        self.scans += 1
        if self._note is not None:
            self._note.begin(messages)
        batches = self._receive(messages, epochs, errors)
        # Not in a `finally`: an exception ends the process, and the scan may be its cause.
        if self._note is not None:
            self._note.end()
        self.scans += 1
        return batches

    def _receive(
        self, messages: Sequence[Any], epochs: dict[int, int], errors: list[Any]
    ) -> list[Batch]:
        # A scanner that is not ours is asked for every record, and so is a partitioner.
        if self._plan.scanner and self._scan_record is scan and _receive.knows(self._partitioner):
            return self._receive_rows(self._plan.scanner, messages, epochs, errors)
        return self._receive_records(messages, epochs, errors)

    def _receive_rows(
        self,
        scanner: "Scanner",
        messages: Sequence[Any],
        epochs: dict[int, int],
        errors: list[Any],
    ) -> list[Batch]:
        batches = []
        for received in _receive.receive(
            messages,
            epochs,
            errors,
            scanner,
            self._partitioner,
            self.partitions,
            HASHED_KEY_BYTES_MAX,
            self._copy_headers,
            self.poison,
        ):
            batch = self._batch(received.partition, epochs[received.partition])
            batch.records = rows = received.rows
            batch.size = received.size
            batch.log_append_time = received.log_append_time
            if received.mismatched:
                batch.keys["key_mismatch"] = received.mismatched
            if received.misrouted:
                batch.keys["misrouted"] = received.misrouted
            if received.no_spans:
                batch.keys["no_spans"] = received.no_spans
            for index, offset, timestamp_ms, value, key, headers in received.odd:
                record = self._record(batch, offset, timestamp_ms, value, key, headers)
                rows.put_aside(index, record)
            batches.append(batch)
        return batches

    def _receive_records(
        self, messages: Sequence[Any], epochs: dict[int, int], errors: list[Any]
    ) -> list[Batch]:
        batches: dict[int, Batch] = {}
        records: dict[int, list[Record]] = {}
        for message in messages:
            number = message.partition()
            if message.error() is not None:
                if number is None or number < 0 or number in epochs:
                    errors.append(message.error())
                continue
            batch = batches.get(number)
            if batch is None:
                epoch = epochs.get(number)
                if epoch is None:
                    continue
                batch = batches[number] = self._batch(number, epoch)
                batch.records = records[number] = []
            records[number].append(self._received(batch, message))
        return list(batches.values())

    def _batch(self, number: int, epoch: int) -> Batch:
        return Batch(number, epoch, poison=self.poison.get(number, frozenset()))

    def _received(self, batch: Batch, message: Any) -> Record:
        kind, timestamp_ms = message.timestamp()
        if kind != TIMESTAMP_LOG_APPEND_TIME:
            batch.log_append_time = False
        if kind == TIMESTAMP_NOT_AVAILABLE:
            timestamp_ms = NO_TIMESTAMP
        value, key, headers = message.value(), message.key(), headers_of(message)
        return self._record(batch, message.offset(), timestamp_ms, value, key, headers)

    def _record(
        self,
        batch: Batch,
        offset: int,
        timestamp_ms: int,
        value: bytes | None,
        key: bytes | None,
        headers: Headers,
    ) -> Record:
        """Return the record, scanned, and count in the batch what is to be counted of it."""
        record = Record(offset, timestamp_ms, kind_of(headers, value), key=key)
        if headers and self._copy_headers:
            record.headers = [h for h in headers if h[0] in self._copy_headers and h[1] is not None]
        if record.kind is RecordKind.SPANS:
            self._scan(batch, record, value or b"")
        elif record.kind is RecordKind.CONTROL:
            read_control(record, headers)
        # A record of several traces is split, and then holds their common envelopes many times.
        bodies = sum([len(fragment.body) for fragment in record.fragments])
        batch.size += max(bodies, len(value or b"")) + len(key or b"")
        return record

    def _scan(self, batch: Batch, record: Record, value: bytes) -> None:
        if not value:
            record.bad = [BadSpans(DeadLetterReason.EMPTY, 1, b"")]
            return
        if record.offset in batch.poison:
            record.bad = [BadSpans(DeadLetterReason.POISON, 1, value)]
            return
        scanned = self._scan_record(value, self._plan)
        record.fragments, record.bad = scanned.fragments, scanned.bad
        if not record.fragments and not record.bad:
            batch.keys["no_spans"] += 1
        self._check_key(batch, record)

    def _check_key(self, batch: Batch, record: Record) -> None:
        key = record.key
        if any(key != fragment.trace_id.hex().encode() for fragment in record.fragments):
            batch.keys["key_mismatch"] += 1
        count = self.partitions
        if not key or not count or len(key) > HASHED_KEY_BYTES_MAX:
            return
        if self._partitioner(key, count) != batch.partition:
            batch.keys["misrouted"] += 1
