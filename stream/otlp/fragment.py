"""What one record holds of one trace."""

from dataclasses import dataclass
from enum import StrEnum

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8


class DeadLetterReason(StrEnum):
    """Why spans or a record became a dead letter: the closed list behind `tailstream.reason`."""

    MALFORMED = "malformed"
    EMPTY = "empty"
    INVALID_TRACE_ID = "invalid_trace_id"
    INVALID_SPAN_ID = "invalid_span_id"
    SPAN_TOO_LARGE = "span_too_large"
    RECORD_TOO_LARGE = "record_too_large"
    UNDELIVERABLE = "undeliverable"
    POISON = "poison"
    MALFORMED_CONTROL = "malformed_control"


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
    """Spans of a record that cannot be sampled: why, how many, and their bytes.

    `body` is an OTLP `TracesData` message, or the record as it came where it cannot be decoded.
    """

    reason: DeadLetterReason
    spans: int
    body: bytes


@dataclass(slots=True)
class Scanned:
    """One record, scanned: its traces in the order they appear, and what was bad beside them."""

    fragments: list[Fragment]
    bad: list[BadSpans]
