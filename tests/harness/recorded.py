"""Spans that the OpenTelemetry SDK makes, kept in memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, Tracer


class Recorded:
    """A tracer provider of its own, and the spans that ended, here or elsewhere, in that order."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(_Into(self._spans)))
        self.tracer: Tracer = self.provider.get_tracer("the application")

    def spans(self) -> list[ReadableSpan]:
        return list(self._spans)

    def span(self) -> ReadableSpan:
        (span,) = self.spans()
        return span

    def heard(self, spans: list[dict[str, Any]]) -> None:
        """Take over what another process has `told`."""
        self._spans += map(_span_of, spans)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.name == name]


class _Into(SpanExporter):
    def __init__(self, spans: list[ReadableSpan]) -> None:
        self._spans = spans

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._spans += spans
        return SpanExportResult.SUCCESS


@contextmanager
def recorded_spans() -> Iterator[Recorded]:
    recorded = Recorded()
    try:
        yield recorded
    finally:
        recorded.provider.shutdown()


def attributes(described: Any) -> Mapping[str, Any]:
    """Return the attributes of a span or a link."""
    return dict(described.attributes)


def linked(span: ReadableSpan) -> list[tuple[str, str]]:
    """Return the ids that the span's links lead to, in order."""
    return [ids(link.context) for link in span.links]


def ids(span: Any) -> tuple[str, str]:
    """Return a span context's trace id and span id, in hex."""
    return trace.format_trace_id(span.trace_id), trace.format_span_id(span.span_id)


def ids_in(traceparent: bytes | None) -> tuple[str, str]:
    """Return the same of a header."""
    _, trace_id, span_id, _ = (traceparent or b"").decode().split("-")
    return trace_id, span_id


def told(span: ReadableSpan) -> dict[str, Any]:
    """Return what a test asks of a span, for another process."""
    return {
        "name": span.name,
        "context": [span.context.trace_id, span.context.span_id],
        "parent": span.parent and [span.parent.trace_id, span.parent.span_id],
        "links": [
            [[link.context.trace_id, link.context.span_id], dict(link.attributes or {})]
            for link in span.links
        ],
        "attributes": dict(span.attributes or {}),
    }


def _span_of(said: dict[str, Any]) -> ReadableSpan:
    return ReadableSpan(
        said["name"],
        context=_context_of(said["context"]),
        parent=_context_of(said["parent"]) if said["parent"] else None,
        links=[Link(_context_of(to), with_) for to, with_ in said["links"]],
        attributes=said["attributes"],
    )


def _context_of(said: list[int]) -> SpanContext:
    trace_id, span_id = said
    return SpanContext(trace_id, span_id, is_remote=False)
