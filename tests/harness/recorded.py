"""Spans that the OpenTelemetry SDK makes, kept in memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer


class Recorded:
    """A tracer provider of its own, and the spans that ended, in that order."""

    def __init__(self) -> None:
        self.provider = TracerProvider()
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = self.provider.get_tracer("the application")

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def span(self) -> ReadableSpan:
        (span,) = self.spans()
        return span

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.name == name]


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
