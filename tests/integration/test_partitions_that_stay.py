"""A partition whose older decisions are still being read holds up nobody else."""

from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from stream.testing.spans import a_span, trace_id_of, traces_data
from tests.bench.restore_run import write_decisions
from tests.harness.oracle import Rules
from tests.harness.reading import read_whole
from tests.harness.topics import PARTITIONS, Topics, wait_for
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=500, slow_ms=1000, percentage=0)
RESTORING = 0
DECISIONS = 300_000  # some seconds of reading
RECORD_BYTES = 100_000
RECORDS = 400  # several times what a worker with 64 MiB reads ahead


def test_what_waits_for_older_decisions_and_what_lies_beside_it_are_all_decided(
    topics: Topics, tmp_path: Path
) -> None:
    write_decisions(topics, DECISIONS, phases=2, partitions=[RESTORING])
    producer = Producer({"bootstrap.servers": topics.bootstrap, "log_level": 4})
    sent = 1
    began_ms = stamp_ms = _send(producer, topics, RESTORING, trace=sent)
    while sent < RECORDS or stamp_ms <= began_ms + RULES.decision_wait_ms:
        sent += 1
        stamp_ms = _send(producer, topics, RESTORING, trace=sent, name="x" * RECORD_BYTES)

    with closing(WorkerProcess(topics, RULES, tmp_path, slot="worker-0")) as worker:
        worker.start()
        wait_for("the first cut", lambda: _waits(worker), timeout_s=30)
        for partition in range(1, PARTITIONS):
            _send(producer, topics, partition, trace=10_000 + partition)
        wait_until_all_is_decided(topics, [worker])
        assert worker.log_tail(10_000).count('"event": "knows all decisions"') == 1
        worker.terminate()

    # That the others are read meanwhile is a matter of seconds, which no test asserts: what is
    # asserted is that all of them are decided, and what waited is too.
    decided = read_whole(topics.bootstrap, topics.decisions)
    others = [one for one in decided if one.partition != RESTORING]
    assert len(others) == PARTITIONS - 1
    kept = read_whole(topics.bootstrap, topics.output)
    assert len(kept) == sent + len(others)


def _send(
    producer: Producer, topics: Topics, partition: int, *, trace: int, name: str = "x"
) -> int:
    """Send a span; return when the broker says it came."""
    stamps_ms: list[int] = []
    trace_id = trace_id_of(trace)
    span = a_span(trace_id=trace_id, name=name, status=Status.STATUS_CODE_ERROR)
    producer.produce(
        topics.input,
        traces_data([span]),
        trace_id.hex().encode(),
        partition,
        on_delivery=lambda _, message: stamps_ms.append(message.timestamp()[1]),
    )
    assert producer.flush(30) == 0
    return stamps_ms[0]


def _waits(worker: WorkerProcess) -> bool:
    """Tell whether records were polled that are not folded."""
    worker.assert_runs()
    return worker.held_bytes().get("inbox", 0) > RECORD_BYTES
