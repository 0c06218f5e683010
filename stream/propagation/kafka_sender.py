"""A Kafka producer that an application may lean on: bounded, accounted for, never in its way.

librdkafka's queue is the buffer, its delivery reports are the account. They are served inside our
own calls, so there is no thread of ours, and a fork has nothing to lose but what was under way.
"""

import ctypes
import logging
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Literal

from confluent_kafka import KafkaError, KafkaException

# Not `confluent_kafka.Producer`: instrumentation replaces that one, and would trace the exporter.
from confluent_kafka.cimpl import Producer
from opentelemetry import context as context_api

from stream import clock
from stream.propagation.delivery import Delivery
from stream.propagation.export_counts import DropReason, ExportCounts, Tally
from stream.propagation.record import Record, Unfit

POLL_S: Final = 0.1
PURGE_S: Final = 1.0
SAID_AGAIN_AFTER_S: Final = 10.0
"""How long a complaint of one kind stays the last of its kind in the log."""
BEGUN_AGAIN_AFTER_S: Final = 10.0
"""How long after a fatal error the next producer is made."""

REASONS: Final[Mapping[int, DropReason]] = {
    KafkaError._MSG_TIMED_OUT: DropReason.TIMED_OUT,  # noqa: SLF001 - librdkafka's own codes
    KafkaError._PURGE_QUEUE: DropReason.SHUTDOWN,  # noqa: SLF001 - as above
    KafkaError._PURGE_INFLIGHT: DropReason.SHUTDOWN,  # noqa: SLF001 - as above
    KafkaError.MSG_SIZE_TOO_LARGE: DropReason.TOO_LARGE,
}

log = logging.getLogger("tailstream.propagation")


