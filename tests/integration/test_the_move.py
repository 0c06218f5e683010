"""The README's move, side by side: two groups on one input, compared; then other policies."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from stream.testing.spans import a_span, span_id_of, traces_data
from tests.harness.oracle import Rules
from tests.harness.topics import Topics, create_topics, topics_of_a_test
from tests.harness.worker import COMMAND, WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

SAME, DIFFERENT = 0, 1
BEFORE = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=20)
AFTER = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=60)
TRACES, MARKERS = 200, 60
RNG = Random(11)

Traces = dict[bytes, list[Span]]


class Other(Topics):
    """What another group has of its own: its name and its output. The decisions are shared."""

    @property
    def output(self) -> str:
        return f"{self.prefix}_other"

    @property
    def group(self) -> str:
        return f"{self.prefix}_other_group"


class Sides:
    """Two groups beside each other on one input, one worker each."""

    def __init__(self, ours: Topics, directory: Path) -> None:
        self._ours, self._other = ours, Other(ours.bootstrap, ours.prefix)
        self._directory = directory
        self.our_worker = WorkerProcess(ours, BEFORE, directory, slot="ours")
        self.other_worker = WorkerProcess(self._other, BEFORE, directory, slot="other")
        self.our_worker.start()
        self.other_worker.start()

    def close(self) -> None:
        self.our_worker.close()
        self.other_worker.close()

    def roll_the_other(self, rules: Rules) -> None:
        """Restart the other group's worker with changed policies, as a rolling restart does."""
        self.other_worker.terminate()
        self.other_worker = WorkerProcess(self._other, rules, self._directory, slot="rolled")
        self.other_worker.start()

    def decide(self, traces: Traces) -> None:
        """Send traces, and return when both groups have decided them."""
        placing = {"partitioner": "fnv1a_random"}  # the Collector's
        producer = Producer({"bootstrap.servers": self._ours.bootstrap, **placing})
        for trace_id, spans in traces.items():
            producer.produce(self._ours.input, traces_data(spans), trace_id.hex().encode())
        assert producer.flush(60) == 0
        wait_until_all_is_decided(self._ours, [self.our_worker])
        wait_until_all_is_decided(self._other, [self.other_worker])

    def compare(self) -> tuple[int, dict[str, Any]]:
        # What was sent between two batches of markers lies between them in both outputs, however
        # fast or slow: an edge of a millisecond leaves out markers alone.
        command = [str(COMMAND), "compare", "--other-topic", self._other.output, "--json"]
        command += ["--edge", "1ms", "--set", f"kafka.bootstrap.servers={self._ours.bootstrap}"]
        command += ["--set", f"topics.output={self._ours.output}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def sides(kafka: str, tmp_path: Path) -> Iterator[Sides]:
    with topics_of_a_test(kafka) as ours:
        create_topics(kafka, [Other(kafka, ours.prefix).output])
        both = Sides(ours, tmp_path)
        try:
            yield both
        finally:
            both.close()


def made(count: int, *, errors: bool = False) -> Traces:
    """Return traces of two spans, all of them fast."""
    status = Status.STATUS_CODE_ERROR if errors else Status.STATUS_CODE_UNSET
    ids = [RNG.randbytes(16) for _ in range(count)]
    return {id_: [_span(id_, number, status) for number in (1, 2)] for id_ in ids}


def _span(trace_id: bytes, number: int, status: int) -> Span:
    return a_span(trace_id=trace_id, span_id=span_id_of(number), status=status)


def kept(traces: Traces, rules: Rules) -> set[bytes]:
    return {id_ for id_, spans in traces.items() if rules.policy(id_, spans) is not None}


def test_two_groups_keep_the_same_until_one_has_another_policy_and_then_differ_by_just_that(
    sides: Sides,
) -> None:
    first, second = made(TRACES), made(TRACES)
    # So many that each partition has one.
    markers: Sequence[Traces] = [made(MARKERS, errors=True) for _ in range(3)]
    for traces in (markers[0], first, markers[1]):
        sides.decide(traces)

    code, told = sides.compare()

    assert (code, told["same"]["rest"]) == (SAME, len(kept(first, BEFORE)))

    hash_before = sides.other_worker.samples("tailstream_config_info", "hash")
    sides.roll_the_other(AFTER)
    for traces in (second, markers[2]):
        sides.decide(traces)
    code, told = sides.compare()

    more = kept(second, AFTER) - kept(second, BEFORE)
    assert more, "the seed makes none that differ"
    assert (code, told["only_other"], told["only_ours"], told["spans_differ"]) == (
        DIFFERENT,
        len(more),
        {},
        {},
    )
    assert {bytes.fromhex(id_) for id_ in told["examples"]["only_other"]} <= more
    assert sides.other_worker.samples("tailstream_config_info", "hash") != hash_before
    # It has passed by the decisions of the group that shares the topic, which is nothing wrong.
    assert '"level": "error"' not in sides.other_worker.log_tail(10_000)
    assert sides.other_worker.records()["decisions_foreign"] > 0
