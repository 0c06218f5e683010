"""Finds one trace's deliveries in the output topic, and what links to it."""

from dataclasses import dataclass

from stream.kafka.since_reader import SinceReader
from stream.kafka.topic_reader import ReadRecord


@dataclass(frozen=True, slots=True)
class Found:
    """The records that name the trace, its own or with a link to it, and where was looked."""

    records: list[ReadRecord]
    partitions: list[int]
    records_read: int


class OutputReader(SinceReader):
    """A reader of the output topic."""

    def find(self, trace_id: bytes, since_ms: int, own: int, *, everywhere: bool) -> Found:
        """Return the records written since then (Unix ms) that have the trace id in their value.

        They are read from partition `own`, and from the others where it has none of the trace's own
        records, or `everywhere`.

        Raises:
            KafkaException: the broker cannot be reached, has no such topic, or falls silent.
        """

        def names_it(_key: bytes, value: bytes) -> bool:
            return trace_id in value

        count = self.partitions()
        numbers = {own} if own < count else set()
        records = list(self.read(numbers, since_ms, names_it))
        key = trace_id.hex().encode()
        if everywhere or all(record.key != key for record in records):
            others = set(range(count)) - numbers
            records += self.read(others, since_ms, names_it)
            numbers |= others
        return Found(records, sorted(numbers), self.records)
