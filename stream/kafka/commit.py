"""What one transaction produces and commits for a partition: values, no calls."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream import compiled

Headers = list[tuple[str, bytes]]


@dataclass(slots=True)
class Produce:
    """A record to produce. Without a partition the producer's partitioner chooses by the key."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes
    headers: Headers = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Whether it has no headers; to ask them makes a list of those that have none."""
        return not self.headers


PureProduce = Produce
"""The one in Python, whichever core runs."""

if not TYPE_CHECKING and compiled.RUNS:
    from stream.kafka._commit import Produce


@dataclass(slots=True, kw_only=True)
class PartitionCommit:
    """One input partition's share of a transaction.

    `resume_offset` and its `metadata` go to the group, `position` and `times` to the position
    group. An offset in the transaction is what fences it, so there is one for every partition that
    is written for.
    """

    partition: int
    resume_offset: int
    metadata: str
    position: int
    times: str = ""
    records: list[Produce] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a commit returned. `decisions_end[partition]`: the offset after its last decision."""

    decisions_end: dict[int, int]
    seconds: float
