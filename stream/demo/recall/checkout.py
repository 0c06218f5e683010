"""One checkout: what its caller waited for, and the records that its spans travel in."""

from dataclasses import dataclass

from stream.demo.record import Record


@dataclass(frozen=True, slots=True)
class Checkout:
    """A trace. `at_s`: when it ended, in seconds from the start; `root_id`: 8 bytes."""

    trace_id: bytes
    root_id: bytes
    at_s: float
    duration_s: float
    slow: bool
    failed: bool
    records: tuple[Record, ...]

    @property
    def span_ids(self) -> set[bytes]:
        """All its spans."""
        return {span_id for record in self.records for span_id in record.span_ids}

    @property
    def bytes(self) -> int:
        """The size of its records' values."""
        return sum(len(record.value) for record in self.records)
