"""Context into headers and out of them: trace context and baggage, over Kafka and HTTP alike."""

from typing import Final

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, get_current_span

from stream.propagation.headers import (
    AnyHeaders,
    AppendingSetter,
    JoiningGetter,
    KafkaHeaders,
    kafka_headers,
    pairs,
    text_of,
)
from stream.propagation.trace_context import TraceContextPropagator

TRACE_CONTEXT: Final = TraceContextPropagator()
BAGGAGE: Final = W3CBaggagePropagator()
FIELDS: Final = frozenset(TRACE_CONTEXT.fields | BAGGAGE.fields)

_JOINED: Final = JoiningGetter()
_APPEND: Final = AppendingSetter()


def extract(headers: AnyHeaders, context: Context | None = None) -> Context:
    """Return `context` (default: the root, not the current one) with what the headers carry.

    Takes Kafka's headers and HTTP's: pairs, a dict, a multidict, None; names in any case. What W3C
    does not allow is ignored, and nothing in the headers makes it raise.
    """
    return extract_baggage(headers, TRACE_CONTEXT.extract(headers, context))


def extract_baggage(headers: AnyHeaders, context: Context) -> Context:
    """Return `context` with the headers' baggage, and its own span."""
    return BAGGAGE.extract(headers, context, _JOINED)


def creation_context_of(headers: AnyHeaders) -> SpanContext | None:
    """Return the span that made the message, None where its headers name none."""
    span = get_current_span(TRACE_CONTEXT.extract(headers)).get_span_context()
    return span if span.is_valid else None


def inject(headers: AnyHeaders = None, context: Context | None = None) -> KafkaHeaders:
    """Return new Kafka headers: the caller's, and `context` (default: the current one).

    What stood there of traceparent, tracestate and baggage is replaced, in whatever case its name
    was, so a message that is sent again has one traceparent. The caller's headers are not touched.
    """
    others = [(name, value) for name, value in kafka_headers(headers) if name.lower() not in FIELDS]
    TRACE_CONTEXT.inject(others, context, _APPEND)
    BAGGAGE.inject(others, context, _APPEND)
    return others


def inject_http(headers: AnyHeaders = None, context: Context | None = None) -> dict[str, str]:
    """Return new HTTP headers, as `inject` does; of a name that stands there twice, the last."""
    others = {name: text_of(value) for name, value in pairs(headers) if name.lower() not in FIELDS}
    TRACE_CONTEXT.inject(others, context)
    BAGGAGE.inject(others, context)
    return others
