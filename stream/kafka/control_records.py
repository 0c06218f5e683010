"""Writes pins to the input topic: control records that meet their traces there.

Each is acknowledged by all replicas in sync, and none is part of a transaction: an open one would
stall every reader of the input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from stream import clock
from stream.kafka.commit import Produce
from stream.kafka.errors import KafkaException
from stream.kafka.record_producer import RecordProducer
from stream.kafka.topics import ClusterError
from stream.sampling.control import CONTROL_HEADER, Pin, encode

COUNTED_EVERY_S: Final = 30.0
"""How old the count of the input's partitions may be where pins go to each: topics grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where pins go. `all_partitions`: to each, for a topic whose spans do not lie by trace id.

    `as_json`: the value is `{}`, for readers that expect JSON.
    """

    topic: str
    all_partitions: bool = False
    as_json: bool = False


class ControlRecords:
    """Writes pins with this producer, whose partitioner is `topics.partitioner`. One thread.

    `under_way` are the records that are not acknowledged yet.
    """

    def __init__(self, target: Target, producer: RecordProducer) -> None:
        self._target = target
        self._producer = producer
        self.under_way = 0
        self._partitions = 0
        self._counted_s = clock.monotonic_s() - COUNTED_EVERY_S

    def write(
        self,
        pin: Pin,
        done: Callable[[], None],
        placed: Callable[[int, int], None] | None = None,
    ) -> None:
        """Queue a pin. `done` is called once, by `poll` or `flush`, when it is acknowledged whole.

        `placed` gets the partition and offset of each of its records.

        Raises:
            KafkaException: the input's partitions cannot be counted.
        """
        numbers = self._numbers()
        left = len(numbers)

        def delivered() -> None:
            nonlocal left
            left -= 1
            self.under_way -= 1
            if not left:
                done()

        content = (CONTROL_HEADER, encode(pin))
        value = b"{}" if self._target.as_json else b""
        self.under_way += left
        for number in numbers:
            self._producer.send(
                Produce(self._target.topic, number, pin.key, value, [content]),
                delivered=delivered,
                refused=partial(self._refused, pin),
                placed=placed,
            )

    def poll(self, timeout_s: float = 0.0) -> None:
        """Serve the acknowledgements; returns at the first ones, or after the timeout.

        Raises:
            ClusterError: the input does not take pins, for a reason of its own.
            KafkaException: a pin failed.
        """
        self._producer.poll(timeout_s)

    def flush(self, timeout_s: float) -> int:
        """Wait for what is under way; return how many records still are. Raises as `poll`."""
        return self._producer.flush(timeout_s)

    def close(self) -> None:
        """Give up what is still under way, and disconnect."""
        self._producer.close()

    def _numbers(self) -> list[int | None]:
        if not self._target.all_partitions:
            return [None]
        if clock.monotonic_s() - self._counted_s >= COUNTED_EVERY_S:
            self._partitions = self._count()
            self._counted_s = clock.monotonic_s()
        return list(range(self._partitions))

    def _count(self) -> int:
        try:
            return self._producer.partitions(self._target.topic)
        except KafkaException:
            if not self._partitions:
                raise
            # An outage: pins are kept and sent after it, to the partitions that are known.
            return self._partitions

    def _refused(self, pin: Pin) -> None:
        raise ClusterError(
            f"topics.input is {self._target.topic!r}: it refuses the pin of {pin.trace_id.hex()}: "
            "check its max.message.bytes and its message.timestamp.* (and this machine's clock)"
        )
