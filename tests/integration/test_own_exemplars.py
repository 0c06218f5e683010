"""What the worker's own metrics point at is in its output."""

from pathlib import Path

import pytest
from confluent_kafka import Producer
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from stream.testing.spans import a_trace, trace_id_of, traces_data
from tests.harness.oracle import Rules
from tests.harness.reading import read_whole
from tests.harness.topics import topics_of_a_test
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=1_000, slow_ms=1_000, percentage=0)
ERRORS = [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
HISTOGRAMS = ("decision_delay_seconds", "trace_duration_seconds")


def test_exemplars_of_the_workers_metrics_are_kept_traces(kafka: str, tmp_path: Path) -> None:
    with topics_of_a_test(kafka) as topics:
        worker = WorkerProcess(topics, RULES, tmp_path, slot="w", policies=ERRORS)
        try:
            worker.start()
            worker.wait_until_ready()
            producer = Producer({"bootstrap.servers": kafka, "partitioner": "fnv1a"})
            for number in range(1, 101):
                key = trace_id_of(number).hex().encode()
                producer.produce(
                    topics.input, traces_data(a_trace(number, error=number % 3 == 0)), key
                )
            assert producer.flush(30) == 0
            wait_until_all_is_decided(topics, [worker])
            content_type, text = worker.get("/metrics", OPENMETRICS)
            _, plain = worker.get("/metrics")
        finally:
            worker.close()
        kept = {record.key.decode() for record in read_whole(kafka, topics.output)}

    assert content_type.startswith("application/openmetrics-text")
    shown = exemplars_in(text)
    for name in HISTOGRAMS:
        assert shown[name], text
        assert shown[name] <= kept
    assert len(kept) == 33
    assert 'tailstream_trace_duration_seconds_count{policy="errors"} 33.0' in plain
    assert "# {" not in plain


def exemplars_in(text: str) -> dict[str, set[str]]:
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # it has no types there
    samples = [sample for family in families for sample in family.samples]
    return {
        name: {
            sample.exemplar.labels["trace_id"]
            for sample in samples
            if sample.name == f"tailstream_{name}_bucket" and sample.exemplar is not None
        }
        for name in HISTOGRAMS
    }
