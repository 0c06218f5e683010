"""What KafkaSpanExporter writes is what the Collector's exporter would, and is accounted for."""

import uuid
from collections.abc import Iterator

import confluent_kafka
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from stream.kafka.embedded import PARTITIONS, EmbeddedBroker
from stream.kafka.partitioner import PARTITIONERS
from stream.propagation import delivery as delivery_module
from stream.propagation.delivery import Delivery
from stream.propagation.export_counts import DropReason, ExportCounts
from stream.propagation.span_exporter import KafkaSpanExporter, KafkaSpanProcessor
from tests.harness.exported import end_traces, resource_spans, spans_of, tracer_into
from tests.harness.reading import Stored, read_whole

FLUSH_MS = 30_000
NOBODY = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def topic(broker: EmbeddedBroker) -> str:
    broker.create_topic(name := f"spans-{uuid.uuid4().hex}")
    return name


def exported(broker: EmbeddedBroker, topic: str, exporter: KafkaSpanExporter) -> list[Stored]:
    assert exporter.force_flush(FLUSH_MS)
    exporter.shutdown()
    return read_whole(broker.address, topic)


def test_a_batch_is_one_record_per_trace_keyed_by_its_id_in_hexadecimal(
    broker: EmbeddedBroker, topic: str
) -> None:
    exporter = KafkaSpanExporter({"bootstrap.servers": broker.address}, topic=topic)
    processor = KafkaSpanProcessor(exporter)
    end_traces(tracer_into(processor), 20, spans=3)
    assert processor.force_flush(FLUSH_MS)

    records = exported(broker, topic, exporter)
    processor.shutdown()
    assert len(records) == 20
    for record in records:
        spans = list(spans_of([record]))
        assert {span.trace_id.hex().encode() for span in spans} == {record.key}
        assert [span.name for span in spans] == ["child", "child", "root"]
        assert record.headers == {}


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_a_record_lies_where_the_partitioner_of_the_topic_puts_its_key(
    broker: EmbeddedBroker, topic: str, partitioner: str
) -> None:
    kafka = {"bootstrap.servers": broker.address}
    exporter = KafkaSpanExporter(kafka, topic=topic, partitioner=partitioner)
    end_traces(tracer_into(SimpleSpanProcessor(exporter)), 40)

    records = exported(broker, topic, exporter)
    partition_of = PARTITIONERS[partitioner]
    assert len(records) == 40
    assert all(record.partition == partition_of(record.key, PARTITIONS) for record in records)


def test_spans_of_two_services_in_one_trace_are_two_records_with_one_key(
    broker: EmbeddedBroker, topic: str
) -> None:
    kept = InMemorySpanExporter()
    shop = tracer_into(SimpleSpanProcessor(kept), "shop")
    bank = tracer_into(SimpleSpanProcessor(kept), "bank")
    with shop.start_as_current_span("pay"), bank.start_as_current_span("charge"):
        pass
    exporter = KafkaSpanExporter({"bootstrap.servers": broker.address}, topic=topic)
    assert exporter.export(kept.get_finished_spans()) is SpanExportResult.SUCCESS

    records = exported(broker, topic, exporter)
    services = [
        attribute.value.string_value
        for record in records
        for attribute in resource_spans(record).resource.attributes
    ]
    assert sorted(services) == ["bank", "shop"]
    assert len({record.key for record in records}) == 1


def test_a_record_holds_what_the_otlp_exporter_would_send(
    broker: EmbeddedBroker, topic: str
) -> None:
    kept = InMemorySpanExporter()
    tracer = tracer_into(SimpleSpanProcessor(kept))
    with tracer.start_as_current_span("root", attributes={"a": 1, "b": ["x"]}) as root:
        root.add_event("note", {"c": 2.5})
        root.set_status(Status(StatusCode.ERROR, "no"))
    exporter = KafkaSpanExporter({"bootstrap.servers": broker.address}, topic=topic)
    exporter.export(kept.get_finished_spans())

    (record,) = exported(broker, topic, exporter)
    sent = encode_spans(kept.get_finished_spans())
    assert resource_spans(record) == sent.resource_spans[0]


