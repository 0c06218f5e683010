"""Cuts are held while decisions are still read that traces may have to follow.

What is folded meanwhile is right whatever these decisions say, because nothing of it has been
judged: a trace that should not have been opened is its late spans, summed up. So the one thing to
know in time is whether a record might cut.
"""

from collections.abc import Callable, Mapping

from stream.sampling.limits import Limits, OpenTracesBudget
from stream.sampling.record import Record
from stream.sampling.trace import OpenTrace


def might_cut(
    record: Record,
    open_traces: Mapping[bytes, OpenTrace],
    limits: Limits,
    budget: OpenTracesBudget,
    too_large: Callable[[int], bool],
) -> bool:
    """Tell whether folding this record may reach a limit; at times it would not have.

    Its size and spans are counted for each of its traces, as if each had the whole record.
    """
    if budget.used + len(record.fragments) > budget.limit:
        return True
    spans = sum(fragment.spans for fragment in record.fragments)
    size = sum(len(fragment.body) for fragment in record.fragments)
    for fragment in record.fragments:
        trace = open_traces.get(fragment.trace_id)
        trace_spans = spans + trace.spans if trace else spans
        trace_bytes = size + trace.body_bytes if trace else size
        if (
            trace_spans >= limits.trace_spans_max
            or trace_bytes >= limits.trace_bytes_max
            or too_large(trace_bytes)
        ):
            return True
    return False
