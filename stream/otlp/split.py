"""Split a record by trace, and what cannot be sampled from what can. The slow way of a record.

Spans keep their bytes; each body repeats the resource, scope, schema_urls and unknown fields that
its spans lie in. Envelopes without a span belong to no trace and are left out.
"""

from typing import Final

from stream.otlp.fragment import SPAN_ID_BYTES, TRACE_ID_BYTES, BadSpans, DeadLetterReason
from stream.otlp.frames import Row, frames, render
from stream.otlp.span import read_span

# A record of many traces under one huge resource would grow by their product.
SPLIT_BYTES_MAX: Final = 64 * 1024 * 1024

NO_TRACE_ID: Final = bytes(TRACE_ID_BYTES)
NO_SPAN_ID: Final = bytes(SPAN_ID_BYTES)


def split(value: bytes) -> tuple[list[tuple[bytes, bytes]], list[BadSpans]]:
    """Return ([(trace id, body)], bad spans), each in order of appearance. Raises Malformed.

    A record whose bodies together would exceed `SPLIT_BYTES_MAX` is bad as a whole.
    """
    traces: dict[bytes, list[Row]] = {}
    bad: dict[DeadLetterReason, list[Row]] = {}
    for scope, spans in frames(value):
        for field_start, start, end in spans:
            trace_id, span_id, *_ = read_span(value, start, end)
            row = (scope, value[field_start:end])
            reason = invalid_id(trace_id, span_id)
            if reason is None:
                traces.setdefault(trace_id, []).append(row)
            else:
                bad.setdefault(reason, []).append(row)
    bodies: list[tuple[bytes, bytes]] = []
    split_bytes = 0
    for trace_id, rows in traces.items():
        bodies.append((trace_id, render(rows)))
        split_bytes += len(bodies[-1][1])
        if split_bytes > SPLIT_BYTES_MAX:
            spans_all = sum(map(len, (*traces.values(), *bad.values())))
            return [], [BadSpans(DeadLetterReason.RECORD_TOO_LARGE, spans_all, value)]
    return bodies, [BadSpans(reason, len(rows), render(rows)) for reason, rows in bad.items()]


def invalid_id(trace_id: bytes, span_id: bytes) -> DeadLetterReason | None:
    """Return why a span with these ids cannot be sampled, None if it can.

    An id of all zeros, or of another length, is invalid:
    https://www.w3.org/TR/trace-context/#trace-id
    """
    if len(trace_id) != TRACE_ID_BYTES or trace_id == NO_TRACE_ID:
        return DeadLetterReason.INVALID_TRACE_ID
    if len(span_id) != SPAN_ID_BYTES or span_id == NO_SPAN_ID:
        return DeadLetterReason.INVALID_SPAN_ID
    return None
