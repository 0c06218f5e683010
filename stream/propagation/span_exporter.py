"""Spans from a Python application to Kafka, as Tailstream and the Collector read them.

    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from stream.propagation.span_exporter import KafkaSpanExporter, KafkaSpanProcessor

    exporter = KafkaSpanExporter({"bootstrap.servers": "localhost:9092"})
    provider = TracerProvider()
    provider.add_span_processor(KafkaSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

The processor is the SDK's BatchSpanProcessor: it takes its arguments and its variables OTEL_BSP_*.
Before the exporter's buffer stands the processor's queue (2048 spans): it is full when the
application ends spans faster than they are encoded, or while `export` waits for room. Then the SDK
drops spans, with a warning. Its own count of them can be off by a few; `counts.ended -
counts.received`, after a flush or the shutdown, is exact.

Records are stamped when they are handed over, not with the spans' times: a topic with `CreateTime`
shows when they were sent. One that waited through an outage has the time from before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from stream import clock
from stream.propagation.delivery import Delivery
from stream.propagation.export_counts import ExportCounts, observe
from stream.propagation.fitting import fitting_records
from stream.propagation.kafka_sender import KafkaSender
from stream.propagation.record import Record, Unfit

SPANS_TOPIC: Final = "otlp_spans"
FLUSH_MS: Final = 30_000


class KafkaSpanExporter(SpanExporter):
    """Writes spans to Kafka: OTLP protobuf (`TracesData`), the trace id as the key, 32 hex digits.

    One record holds a batch's spans of one trace and resource, as far as `message_bytes_max`
    allows. `kafka` are librdkafka's producer properties; `partitioner` is that of the topic's other
    writers and the worker (`topics.partitioner`): fnv1a as the Collector, or murmur2 as Java.

    What Kafka does never raises into the application, and never holds it up for longer than
    `Delivery` says. A forked child sends what it ends itself, by a client of its own.

    Raises:
        ValueError: a setting that is missing, not known, or given twice.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        *,
        topic: str = SPANS_TOPIC,
        partitioner: str = "fnv1a",
        delivery: Delivery | None = None,
    ) -> None:
        self._delivery = delivery or Delivery()
        self._sender = KafkaSender(kafka, topic, partitioner=partitioner, delivery=self._delivery)

    @property
    def counts(self) -> ExportCounts:
        """What became of the spans so far: received = exported + dropped + waiting.

        `ended` stays 0 with another processor than KafkaSpanProcessor.
        """
        return self._sender.counts()

    def observe(self, provider: MeterProvider) -> None:
        """Show `counts` as metrics: `otel.sdk.exporter.span.exported` and `.inflight`."""
        observe(provider, self._sender.counts, component=type(self).__name__, what="span")

    def count_ended(self) -> None:
        """Count a span that has ended and is on its way here: KafkaSpanProcessor calls it."""
        self._sender.count_ended()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand spans to the buffer; FAILURE if one of them was dropped. Does not wait for Kafka."""
        records = span_records(spans, self._delivery.value_bytes_max)
        if self._sender.send(records, wait_s=self._delivery.buffer_full_wait_s):
            return SpanExportResult.SUCCESS
        return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: float = FLUSH_MS) -> bool:
        """Wait until Kafka has what was exported; False if it has not, or something was dropped."""
        return self._sender.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = FLUSH_MS) -> None:
        """Flush, for `shutdown_wait_s` at most, and disconnect; `counts` says what came of it."""
        self._sender.close(min(timeout_millis / 1000, self._delivery.shutdown_wait_s))


class KafkaSpanProcessor(BatchSpanProcessor):
    """The SDK's BatchSpanProcessor, with a `force_flush` that waits for Kafka, and exact counts.

    The SDK's own hands the spans to the exporter and returns True, whatever becomes of them there.
    Takes what the SDK's takes.
    """

    def __init__(self, span_exporter: KafkaSpanExporter, *args: Any, **names: Any) -> None:
        super().__init__(span_exporter, *args, **names)
        self._exporter = span_exporter

    def on_end(self, span: ReadableSpan) -> None:
        """Count a span, if it is sampled, and queue it."""
        if span.context and span.context.trace_flags.sampled:
            self._exporter.count_ended()
        super().on_end(span)

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export what has ended and wait for Kafka; False if it is not there, or was dropped."""
        exporter = self._exporter
        dropped = exporter.counts.dropped_total
        timeout_s = (FLUSH_MS if timeout_millis is None else timeout_millis) / 1000
        until_s = clock.monotonic_s() + timeout_s
        handed_over = super().force_flush(timeout_millis)
        arrived = exporter.force_flush(max(0.0, until_s - clock.monotonic_s()) * 1000)
        return handed_over and arrived and exporter.counts.dropped_total == dropped

    def shutdown(self) -> None:
        """Export what has ended, wait for Kafka for `shutdown_wait_s` at most, and end."""
        super().shutdown()  # type: ignore[no-untyped-call]  # the SDK's has no annotations


def span_records(spans: Sequence[ReadableSpan], value_bytes_max: int) -> Iterator[Record | Unfit]:
    """Yield a batch's records: one per trace and resource, in order of their first spans."""
    groups: dict[tuple[int, int], list[ReadableSpan]] = {}
    for span in spans:
        # A provider has one resource object, and comparing resources costs more than encoding one.
        groups.setdefault((span.context.trace_id, id(span.resource)), []).append(span)
    for (trace_id, _), group in groups.items():
        yield from fitting_records(b"%032x" % trace_id, group, _encoded, value_bytes_max)


def _encoded(spans: Sequence[ReadableSpan]) -> bytes:
    # ExportTraceServiceRequest is TracesData under another name: the same field, the same number.
    return encode_spans(spans).SerializeToString()
