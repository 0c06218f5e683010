"""The Kafka side of a producer whose acknowledgements a test hands out."""

from collections.abc import Callable
from dataclasses import dataclass, field

from stream.kafka.commit import Produce


@dataclass
class HandedProducer:
    """Takes what a RecordProducer takes; `acknowledge` reports records, oldest first."""

    partition_count: int = 3
    sent: list[Produce] = field(default_factory=list)
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def send(
        self,
        record: Produce,
        *,
        delivered: Callable[[], None],
        refused: Callable[[], None],
        placed: Callable[[int, int], None] | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        del refused, timestamp_ms
        offset = len(self.sent)
        self.sent.append(record)

        def report() -> None:
            if placed is not None:
                placed(record.partition or 0, offset)
            delivered()

        self._waiting.append(report)

    def acknowledge(self, records: int = 1 << 30) -> None:
        reports, self._waiting = self._waiting[:records], self._waiting[records:]
        for report in reports:
            report()

    def partitions(self, topic: str) -> int:
        assert topic
        return self.partition_count

    def poll(self, timeout_s: float) -> None: ...

    def flush(self, timeout_s: float) -> int:
        del timeout_s
        return len(self._waiting)

    def close(self) -> None: ...
