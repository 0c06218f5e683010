"""The windows and limits of the core, and the budget that partitions of a worker share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream.otlp.fragment import SPAN_ID_BYTES


@dataclass(frozen=True, slots=True)
class Windows:
    """How long a trace stays open, in milliseconds of partition time.

    `decision_wait_after_root_ms` of 0 switches the earlier deadline off. `idle_grace_ms` is added
    to a deadline before the wall clock may cut a trace on an idle partition.
    """

    decision_wait_ms: int = 30_000
    decision_wait_after_root_ms: int = 0
    idle_grace_ms: int = 500
    decision_retention_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Reaching one fires a trigger and a counter; what is known is decided on.

    But for `late_bytes_max` and `late_spans_max`: late spans beyond are a delivery of their own,
    in another transaction.
    """

    trace_spans_max: int = 100_000
    trace_bytes_max: int = 50 * 1024 * 1024
    decision_span_ids_max: int = 1_000
    late_bytes_max: int = 4 * 1024 * 1024
    late_spans_max: int = 10_000
    trace_headers_max: int = 64
    trace_headers_bytes_max: int = 1_024

    @property
    def span_ids_bytes_max(self) -> int:
        """The most bytes of span ids that a decision keeps for its late spans."""
        return self.decision_span_ids_max * SPAN_ID_BYTES


class Holder(Protocol):
    """A sampler as the budget sees it: what it holds in memory, in bytes, and cannot spill."""

    open_bytes: int
    decisions_bytes: int

    @property
    def undelivered_bytes(self) -> int:
        """Decided already, not delivered yet."""

    def count_decisions(self) -> None:
        """Bring `decisions_bytes` up to date."""

    def cut_to(self, open_bytes_max: int) -> None:
        """Decide the oldest open traces early, until those left take so many bytes."""


@dataclass(slots=True)
class OpenTracesBudget:
    """What the partitions of one worker may hold open together: a number of traces, and of bytes.

    The bytes are those that cannot spill: summaries of open traces, decisions in memory. What is
    decided and not delivered yet counts for `held_bytes` only: it goes with its transaction, and
    until then reading waits. `bodies_spill` is False where bodies stay in memory too.
    """

    limit: int = 1_000_000
    used: int = 0
    bytes_max: int = 1 << 62
    bodies_spill: bool = True
    holders: list[Holder] = field(default_factory=list)

    def held_bytes(self) -> int:
        """Bytes in memory that cannot spill."""
        return sum([h.open_bytes + h.decisions_bytes + h.undelivered_bytes for h in self.holders])

    def undelivered_bytes(self) -> int:
        """Bytes in memory of what is decided and waits to be delivered."""
        return sum([holder.undelivered_bytes for holder in self.holders])

    def over(self) -> bool:
        """Return whether open traces must be decided early."""
        return sum([h.open_bytes + h.decisions_bytes for h in self.holders]) > self.bytes_max

    def keep(self) -> None:
        """Make the holders that are over their share of the bytes give way, the others not."""
        if not self.over():
            return
        for holder in self.holders:
            # Counted when a partition settles. Meanwhile others may have made them spill.
            holder.count_decisions()
        decisions_bytes = sum([holder.decisions_bytes for holder in self.holders])
        held = [holder.open_bytes for holder in self.holders]
        level = fair_level(held, max(0, self.bytes_max - decisions_bytes))
        for holder in list(self.holders):
            holder.cut_to(level)


def fair_level(held: Sequence[int], limit: int) -> int:
    """Return the most that each may hold for all to hold `limit` together.

    Who holds less than an equal share leaves the rest of it to the others.
    """
    left = limit
    ascending = sorted(held)
    for index, size in enumerate(ascending):
        share = left // (len(ascending) - index)
        if size > share:
            return share
        left -= size
    return limit
