"""W3C trace context, levels 1 and 2, as a propagator of opentelemetry-api.

https://www.w3.org/TR/trace-context-2/. In use it replaces the api's own propagator, which takes the
first of two traceparent headers (W3C: neither), passes unknown flags on (W3C: zeroed), and loses
tracestates that level 2 allows; tests/unit/test_propagation_w3c.py has the rows where they differ.
"""

import re
from typing import Final

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import CarrierT, Getter, Setter, TextMapPropagator
from opentelemetry.propagators.textmap import default_setter as into_mapping
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)

from stream.propagation.headers import ANY_HEADERS
from stream.propagation.trace_state import W3CTraceState

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

SAMPLED: Final = 0x01
RANDOM: Final = 0x02
KNOWN_FLAGS: Final = SAMPLED | RANDOM

TRACE_STATE_CHARS_LEAST: Final = 512
"""W3C: a tracestate of this length should be passed on whole."""
TRACE_STATE_CHARS_DEFAULT: Final = 8_192
"""What one HTTP header may hold with most servers, and the api's own limit."""

_VERSION_00: Final = "00"
_VERSION_FORBIDDEN: Final = "ff"
# Anything may follow the flags in a version that is yet to come, but only after a dash.
_TRACEPARENT: Final = re.compile(
    r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_BLANKS: Final = " \t"


class TraceContextPropagator(TextMapPropagator):
    """traceparent and tracestate, read strictly and written as W3C demands.

    Args:
        trace_state_chars_max: A longer tracestate is cut by whole entries when it is passed on:
            those over 128 characters first, then from the right. At least 512.
    """

    def __init__(self, trace_state_chars_max: int = TRACE_STATE_CHARS_DEFAULT) -> None:
        if trace_state_chars_max < TRACE_STATE_CHARS_LEAST:
            raise ValueError(
                f"trace_state_chars_max is {trace_state_chars_max}: W3C asks for at least"
                f" {TRACE_STATE_CHARS_LEAST}"
            )
        self._trace_state_chars_max = trace_state_chars_max

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = ANY_HEADERS,
    ) -> Context:
        """Return `context` (default: the root) with the carrier's span in it, if it names one.

        What is malformed or stands there twice is as good as absent. Never raises.
        """
        context = Context() if context is None else context
        # Two are neither: which one to believe is anybody's guess.
        parents = getter.get(carrier, TRACEPARENT) or []
        read = _read_traceparent(parents[0]) if len(parents) == 1 else None
        if read is None:
            return context
        trace_id, span_id, flags = read
        state = W3CTraceState.from_header(getter.get(carrier, TRACESTATE) or [])
        remote = SpanContext(
            trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags), trace_state=state
        )
        return set_span_in_context(NonRecordingSpan(remote), context)

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = into_mapping,
    ) -> None:
        """Set traceparent, and tracestate unless it is empty; nothing where there is no span."""
        span = get_current_span(context).get_span_context()
        if not span.is_valid:
            return
        ids = f"{format_trace_id(span.trace_id)}-{format_span_id(span.span_id)}"
        flags = span.trace_flags & KNOWN_FLAGS
        setter.set(carrier, TRACEPARENT, f"{_VERSION_00}-{ids}-{flags:02x}")
        # From its text, for a span may have been given any TraceState.
        state = W3CTraceState.from_header([span.trace_state.to_header()])
        if state := state.truncated(self._trace_state_chars_max):
            setter.set(carrier, TRACESTATE, state.to_header())

    @property
    def fields(self) -> set[str]:
        """Return the headers that `inject` sets."""
        return {TRACEPARENT, TRACESTATE}


def _read_traceparent(text: str) -> tuple[int, int, int] | None:
    """Return trace id, span id and the flags we know, None for what W3C does not allow."""
    match = _TRACEPARENT.fullmatch(text.strip(_BLANKS))
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == _VERSION_FORBIDDEN or (version == _VERSION_00 and rest is not None):
        return None
    if not int(trace_id, 16) or not int(span_id, 16):
        return None
    return int(trace_id, 16), int(span_id, 16), int(flags, 16) & KNOWN_FLAGS
