"""Reads the spans of dropped traces again, for their promotions: one client, one pass, so fast.

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
from stream.kafka.errors import is_end_of_partition, is_passing
from stream.kafka.receive import Receiver
from stream.kafka.sweep import Sweep, Tokens
from stream.sampling.promotions import Found, Wanted

CALL_TIMEOUT_S = 10.0
READ_RECORDS_MAX = 100
READ_WAIT_S = 0.1
RETRY_WAIT_S = 0.5
SKIP_OFFSETS_MIN = 200
"""A gap between wanted records is read through unless it is this large: to begin anew elsewhere
takes a request and what was fetched ahead."""


END = 1 << 62
"""Above every offset."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast promotions may read, and how many bytes of bodies a pass may hold.

    At `trace_bytes_max` a trace is promoted with what there is (`promoted_partial`).
    """

    records_per_s: float
    bytes_per_s: float
    bytes_max: int
    trace_bytes_max: int = 1 << 62


@dataclass(slots=True)
class Read:
    """What a pass over one partition has found, and what it left for the next one."""

    found: list[Found]
    deferred: Sequence[Wanted]


class PromotionReader:
    """Reads what promotions want, partition by partition. Its methods are for one thread.

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
        self._stopping = threading.Event()

    def close(self) -> None:
        """Stop soon; from any thread."""
        self._stopping.set()

    def read(
        self, wanted: Mapping[int, Sequence[Wanted]], ours: Callable[[int], bool]
    ) -> dict[int, Read]:
        """Read what is wanted, by partition, while `ours` says that the partition still is.

        Waits for the broker as long as it takes: nothing else works without it either. Of a
        partition that was given up nothing is said.

        Raises:
            KafkaException: the broker refuses.
        """
        reads: dict[int, Read] = {}
        left = self._pace.bytes_max
        reader = self._client()
        try:
            for number in sorted(wanted):
                sweep = Sweep(
                    wanted[number],
                    bytes_max=max(0, left),
                    trace_bytes_max=self._pace.trace_bytes_max,
                )
                if self._sweep(reader, number, sweep, lambda number=number: ours(number)):  # type: ignore[misc]  # mypy cannot infer it
                    found = sweep.end()
                    left -= sum(len(f.body) for one in found for _, f, _ in one.fragments)
                    reads[number] = Read(found, sweep.deferred)
        finally:
            reader.close()
        return reads

    def _client(self) -> Any:
        return Consumer(
            {
                "fetch.wait.max.ms": 50,
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
            wanted = sweep.next(max(0, position))
            if wanted is None:
                if self._look(reader, number, sweep):
                    return True
                continue
            if position < 0 or wanted >= position + SKIP_OFFSETS_MIN:
                reader.assign([TopicPartition(self._topic, number, wanted)])
                position = wanted
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
            elif not is_passing(error):
                raise KafkaException(error)
        size = sum(len(message.value() or b"") for message in messages)
        self._tokens.charge(len(messages), size, clock.monotonic_s())
        self._count(len(messages), size)
        for batch in self._receiver().receive(messages, {number: 0}, []):
            sweep.take(batch.records)
        return position
