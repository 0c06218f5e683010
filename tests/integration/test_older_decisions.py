"""Spans that come while older decisions are still being read follow them all the same."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random

import msgpack
import pytest
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from stream.testing.spans import a_span, trace_id_of, traces_data
from tests.bench.restore_run import write_decisions
from tests.harness.oracle import Rules
from tests.harness.reading import read_whole
from tests.harness.topics import Topics
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=500, slow_ms=1000, percentage=0)
DECISIONS = 8_000  # in each partition: some seconds
LATE = 400


def test_a_span_whose_decision_is_not_known_yet_is_late_and_not_a_trace(
    topics: Topics, tmp_path: Path
) -> None:
    written = write_decisions(topics, DECISIONS, phases=2)
    late = Random(2).sample(written, LATE)
    producer = Producer({"bootstrap.servers": topics.bootstrap, "log_level": 4})
    for partition, trace_id, _ in late:
        value = traces_data([a_span(trace_id=trace_id)])
        producer.produce(topics.input, value, trace_id.hex().encode(), partition)
    new = [trace_id_of(number) for number in range(1, LATE)]
    for number, trace_id in enumerate(new):
        value = traces_data([a_span(trace_id=trace_id, status=Status.STATUS_CODE_ERROR)])
        producer.produce(topics.input, value, trace_id.hex().encode(), number % 8)
    assert producer.flush(30) == 0

    with closing(WorkerProcess(topics, RULES, tmp_path, slot="worker-0")) as worker:
        worker.start()
        wait_until_all_is_decided(topics, [worker])
        older = '"event": "knows all decisions"'
        assert worker.log_tail(10_000).count(older) == 8, "nothing was left for a second phase"
        worker.terminate()

    came = sorted(
        (record.key, record.headers["tailstream.trigger"])
        for record in read_whole(topics.bootstrap, topics.output)
    )
    kept = [trace_id.hex().encode() for _, trace_id, kept in late if kept]
    assert 0 < len(kept) < LATE
    wanted = [(key, b"late") for key in kept]
    wanted += [(trace_id.hex().encode(), b"decision_wait") for trace_id in new]
    assert came == sorted(wanted)

    records = [msgpack.unpackb(one.value) for one in read_whole(topics.bootstrap, topics.decisions)]
    assert len(records) == len(written) + len(late) + len(new)
    triggers = Counter(one["trigger"] for one in records)
    assert triggers == {"decision_wait": len(written) + len(new), "late": len(late)}
