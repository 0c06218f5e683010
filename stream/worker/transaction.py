"""A transaction: what is produced and committed together, and how large one may grow."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from stream.kafka.commit import Produce
from stream.worker.partition import PartitionPlan

LONG_S = 3.0


@dataclass(slots=True)
class Transaction:
    """The plans of the partitions that take part. Holds an offset of each: never empty."""

    plans: list[PartitionPlan]

    def __post_init__(self) -> None:
        """A transaction without offsets would not be fenced, so it must not exist."""
        assert self.plans, "a transaction holds at least one offset"

    def records(self) -> Iterator[Produce]:
        """Every record to produce, each partition's in the order of its deliveries."""
        for plan in self.plans:
            yield from plan.records

    @property
    def deliveries(self) -> int:
        """How many deliveries it carries."""
        return sum(len(plan.settled) for plan in self.plans)


@dataclass(slots=True)
class Bounds:
    """How much one transaction may carry: halved after a failure or a long one, regrown slowly.

    `deliveries_max` and `bytes_max` (of bodies, before merging) are the ceilings.
    """

    deliveries_max: int = 20_000
    bytes_max: int = 32 * 1024 * 1024
    deliveries: int = field(init=False)
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        """Start at the ceilings."""
        self.deliveries = self.deliveries_max
        self.bytes = self.bytes_max

    def committed(self, seconds: float) -> None:
        """A transaction longer than `LONG_S` was too large; after a short one try more."""
        if seconds > LONG_S:
            self.failed(self.deliveries)
            return
        self.deliveries = min(self.deliveries_max, self.deliveries * 2)
        self.bytes = min(self.bytes_max, self.bytes * 2)

    def failed(self, deliveries: int) -> None:
        """One that carried `deliveries` did not go through: try half of it."""
        if not deliveries:
            return
        self.deliveries = max(1, min(self.deliveries, deliveries) // 2)
        self.bytes = max(64 * 1024, self.bytes // 2)