class KafkaSender:
    """Sends records to one topic, for several threads. Nothing that Kafka does raises in here.

    Raises:
        ValueError: a setting that librdkafka does not take.
    """

    def __init__(
        self, kafka: Mapping[str, Any], topic: str, *, partitioner: str, delivery: Delivery
    ) -> None:
        self._topic = topic
        self._settings = {
            **delivery.settings(kafka, partitioner=partitioner),
            "error_cb": self._on_error,
        }
        self._begin()
        self._closed = False
        try:
            self._producer: Producer | None = Producer(self._settings)
        except KafkaException as problem:
            raise ValueError(
                f"kafka: {problem.args[0].str()}: use the producer's properties of librdkafka"
            ) from problem
        _reborn_in_children(self)

    def counts(self) -> ExportCounts:
        """Return what became of everything so far; serves the delivery reports first."""
        with suppressed():
            self._serve()
        return self._tally.counts()

    def count_ended(self) -> None:
        """Count a span that is to come."""
        self._tally.ended()

    def send(self, records: Iterable[Record | Unfit], *, wait_s: float) -> bool:
        """Queue records; tell whether all were. Returns after `wait_s`, a little more at most."""
        until_s = clock.monotonic_s() + wait_s
        all_queued = True
        with suppressed():
            for record in records:
                self._tally.received(record.count)
                if isinstance(record, Unfit):
                    self._drop(1, record.reason, record.why)
                    all_queued = False
                else:
                    all_queued &= self._queue(record, until_s)
            self._serve()
        return all_queued

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is acknowledged; tell whether it was, with nothing lost on the way."""
        dropped = self._tally.counts().dropped
        producer = self._producer
        with suppressed():
            if producer is not None:
                producer.flush(max(0.0, timeout_s))
        counts = self._tally.counts()
        return not counts.waiting and counts.dropped == dropped

    def close(self, timeout_s: float) -> bool:
        """Flush, drop what is left, disconnect; tell whether all was acknowledged."""
        with self._lock:
            self._closed = True
        whole = self.flush(timeout_s)
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppressed():
                _purge(producer)
        return whole

    def _begin(self) -> None:
        # Whoever hears our log may export in turn, in the same thread.
        self._lock = threading.RLock()
        self._tally = Tally()
        self._said_s: dict[str, float] = {}
        self._fatal_s: float | None = None

    def _queue(self, record: Record, until_s: float) -> bool:
        while True:
            try:
                if self._produced(record):
                    return True
            except BufferError:
                left_s = until_s - clock.monotonic_s()
                if not self._serve(max(0.0, min(left_s, POLL_S))) and left_s <= 0:
                    return self._drop(record.count, DropReason.BUFFER_FULL)
            except KafkaException as problem:
                error = problem.args[0]
                reason = REASONS.get(error.code(), DropReason.REFUSED)
                return self._drop(record.count, reason, error.str())
            else:
                reason = DropReason.SHUTDOWN if self._closed else DropReason.REFUSED
                return self._drop(record.count, reason)

    def _produced(self, record: Record) -> bool:
        """Hand a record to librdkafka; False if there is no producer to take it."""
        with self._lock:  # nothing comes in behind the purge of `close`
            producer = self._running()
            if producer is None:
                return False
            reported = partial(self._reported, record.count)
            try:
                producer.produce(self._topic, record.value, record.key, on_delivery=reported)
            except KafkaException as problem:
                error = problem.args[0]
                if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - as above
                    self._give_up(producer)
                raise
            return True

    def _serve(self, timeout_s: float = 0.0) -> int:
        producer = self._producer
        return 0 if producer is None else int(producer.poll(timeout_s))

    def _running(self) -> Producer | None:
        if self._producer is None and not self._closed and self._may_begin_again():
            try:
                self._producer = Producer(self._settings)
            except KafkaException as problem:
                self._fatal_s = clock.monotonic_s()
                self._on_error(problem.args[0])
        return None if self._closed else self._producer

    def _may_begin_again(self) -> bool:
        # What is fatal for one producer is mostly so for the next: not one for every record.
        fatal_s = self._fatal_s
        return fatal_s is None or clock.monotonic_s() - fatal_s >= BEGUN_AGAIN_AFTER_S

    def _give_up(self, producer: Producer) -> None:
        """After a fatal error a producer takes nothing more; another may."""
        self._producer, self._fatal_s = None, clock.monotonic_s()
        _purge(producer)

    def _reported(self, count: int, error: KafkaError | None, _message: Any) -> None:
        if error is None:
            self._tally.exported(count)
            return
        reason = REASONS.get(error.code(), DropReason.REFUSED)
        if reason is DropReason.SHUTDOWN and not self._closed:
            reason = DropReason.REFUSED  # purged after a fatal error
        self._drop(count, reason, error.str())

    def _drop(self, count: int, reason: DropReason, why: str = "") -> Literal[False]:
        total = self._tally.dropped(count, reason)
        self._say(reason, f"{total} dropped so far, {reason}" + (f": {why}" if why else ""))
        return False

    def _on_error(self, error: KafkaError) -> None:
        self._say(error.name(), error.str())

    def _say(self, kind: str, text: str) -> None:
        now_s = clock.monotonic_s()
        said_s = self._said_s.get(kind)
        if said_s is None or now_s - said_s >= SAID_AGAIN_AFTER_S:
            self._said_s[kind] = now_s
            log.warning("export to topic %s: %s", self._topic, text)

    def _reborn(self) -> None:
        """In a forked child: begin anew. What was under way is the parent's to deliver."""
        if self._producer is not None:
            # Its threads are not here. To free it, at the latest at the interpreter's end, would
            # wait for them for ever, or crash.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))
            self._producer = None
        self._begin()


@contextmanager
def suppressed() -> Iterator[None]:
    """Ask instrumentation to leave alone what is done in the block: exporting makes no spans."""
    key = context_api._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001 - the SDK's processors use it too
    token = context_api.attach(context_api.set_value(key, True))
    try:
        yield
    finally:
        context_api.detach(token)


def _purge(producer: Producer) -> None:
    """Drop what it holds. It ends with its last reference: another thread may be in `poll` yet."""
    producer.purge()
    producer.flush(PURGE_S)


def _reborn_in_children(sender: KafkaSender) -> None:
    weak = weakref.ref(sender)

    def in_child() -> None:
        alive = weak()
        if alive is not None:
            alive._reborn()  # noqa: SLF001 - it is the sender's own

    os.register_at_fork(after_in_child=in_child)
