"""What KafkaMetricExporter writes: whole collections, exemplars included, in records that fit."""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.trace import TracerProvider

from stream.kafka.embedded import EmbeddedBroker
from stream.propagation.delivery import Delivery
from stream.propagation.export_counts import DropReason, ExportCounts
from stream.propagation.metric_exporter import KafkaMetricExporter
from tests.harness.reading import Stored, read_whole

FLUSH_MS = 30_000
NOBODY = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def topic(broker: EmbeddedBroker) -> str:
    broker.create_topic(name := f"metrics-{uuid.uuid4().hex}")
    return name


def collected(series: int, *, text: str = "") -> MetricsData:
    """Return a collection of a counter and a histogram, each of so many data points."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("tests")
    for number in range(series):
        attributes: dict[str, int | str] = {"number": number, "text": text}
        meter.create_counter("orders").add(1, attributes)
        meter.create_histogram("duration", unit="s").record(0.5, attributes)
    read = reader.get_metrics_data()
    assert read is not None
    return read


def exported(broker: EmbeddedBroker, topic: str, exporter: KafkaMetricExporter) -> list[Stored]:
    assert exporter.force_flush(FLUSH_MS)
    exporter.shutdown()
    return read_whole(broker.address, topic)


def metrics_of(records: Sequence[Stored]) -> list[metrics_pb2.Metric]:
    return [
        metric
        for record in records
        for resource in metrics_pb2.MetricsData.FromString(record.value).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]


def test_a_collection_is_one_record_without_a_key_as_the_otlp_exporter_would_send_it(
    broker: EmbeddedBroker, topic: str
) -> None:
    exporter = KafkaMetricExporter({"bootstrap.servers": broker.address}, topic=topic)
    metrics = collected(3)
    assert exporter.export(metrics) is MetricExportResult.SUCCESS

    (record,) = exported(broker, topic, exporter)
    assert record.key == b""
    assert record.value == encode_metrics(metrics).SerializeToString()
    assert exporter.counts == ExportCounts(6, 6, {}, 0)


def test_a_measurement_inside_a_span_leaves_an_exemplar_with_its_ids(
    broker: EmbeddedBroker, topic: str
) -> None:
    exporter = KafkaMetricExporter({"bootstrap.servers": broker.address}, topic=topic)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("tests")
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tests")
    with tracer.start_as_current_span("checkout") as span:
        meter.create_histogram("duration").record(2.5)
        meter.create_counter("orders").add(1)
    meter.create_counter("outside").add(1)
    provider.force_flush(FLUSH_MS)
    provider.shutdown(FLUSH_MS)

    ids = span.get_span_context()
    expected = (ids.trace_id.to_bytes(16, "big"), ids.span_id.to_bytes(8, "big"))
    metrics = {metric.name: metric for metric in metrics_of(read_whole(broker.address, topic))}
    (measured,) = metrics["duration"].histogram.data_points[0].exemplars
    (counted,) = metrics["orders"].sum.data_points[0].exemplars
    assert [(one.trace_id, one.span_id) for one in (measured, counted)] == [expected, expected]
    assert measured.as_double == 2.5
    assert list(metrics["outside"].sum.data_points[0].exemplars) == []


def test_a_collection_beyond_the_message_limit_is_split_between_data_points(
    broker: EmbeddedBroker, topic: str
) -> None:
    limits = Delivery(message_bytes_max=4_000)
    kafka = {"bootstrap.servers": broker.address}
    exporter = KafkaMetricExporter(kafka, topic=topic, delivery=limits)
    metrics = collected(20, text="x" * 200)
    assert exporter.export(metrics) is MetricExportResult.SUCCESS

    records = exported(broker, topic, exporter)
    numbers: dict[str, list[int]] = {"orders": [], "duration": []}
    for metric in metrics_of(records):
        points: list[Any] = [*metric.sum.data_points, *metric.histogram.data_points]
        for point in points:
            found = {one.key: one.value for one in point.attributes}
            numbers[metric.name].append(found["number"].int_value)
    assert len(records) > 1
    assert max(len(record.value) for record in records) <= 4_000
    assert {name: sorted(found) for name, found in numbers.items()} == {
        "orders": list(range(20)),
        "duration": list(range(20)),
    }
    assert {metric.unit for metric in metrics_of(records) if metric.name == "duration"} == {"s"}


def test_a_data_point_that_fits_no_record_is_counted_and_takes_no_neighbour_with_it(
    broker: EmbeddedBroker, topic: str
) -> None:
    limits = Delivery(message_bytes_max=4_000)
    kafka = {"bootstrap.servers": broker.address}
    exporter = KafkaMetricExporter(kafka, topic=topic, delivery=limits)
    reader = InMemoryMetricReader()
    counter = MeterProvider([reader], shutdown_on_exit=False).get_meter("t").create_counter("c")
    for text in ("small", "x" * 5_000, "small too"):
        counter.add(1, {"text": text})
    metrics = reader.get_metrics_data()
    assert metrics is not None
    assert exporter.export(metrics) is MetricExportResult.FAILURE

    points = [
        point.attributes[0].value.string_value
        for metric in metrics_of(exported(broker, topic, exporter))
        for point in metric.sum.data_points
    ]
    assert sorted(points) == ["small", "small too"]
    assert exporter.counts == ExportCounts(3, 2, {DropReason.TOO_LARGE: 1}, 0)


def test_the_readers_shutdown_without_a_broker_ends_and_drops_the_last_collection() -> None:
    exporter = KafkaMetricExporter(NOBODY, delivery=Delivery(shutdown_wait_s=0.1))
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("tests").create_counter("orders").add(1)
    provider.shutdown()
    assert exporter.counts == ExportCounts(1, 0, {DropReason.SHUTDOWN: 1}, 0)


def test_the_preferences_choose_temporality_and_aggregation(
    broker: EmbeddedBroker, topic: str
) -> None:
    exporter = KafkaMetricExporter(
        {"bootstrap.servers": broker.address},
        topic=topic,
        preferred_temporality={Counter: AggregationTemporality.DELTA},
        preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()},
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("tests")
    meter.create_counter("orders").add(1)
    meter.create_histogram("duration").record(2.5)
    provider.force_flush(FLUSH_MS)
    provider.shutdown(FLUSH_MS)

    metrics = {metric.name: metric for metric in metrics_of(read_whole(broker.address, topic))}
    delta = metrics_pb2.AGGREGATION_TEMPORALITY_DELTA
    assert metrics["orders"].sum.aggregation_temporality == delta
    assert metrics["duration"].exponential_histogram.data_points[0].count == 1


def test_its_counts_are_metrics_too(broker: EmbeddedBroker, topic: str) -> None:
    exporter = KafkaMetricExporter({"bootstrap.servers": broker.address}, topic=topic)
    reader = InMemoryMetricReader()
    exporter.observe(MeterProvider([reader], shutdown_on_exit=False))
    exporter.export(collected(2))
    assert exporter.force_flush(FLUSH_MS)
    read = reader.get_metrics_data()
    exporter.shutdown()
    assert read is not None
    values = {
        metric.name: [getattr(point, "value", None) for point in metric.data.data_points]
        for metric in read.resource_metrics[0].scope_metrics[0].metrics
    }
    assert values == {
        "otel.sdk.exporter.metric_data_point.exported": [4],
        "otel.sdk.exporter.metric_data_point.inflight": [0],
    }
