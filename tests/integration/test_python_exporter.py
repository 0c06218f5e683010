"""A Python application feeds Tailstream itself: through outages, and as far as a kept trace."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, StatusCode

from stream.propagation.delivery import Delivery
from stream.propagation.export_counts import DropReason, ExportCounts
from stream.propagation.span_exporter import KafkaSpanExporter, KafkaSpanProcessor
from tests.harness.broker import Broker
from tests.harness.exported import end_traces, spans_of, tracer_into
from tests.harness.oracle import Rules
from tests.harness.reading import read_whole
from tests.harness.topics import create_topics, topics_of_a_test, wait_for
from tests.harness.worker import WorkerProcess

pytestmark = pytest.mark.integration

FLUSH_MS = 120_000


def test_a_broker_that_is_killed_and_comes_back_loses_no_span_and_doubles_none(
    own_broker: Broker,
) -> None:
    create_topics(own_broker.bootstrap, ["spans"])
    exporter = KafkaSpanExporter({"bootstrap.servers": own_broker.bootstrap}, topic="spans")
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    # A record for each span, so that many are under way at any instant.
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("tests")
    end_traces(tracer, 200)
    assert exporter.force_flush(FLUSH_MS)

    application = threading.Thread(target=end_traces, args=(tracer, 4_000), kwargs={"spans": 2})
    application.start()
    own_broker.kill()
    application.join()
    waited = exporter.counts.waiting
    own_broker.start()

    assert waited > 0, "the outage came too late to show anything"
    assert exporter.force_flush(FLUSH_MS)
    exporter.shutdown()
    assert exporter.counts == ExportCounts(8_200, 8_200, {}, 0)
    read = [span.span_id for span in spans_of(read_whole(own_broker.bootstrap, "spans"))]
    assert sorted(read) == sorted(span_id(span) for span in kept.get_finished_spans())


def test_in_an_outage_longer_than_the_buffer_every_ended_span_is_exported_or_counted_as_dropped(
    own_broker: Broker,
) -> None:
    create_topics(own_broker.bootstrap, ["spans"])
    limits = Delivery(buffer_records_max=100, buffer_full_wait_s=0.2)
    kafka = {"bootstrap.servers": own_broker.bootstrap}
    exporter = KafkaSpanExporter(kafka, topic="spans", delivery=limits)
    processor = KafkaSpanProcessor(exporter, max_queue_size=50, max_export_batch_size=25)
    tracer = tracer_into(processor)
    end_traces(tracer, 20)
    assert processor.force_flush(FLUSH_MS)

    own_broker.kill()
    end_traces(tracer, 500)
    assert processor.force_flush(100) is False
    end_traces(tracer, 500)
    own_broker.start()
    assert exporter.force_flush(FLUSH_MS)
    processor.shutdown()

    counts = exporter.counts
    dropped_by_the_queue = counts.ended - counts.received
    assert counts.ended == 1_020
    assert dropped_by_the_queue > 0
    assert counts.dropped == {DropReason.BUFFER_FULL: counts.received - counts.exported}
    assert counts.exported >= 120
    assert len(list(spans_of(read_whole(own_broker.bootstrap, "spans")))) == counts.exported


@pytest.mark.parametrize(
    ("partitioner", "partitions", "expected"),
    [
        ("fnv1a", 6, [0, 1]),
        ("fnv1a", 12, [6, 7]),
        ("fnv1a", 50, [10, 49]),
        ("murmur2", 6, [2, 1]),
        ("murmur2", 12, [2, 7]),
        ("murmur2", 50, [38, 29]),
    ],
)
def test_a_trace_lies_in_the_partition_where_the_collector_or_a_java_client_puts_it(
    kafka: str, partitioner: str, partitions: int, expected: list[int]
) -> None:
    with topic_of(kafka, partitions) as topic:
        settings = {"bootstrap.servers": kafka}
        exporter = KafkaSpanExporter(settings, topic=topic, partitioner=partitioner)
        provider = TracerProvider(id_generator=TwoTraces(), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        end_traces(provider.get_tracer("tests"), 2)
        assert exporter.force_flush(FLUSH_MS)
        exporter.shutdown()
        places = {record.key: record.partition for record in read_whole(kafka, topic)}

    assert places == dict(zip(TwoTraces.KEYS, expected, strict=True))


@contextmanager
def topic_of(bootstrap: str, partitions: int) -> Iterator[str]:
    create_topics(bootstrap, [topic := f"test_{uuid.uuid4().hex}"], partitions=partitions)
    try:
        yield topic
    finally:
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
        admin.delete_topics([topic])[topic].result(30)


class TwoTraces(RandomIdGenerator):
    KEYS = (b"4bf92f3577b34da6a3ce929d0e0e4736", b"0af7651916cd43dd8448eb211c80319c")

    def __init__(self) -> None:
        self._keys = iter(self.KEYS)

    def generate_trace_id(self) -> int:
        return int(next(self._keys), 16)


def test_spans_for_a_topic_that_does_not_exist_are_refused_and_counted(kafka: str) -> None:
    settings = {"bootstrap.servers": kafka, "topic.metadata.propagation.max.ms": 500}
    exporter = KafkaSpanExporter(settings, topic=f"test_{uuid.uuid4().hex}")
    end_traces(tracer_into(SimpleSpanProcessor(exporter)), 3)
    assert exporter.force_flush(FLUSH_MS) is False
    exporter.shutdown()
    assert exporter.counts == ExportCounts(3, 0, {DropReason.REFUSED: 3}, 0)


@pytest.fixture
def workers() -> Iterator[list[WorkerProcess]]:
    """Give a list; the workers that a test puts there end with it."""
    running: list[WorkerProcess] = []
    yield running
    for worker in running:
        worker.close()


def test_a_worker_keeps_the_trace_with_an_error_that_a_python_application_exported(
    kafka: str, tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    with topics_of_a_test(kafka) as topics:
        rules = Rules(decision_wait_ms=1000, slow_ms=60_000, percentage=0)
        workers.append(worker := WorkerProcess(topics, rules, tmp_path, slot="w"))
        worker.start()
        worker.wait_until_ready()
        exporter = KafkaSpanExporter({"bootstrap.servers": kafka}, topic=topics.input)
        processor = KafkaSpanProcessor(exporter)
        tracer = tracer_into(processor)
        end_traces(tracer, 5, spans=3)
        with tracer.start_as_current_span("checkout") as root:
            end_traces(tracer, 2)
            root.set_status(StatusCode.ERROR)
        processor.shutdown()
        assert exporter.counts == ExportCounts(18, 18, {}, 0, ended=18)

        def decided() -> int:
            accounts = worker.accounts()
            return accounts["sampled"] + accounts["not_sampled"]

        wait_for("all spans decided", lambda: decided() == 18, timeout_s=60)
        accounts, odd = worker.accounts(), worker.records()
        worker.terminate()

        output = read_whole(kafka, topics.output)
        (key,) = {record.key for record in output}
        assert key == b"%032x" % root.get_span_context().trace_id
        assert sorted(span.name for span in spans_of(output)) == ["checkout", "root", "root"]
        assert (accounts["received"], accounts["sampled"]) == (18, 3)
        assert (odd.get("misrouted", 0), odd.get("key_mismatch", 0)) == (0, 0)


def span_id(span: ReadableSpan) -> bytes:
    context: SpanContext = span.context
    return context.span_id.to_bytes(8, "big")
