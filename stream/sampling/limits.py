"""The windows and limits of the core, and the budget that partitions of a worker share."""

from dataclasses import dataclass

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
    """Reaching one fires a trigger and a counter; what is known is decided on."""

    trace_spans_max: int = 100_000
    trace_bytes_max: int = 50 * 1024 * 1024
    decision_span_ids_max: int = 1_000
    trace_headers_max: int = 64
    trace_headers_bytes_max: int = 1_024

    @property
    def span_ids_bytes_max(self) -> int:
        """The most bytes of span ids that a decision keeps for its late spans."""
        return self.decision_span_ids_max * SPAN_ID_BYTES


@dataclass(slots=True)
class OpenTracesBudget:
    """How many traces the partitions of one worker may hold open together."""

    limit: int = 1_000_000
    used: int = 0