def test_a_group_beyond_the_message_limit_is_split_and_loses_no_span(
    broker: EmbeddedBroker, topic: str
) -> None:
    kept = InMemorySpanExporter()
    end_traces(tracer_into(SimpleSpanProcessor(kept)), 1, spans=50, text="x" * 300)
    limits = Delivery(message_bytes_max=4_000)
    kafka = {"bootstrap.servers": broker.address}
    exporter = KafkaSpanExporter(kafka, topic=topic, delivery=limits)
    assert exporter.export(kept.get_finished_spans()) is SpanExportResult.SUCCESS

    records = exported(broker, topic, exporter)
    ended = {span.context.span_id.to_bytes(8, "big") for span in kept.get_finished_spans()}
    read = [span.span_id for span in spans_of(records)]
    assert len(records) > 1
    assert max(len(record.value) + len(record.key) for record in records) <= 4_000
    assert len(read) == 50
    assert set(read) == ended


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("large", "x" * 5_000, DropReason.TOO_LARGE),
        ("no Unicode: \ud800", "", DropReason.NOT_ENCODABLE),
    ],
)
def test_a_span_that_fits_no_record_is_counted_and_takes_no_neighbour_with_it(
    broker: EmbeddedBroker, topic: str, name: str, text: str, reason: DropReason
) -> None:
    kept = InMemorySpanExporter()
    tracer = tracer_into(SimpleSpanProcessor(kept))
    with tracer.start_as_current_span("root"):
        end_traces(tracer, 3)
        with tracer.start_as_current_span(name, attributes={"text": text}):
            pass
        end_traces(tracer, 3)
    limits = Delivery(message_bytes_max=4_000)
    kafka = {"bootstrap.servers": broker.address}
    exporter = KafkaSpanExporter(kafka, topic=topic, delivery=limits)
    assert exporter.export(kept.get_finished_spans()) is SpanExportResult.FAILURE

    records = exported(broker, topic, exporter)
    assert [span.name for span in spans_of(records)].count("root") == 7
    assert exporter.counts == ExportCounts(8, 7, {reason: 1}, 0)


def test_what_the_full_buffer_does_not_take_is_dropped_and_counted_to_the_span() -> None:
    limits = Delivery(buffer_records_max=10, buffer_full_wait_s=0, shutdown_wait_s=0)
    exporter = KafkaSpanExporter(NOBODY, delivery=limits)
    end_traces(tracer_into(SimpleSpanProcessor(exporter)), 100)
    assert exporter.counts == ExportCounts(100, 0, {DropReason.BUFFER_FULL: 90}, 10)

    exporter.shutdown()
    dropped = {DropReason.BUFFER_FULL: 90, DropReason.SHUTDOWN: 10}
    assert exporter.counts == ExportCounts(100, 0, dropped, 0)


def test_a_buffer_is_full_by_bytes_too() -> None:
    limits = Delivery(buffer_bytes_max=16 << 10, buffer_full_wait_s=0, shutdown_wait_s=0)
    exporter = KafkaSpanExporter(NOBODY, delivery=limits)
    end_traces(tracer_into(SimpleSpanProcessor(exporter)), 20, text="x" * 1_000)
    counts = exporter.counts
    exporter.shutdown()
    assert 10 <= counts.waiting < 16
    assert counts.dropped == {DropReason.BUFFER_FULL: 20 - counts.waiting}


def test_a_full_buffer_is_waited_for_and_loses_nothing_while_the_broker_takes_it(
    broker: EmbeddedBroker, topic: str
) -> None:
    limits = Delivery(buffer_records_max=2, buffer_full_wait_s=60)
    kafka = {"bootstrap.servers": broker.address}
    exporter = KafkaSpanExporter(kafka, topic=topic, delivery=limits)
    end_traces(tracer_into(SimpleSpanProcessor(exporter)), 50)
    assert len(exported(broker, topic, exporter)) == 50
    assert exporter.counts == ExportCounts(50, 50, {}, 0)


def test_what_no_broker_took_within_the_delivery_timeout_is_dropped_as_timed_out() -> None:
    limits = Delivery(delivery_timeout_s=0.1, shutdown_wait_s=0)
    exporter = KafkaSpanExporter(NOBODY, delivery=limits)
    end_traces(tracer_into(SimpleSpanProcessor(exporter)), 3)
    assert exporter.force_flush(FLUSH_MS) is False
    exporter.shutdown()
    assert exporter.counts == ExportCounts(3, 0, {DropReason.TIMED_OUT: 3}, 0)


def test_a_flush_that_ends_before_the_broker_took_all_says_so() -> None:
    exporter = KafkaSpanExporter(NOBODY, delivery=Delivery(shutdown_wait_s=0))
    assert exporter.force_flush(1) is True
    end_traces(tracer_into(SimpleSpanProcessor(exporter)), 1)
    assert exporter.force_flush(1) is False
    exporter.shutdown()


