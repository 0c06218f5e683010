"""Finds one trace's decision records in the decisions topic."""

from stream.kafka.partitioner import Partitioner
from stream.kafka.since_reader import SinceReader
from stream.kafka.topic_reader import ReadRecord


class DecisionReader(SinceReader):
    """A reader of the decisions topic."""

    def find(
        self, key: bytes, since_ms: int, partitioner: Partitioner, *, everywhere: bool = False
    ) -> list[ReadRecord]:
        """Return the records with this key that were written since then (Unix milliseconds).

        The partition that the key hashes to is read first, the others only if it has none, or
        `everywhere`: a trace has decisions in two where partitions were added beneath it.

        Raises:
            KafkaException: the broker cannot be reached, has no such topic, or falls silent.
        """

        def wanted(found: bytes, value: bytes) -> bool:
            return found == key and value != b""

        count = self.partitions()
        own = partitioner(key, count)
        found = list(self.read({own}, since_ms, wanted))
        if everywhere or not found:
            found += self.read(set(range(count)) - {own}, since_ms, wanted)
        return found
