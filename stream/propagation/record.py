"""What an exporter makes of a batch: records, and what fits in none."""

from dataclasses import dataclass

from stream.propagation.export_counts import DropReason


@dataclass(frozen=True, slots=True)
class Record:
    """A record, and how many spans or data points it holds. No key: any partition will do."""

    key: bytes | None
    value: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """One span or data point that makes no record, and why, for the log."""

    reason: DropReason
    why: str
    count: int = 1