def test_the_processors_flush_tells_what_the_exporter_dropped_on_the_way(
    broker: EmbeddedBroker, topic: str
) -> None:
    exporter = KafkaSpanExporter({"bootstrap.servers": broker.address}, topic=topic)
    processor = KafkaSpanProcessor(exporter)
    tracer = tracer_into(processor)
    tracer.start_span("no Unicode: \ud800").end()
    assert processor.force_flush(FLUSH_MS) is False
    tracer.start_span("fine").end()
    assert processor.force_flush(FLUSH_MS) is True
    processor.shutdown()


def test_a_provider_that_shuts_down_without_a_broker_ends_and_drops_what_it_has() -> None:
    limits = Delivery(buffer_records_max=10, buffer_full_wait_s=0.01, shutdown_wait_s=0.1)
    exporter = KafkaSpanExporter(NOBODY, delivery=limits)
    processor = KafkaSpanProcessor(exporter)
    end_traces(tracer_into(processor), 100)
    processor.shutdown()

    dropped = {DropReason.BUFFER_FULL: 90, DropReason.SHUTDOWN: 10}
    assert exporter.counts == ExportCounts(100, 0, dropped, 0, ended=100)


def test_spans_after_the_shutdown_are_dropped_and_counted() -> None:
    kept = InMemorySpanExporter()
    end_traces(tracer_into(SimpleSpanProcessor(kept)), 1)
    exporter = KafkaSpanExporter(NOBODY)
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.export(kept.get_finished_spans()) is SpanExportResult.FAILURE
    assert exporter.counts == ExportCounts(1, 0, {DropReason.SHUTDOWN: 1}, 0)


def test_the_counts_are_metrics_under_the_names_of_the_sdks_conventions(
    broker: EmbeddedBroker, topic: str
) -> None:
    reader = InMemoryMetricReader()
    exporter = KafkaSpanExporter({"bootstrap.servers": broker.address}, topic=topic)
    exporter.observe(MeterProvider([reader], shutdown_on_exit=False))
    tracer = tracer_into(SimpleSpanProcessor(exporter))
    tracer.start_span("no Unicode: \ud800").end()
    end_traces(tracer, 4)
    assert exporter.force_flush(FLUSH_MS)

    points = points_by_name(reader)
    exporter.shutdown()
    exported_points = points["otel.sdk.exporter.span.exported"]
    by_reason = {
        (point.attributes or {}).get("error.type"): point.value for point in exported_points
    }
    assert by_reason == {None: 4, "not_encodable": 1}
    assert [point.value for point in points["otel.sdk.exporter.span.inflight"]] == [0]


def points_by_name(reader: InMemoryMetricReader) -> dict[str, list[NumberDataPoint]]:
    read = reader.get_metrics_data()
    assert read is not None
    return {
        metric.name: [
            point for point in metric.data.data_points if isinstance(point, NumberDataPoint)
        ]
        for resource in read.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_a_client_library_that_is_instrumented_does_not_trace_the_exporter(
    broker: EmbeddedBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = InMemorySpanExporter()
    tracer = tracer_into(SimpleSpanProcessor(kept))

    class TracedProducer(confluent_kafka.Producer):  # type: ignore[misc]  # the client is untyped
        """As the instrumentation of confluent-kafka puts it in the client's place."""

        def produce(self, *args: object, **names: object) -> None:
            with tracer.start_as_current_span("send"):
                super().produce(*args, **names)

    monkeypatch.setattr(confluent_kafka, "Producer", TracedProducer)
    exporter = KafkaSpanExporter({"bootstrap.servers": broker.address}, topic=topic)
    end_traces(tracer_into(SimpleSpanProcessor(exporter)), 1)
    assert len(exported(broker, topic, exporter)) == 1
    assert kept.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("kafka", "options", "message"),
    [
        ({}, {}, r"bootstrap\.servers is missing"),
        (NOBODY, {"partitioner": "crc32"}, r"partitioner: 'crc32': use one of fnv1a, murmur2"),
        ({**NOBODY, "no.such": 1}, {}, r'No such configuration property: "no\.such"'),
        ({**NOBODY, "partitioner": "random"}, {}, r"kafka: partitioner: the exporter's own"),
        (NOBODY, {"delivery": Delivery(compression="tar")}, r"compression: 'tar': use one of none"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_its_name_and_the_remedy(
    kafka: dict[str, object], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        KafkaSpanExporter(kafka, **options)  # type: ignore[arg-type]  # each case has its own


def test_the_partitioners_are_those_of_the_workers_setting() -> None:
    assert delivery_module.PARTITIONERS.keys() == PARTITIONERS.keys()
