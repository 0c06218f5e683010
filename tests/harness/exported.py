"""What a Python application's exporter left on a topic, read back with the OTLP library."""

from collections.abc import Iterator, Sequence

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Tracer

from tests.harness.reading import Stored


def tracer_into(processor: SpanProcessor, service: str = "shop") -> Tracer:
    """Return a tracer of a provider of its own. Who made the processor shuts it down."""
    resource = Resource({"service.name": service})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider.get_tracer("tests", "1.0")


def end_traces(tracer: Tracer, count: int, *, spans: int = 1, text: str = "") -> None:
    """End traces of so many spans: a root and its children, each with the text as an attribute."""
    for _ in range(count):
        with tracer.start_as_current_span("root", attributes={"text": text}):
            for _ in range(spans - 1):
                with tracer.start_as_current_span("child", attributes={"text": text}):
                    pass


def resource_spans(record: Stored) -> ResourceSpans:
    """Return the one resource that a record holds."""
    (one,) = TracesData.FromString(record.value).resource_spans
    return one


def spans_of(records: Sequence[Stored]) -> Iterator[Span]:
    """Yield all spans, in the records' order."""
    for record in records:
        for resource in TracesData.FromString(record.value).resource_spans:
            for scope in resource.scope_spans:
                yield from scope.spans
