"""Metrics, `tailstream exemplars` and a worker on a real Kafka: what an exemplar names is there."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer

from stream.testing.spans import a_trace, spans_of, trace_id_of, traces_data
from tests.harness.children import Child
from tests.harness.oracle import Rules
from tests.harness.otlp_metrics import one_point
from tests.harness.ports import free_ports
from tests.harness.reading import read_whole
from tests.harness.topics import GroupOffsets, create_topics, topics_of_a_test, wait_for
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

COMMAND = Path(sys.executable).with_name("tailstream")
RULES = Rules(decision_wait_ms=1_000, slow_ms=1_000, percentage=0)
ERRORS = [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]
TIMEOUT_S = 60.0
EARLY, LATE, NEVER = range(100, 200), range(200, 300), range(300, 400)
"""Traces whose exemplars come before their spans, after their verdict, and never."""


def test_every_trace_that_an_exemplar_names_is_in_the_output_whole_and_no_other(
    kafka: str, tmp_path: Path
) -> None:
    with topics_of_a_test(kafka) as topics:
        metrics = f"{topics.prefix}_metrics"
        create_topics(kafka, [metrics], partitions=2)
        producer = Producer({"bootstrap.servers": kafka, "partitioner": "fnv1a"})

        def export(traces: range) -> None:
            for trace in traces:
                producer.produce(metrics, one_point(trace_id_of(trace)))
            assert producer.flush(TIMEOUT_S) == 0

        worker = WorkerProcess(topics, RULES, tmp_path, slot="worker-0", policies=ERRORS)
        worker.start()
        settings = {
            "kafka.bootstrap.servers": kafka,
            "worker.group": topics.group,
            "topics.input": topics.input,
            "topics.metrics": metrics,
            "web.port": str(free_ports(1)[0]),
        }
        options = [word for each in settings.items() for word in ("--set", "=".join(each))]
        pinner = Child(
            [str(COMMAND), "exemplars", *options], log=tmp_path / "log", env={**os.environ}
        )
        try:
            worker.wait_until_ready()
            export(EARLY)
            group = GroupOffsets(kafka, f"{topics.group}-exemplars", metrics)
            wait_for("pinned", lambda: sum(group.committed().values()) == 100, timeout_s=TIMEOUT_S)
            for traces in (EARLY, LATE, NEVER):
                for trace in traces:
                    key = trace_id_of(trace).hex().encode()
                    producer.produce(topics.input, traces_data(a_trace(trace)), key)
            assert producer.flush(TIMEOUT_S) == 0
            wait_until_all_is_decided(topics, [worker])
            export(LATE)
            wait_for("pinned", lambda: sum(group.committed().values()) == 200, timeout_s=TIMEOUT_S)
            wait_until_all_is_decided(topics, [worker])
            assert pinner.end(signal.SIGTERM, timeout_s=TIMEOUT_S) == 0, pinner.log_tail()
            worker.terminate()
        finally:
            worker.close()
            if pinner.returncode() is None:
                pinner.end(signal.SIGKILL, timeout_s=TIMEOUT_S)

        records = read_whole(kafka, topics.output)
        triggers = Counter(record.headers["tailstream.trigger"] for record in records)
        came = Counter(
            (span.trace_id, span.span_id) for record in records for span in spans_of(record.value)
        )

    wanted = [(span.trace_id, span.span_id) for trace in (*EARLY, *LATE) for span in a_trace(trace)]
    assert came == Counter(wanted)
    assert triggers == {b"pinned": 100, b"promoted": 100}
