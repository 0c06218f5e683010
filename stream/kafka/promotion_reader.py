"""Reads the spans of dropped traces again, for their promotions: one client a round, so fast.

On a thread of its own, never the polling consumer's or the loop's. There is a client only while
there is something to read.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream import clock
from stream.kafka.client_log import LOGGER
from stream.kafka.errors import is_end_of_partition, is_group_refused, is_passing, not_readable
from stream.kafka.receive import Receiver
from stream.kafka.rereading import Rereading
from stream.kafka.sweep import END, Sweep, Tokens, Turn
from stream.sampling.promotions import Found, Wanted

CALL_TIMEOUT_S = 10.0
READ_RECORDS_MAX = 100
READ_WAIT_S = 0.1
RETRY_WAIT_S = 0.5
TURN_RECORDS_MIN = 1_000
TURN_RECORDS_MAX = 50_000
TURN_BYTES_MAX = 64 << 20
"""A turn is a second of what may be read; of a pace that is no limit, what takes about a second."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast promotions may read, and how many bytes of bodies they may hold.

    Every record that is read counts, also those between wanted ones: it costs the broker and the
    worker as much. At `trace_bytes_max` a trace is promoted with what there is
    (`promoted_partial`).
    """

    records_per_s: float
    bytes_per_s: float
    bytes_max: int
    trace_bytes_max: int = 1 << 62

    @property
    def turn(self) -> Turn:
        """What may be read before it is others' turn."""
        return Turn(
            min(max(self.records_per_s, TURN_RECORDS_MIN), TURN_RECORDS_MAX),
            min(self.bytes_per_s, TURN_BYTES_MAX),
            # Two turns, and what is not whole yet, which may hold the other half.
            max(1, self.bytes_max // 4),
        )


class PromotionReader:
    """Reads what promotions want, round by round. Its methods are for one thread at a time.

    `receiver` makes what turns messages into records, as the worker's own does. `count` is told how
    many records of how many bytes were read, wanted or not.
    """

    def __init__(
        self,
        connection: dict[str, Any],
        topic: str,
        *,
        receiver: Callable[[], Receiver],
        pace: Pace,
        count: Callable[[int, int], None],
    ) -> None:
        self._receiver = receiver
        self._count = count
        self._connection = connection
        self._topic = topic
        self._pace = pace
        self._tokens = Tokens(pace.records_per_s, pace.bytes_per_s, clock.monotonic_s())
        self._rereading = Rereading(trace_bytes_max=pace.trace_bytes_max)
        self._stopping = threading.Event()

    def __len__(self) -> int:
        """Return how many promotions the rounds have left that were."""
        return len(self._rereading)

    def forget(self, number: int) -> None:
        """Read no more for a partition that was given up."""
        self._rereading.forget(number)

    def close(self) -> None:
        """Stop soon; from any thread."""
        self._stopping.set()

    def read(
        self, wanted: Mapping[int, Sequence[Wanted]], ours: Callable[[int], bool]
    ) -> dict[int, list[Found]]:
        """Read a round, for these too; return what is whole by now, by partition.

        It reads while `ours` says that a partition still is. Waits for the broker as long as it
        takes: nothing else works without it either.

        Raises:
            KafkaException: the broker refuses.
        """
        self._rereading.add(wanted)
        reader = self._client()
        try:
            for number, sweep in self._rereading.passes(self._pace.turn):
                if not self._sweep(reader, number, sweep, lambda number=number: ours(number)):  # type: ignore[misc]  # mypy cannot infer it
                    self._rereading.forget(number)
        finally:
            reader.close()
        return self._rereading.whole(self._pace.bytes_max // 2)

    def _client(self) -> Any:
        return Consumer(
            {
                "fetch.wait.max.ms": 50,
                "fetch.queue.backoff.ms": 5,
                "fetch.message.max.bytes": 1 << 20,
                "queued.min.messages": 1_000,
                "queued.max.messages.kbytes": 4_096,
                **self._connection,
                "group.id": "tailstream-promotions",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                # What is gone by now is found to be missing.
                "auto.offset.reset": "earliest",
            },
            logger=LOGGER,
        )

    def _sweep(self, reader: Any, number: int, sweep: Sweep, ours: Callable[[], bool]) -> bool:
        """Return whether the pass came to its end."""
        position = -1
        looked = False
        while not self._stopping.is_set() and ours():
            if not looked:
                looked = self._look(reader, number, sweep)
                continue
            at = sweep.next()
            if at is None:
                if self._look(reader, number, sweep):
                    sweep.end()
                    return True
                continue
            if at != position:
                reader.assign([TopicPartition(self._topic, number, at)])
                position = at
            if self._stopping.wait(self._tokens.wait_s(clock.monotonic_s())):
                return False
            position = self._step(reader, number, sweep, position)
        return False

    def _look(self, reader: Any, number: int, sweep: Sweep) -> bool:
        """Ask where the log starts; False to be asked again."""
        try:
            start, _ = reader.get_watermark_offsets(
                TopicPartition(self._topic, number), timeout=CALL_TIMEOUT_S, cached=False
            )
        except KafkaException as problem:
            if not is_passing(problem.args[0]):
                raise
            self._stopping.wait(RETRY_WAIT_S)
            return False
        sweep.gone_below(start)
        return True

    def _step(self, reader: Any, number: int, sweep: Sweep, position: int) -> int:
        """Take what comes next; return the position after it."""
        messages = []
        for message in reader.consume(READ_RECORDS_MAX, READ_WAIT_S):
            error = message.error()
            if error is None:
                messages.append(message)
                position = message.offset() + 1
            elif is_end_of_partition(error):
                # Nothing more of what is wanted will come: all of it lay below our own position.
                position = END
            elif not (is_passing(error) or is_group_refused(error)):
                raise not_readable(error, self._topic)
        size = sum(len(message.value() or b"") for message in messages)
        self._tokens.charge(len(messages), size, clock.monotonic_s())
        self._count(len(messages), size)
        batches = self._receiver().receive(messages, {number: 0}, [])
        records = [record for batch in batches for record in batch.records]
        sweep.take(records, size=size, position=position)
        return position
