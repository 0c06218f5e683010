"""Metrics, with their exemplars, from a Python application to Kafka: `otlp_metrics`.

    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from stream.propagation.metric_exporter import KafkaMetricExporter

    exporter = KafkaMetricExporter({"bootstrap.servers": "localhost:9092"})
    provider = MeterProvider(metric_readers=[PeriodicExportingMetricReader(exporter)])

A measurement made inside a sampled span leaves an exemplar with that span's ids (the SDK's default,
OTEL_METRICS_EXEMPLAR_FILTER=trace_based); `tailstream exemplars` pins its trace.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.view import Aggregation

from stream.propagation.delivery import Delivery
from stream.propagation.export_counts import ExportCounts, observe
from stream.propagation.fitting import fitting_records
from stream.propagation.kafka_sender import KafkaSender
from stream.propagation.record import Record, Unfit

METRICS_TOPIC: Final = "otlp_metrics"
EXPORT_MS: Final = 10_000
SHUTDOWN_MS: Final = 30_000


class KafkaMetricExporter(MetricExporter):
    """Writes metrics to Kafka: OTLP protobuf (`MetricsData`), without a key, as the Collector.

    One record holds a whole collection, as far as `message_bytes_max` allows: it is split between
    data points. `kafka` are librdkafka's producer properties; the preferences are the SDK's, by
    instrument class (its defaults: cumulative, explicit buckets).

    What Kafka does never raises into the application, and never holds it up for longer than
    `Delivery` says. What is counted are data points.

    Raises:
        ValueError: a setting that is missing, not known, or given twice.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        *,
        topic: str = METRICS_TOPIC,
        delivery: Delivery | None = None,
        preferred_temporality: dict[type, AggregationTemporality] | None = None,
        preferred_aggregation: dict[type, Aggregation] | None = None,
    ) -> None:
        super().__init__(preferred_temporality, preferred_aggregation)
        self._delivery = delivery or Delivery()
        self._sender = KafkaSender(kafka, topic, partitioner="fnv1a", delivery=self._delivery)

    @property
    def counts(self) -> ExportCounts:
        """What became of the data points so far: received = exported + dropped + waiting."""
        return self._sender.counts()

    def observe(self, provider: MeterProvider) -> None:
        """Show `counts` as metrics: `otel.sdk.exporter.metric_data_point.exported`, `.inflight`."""
        component = type(self).__name__
        observe(provider, self._sender.counts, component=component, what="metric_data_point")

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = EXPORT_MS, **_: Any
    ) -> MetricExportResult:
        """Hand metrics to the buffer; FAILURE if something of them was dropped."""
        records = metric_records(metrics_data, self._delivery.value_bytes_max)
        wait_s = min(self._delivery.buffer_full_wait_s, timeout_millis / 1000)
        if self._sender.send(records, wait_s=wait_s):
            return MetricExportResult.SUCCESS
        return MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = EXPORT_MS) -> bool:
        """Wait until Kafka has what was exported; False if it has not, or something was dropped."""
        return self._sender.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = SHUTDOWN_MS, **names: Any) -> None:
        """Flush, for `shutdown_wait_s` at most, and disconnect; `counts` says what came of it."""
        # The SDK's periodic reader says `timeout`, in milliseconds as well.
        given_s = names.get("timeout", timeout_millis) / 1000
        self._sender.close(min(given_s, self._delivery.shutdown_wait_s))


@dataclass(frozen=True, slots=True)
class _Row:
    """A data point, and what it lies in."""

    resource: ResourceMetrics
    scope: ScopeMetrics
    metric: Metric
    point: Any


def metric_records(metrics: MetricsData, value_bytes_max: int) -> Iterator[Record | Unfit]:
    """Yield a collection's records: one, or as few as halving makes fit. None without a point."""
    rows = [
        _Row(resource, scope, metric, point)
        for resource in metrics.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]
    if rows:
        yield from fitting_records(None, rows, _encoded, value_bytes_max)


def _encoded(rows: Sequence[_Row]) -> bytes:
    # ExportMetricsServiceRequest is MetricsData under another name, like a span's.
    return encode_metrics(MetricsData(list(_resources(rows)))).SerializeToString()


def _resources(rows: Sequence[_Row]) -> Iterator[ResourceMetrics]:
    for _, group in groupby(rows, key=lambda row: id(row.resource)):
        below = list(group)
        yield replace(below[0].resource, scope_metrics=list(_scopes(below)))


def _scopes(rows: Sequence[_Row]) -> Iterator[ScopeMetrics]:
    for _, group in groupby(rows, key=lambda row: id(row.scope)):
        below = list(group)
        yield replace(below[0].scope, metrics=list(_metrics(below)))


def _metrics(rows: Sequence[_Row]) -> Iterator[Metric]:
    for _, group in groupby(rows, key=lambda row: id(row.metric)):
        below = list(group)
        metric = below[0].metric
        kind: Any = metric.data
        points = [row.point for row in below]
        yield replace(metric, data=replace(kind, data_points=points))
