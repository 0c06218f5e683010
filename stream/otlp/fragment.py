"""What one record holds of one trace."""

from dataclasses import dataclass

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8


@dataclass(slots=True)
class Fragment:
    """The summary of one trace's spans in one record, and the bytes it was made from.

    Summaries are additive: merging two needs no payload. Times are Unix nanoseconds; a start of 0
    means that no span said when it started. `bits` are the leaf conditions that some span (or its
    resource) matched, as assigned by the scan plan. `body` is a whole OTLP `TracesData` message.
    """

    trace_id: bytes
    spans: int
    errors: int
    start_ns: int
    end_ns: int
    root: bool
    bits: int
    body: bytes


@dataclass(slots=True)
class BadSpans:
    """Spans of a record that cannot be sampled: their bytes, how many, and why (a closed list)."""

    reason: str
    spans: int
    body: bytes


@dataclass(slots=True)
class Scanned:
    """One record, scanned: its traces in the order they appear, and what was bad beside them."""

    fragments: list[Fragment]
    bad: list[BadSpans]
