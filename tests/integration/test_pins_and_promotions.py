"""Pins on a real Kafka: before the spans, beside them, after the verdict, and across a kill -9."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.sampling.control import CONTROL_HEADER, Pin, encode
from stream.testing.spans import a_trace, spans_of, trace_id_of, traces_data
from tests.harness.oracle import Rules
from tests.harness.reading import read_whole
from tests.harness.topics import Topics, end_offsets, wait_for
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=1_000, slow_ms=1_000, percentage=0)
ERRORS: list[dict[str, object]] = [
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
]
FRAGMENTS = 3
SLOWLY = {"records_per_s": 1}
SpawnWorker = Callable[..., WorkerProcess]


@pytest.fixture
def spawn(topics: Topics, tmp_path: Path) -> Iterator[SpawnWorker]:
    """Give a function that starts a worker in a slot; all of them end with the test."""
    with ExitStack() as workers:

        def spawn_in(slot: str, **more: Mapping[str, object]) -> WorkerProcess:
            worker = WorkerProcess(topics, RULES, tmp_path, slot=slot, policies=ERRORS, more=more)
            workers.callback(worker.close)
            worker.start()
            worker.wait_until_ready()
            return worker

        yield spawn_in


class Exporter:
    """Sends fragments of ordinary traces, of three spans each, and pins; each is acknowledged."""

    def __init__(self, topics: Topics) -> None:
        self._topic = topics.input
        self._producer = Producer(
            {"bootstrap.servers": topics.bootstrap, "partitioner": "fnv1a", "linger.ms": 5}
        )

    def spans(self, traces: range, fragment: int, *, error: bool = False) -> None:
        for trace in traces:
            spans = a_trace(trace, spans=3, first_span=1 + 3 * fragment, error=error)
            key = trace_id_of(trace).hex().encode()
            self._producer.produce(self._topic, traces_data(spans), key)
        assert self._producer.flush(30) == 0

    def pins(self, traces: range) -> None:
        for trace in traces:
            pin = Pin(trace_id_of(trace), 600_000, "a test")
            headers = [(CONTROL_HEADER, encode(pin))]
            self._producer.produce(self._topic, b"", pin.key, headers=headers)
        assert self._producer.flush(30) == 0


def test_every_pinned_trace_comes_out_whole_and_once_whenever_the_pin_came(
    topics: Topics, spawn: SpawnWorker
) -> None:
    before, beside, after, never = (range(at, at + 50) for at in (100, 200, 300, 400))
    exporter = Exporter(topics)
    worker = spawn("worker-0")
    exporter.pins(before)
    for fragment in range(FRAGMENTS):
        for traces in (before, beside, after, never):
            exporter.spans(traces, fragment)
        if fragment == 1:
            exporter.pins(beside)
    wait_until_all_is_decided(topics, [worker])
    exporter.pins(after)
    exporter.pins(after)
    exporter.pins(before)
    wait_until_all_is_decided(topics, [worker])
    worker.wait_until_ready()
    kinds = worker.records()
    worker.terminate()

    triggers = came_out_whole_and_once(topics, [*before, *beside, *after])
    assert triggers == Counter(pinned=100, promoted=50)
    assert kinds["pin_pending"] == kinds["pin_open"] == kinds["pin_dropped"] == 50
    assert kinds["pin_sampled"] + kinds["pin_repeated"] == 100


def test_kill_9_between_a_pin_and_its_promotion_loses_neither_and_repeats_neither(
    topics: Topics, spawn: SpawnWorker
) -> None:
    traces = range(100, 200)
    exporter = Exporter(topics)
    worker = spawn("worker-0", promotion=SLOWLY)
    for fragment in range(FRAGMENTS):
        exporter.spans(traces, fragment)
    wait_until_all_is_decided(topics, [worker])
    # One goes through, and uses up what may be read; the others wait.
    exporter.pins(traces[:1])
    wait_for("the first is promoted", lambda: promotions(worker)["promoted"] == 1, timeout_s=60)
    exporter.pins(traces[1:])
    wait_for("the others wait", lambda: waiting(worker) == 99, timeout_s=60)
    worker.kill()
    assert came_out_whole_and_once(topics, [100]) == Counter(promoted=1)

    other = spawn("worker-1")
    wait_until_all_is_decided(topics, [other])
    other.terminate()
    assert came_out_whole_and_once(topics, traces) == Counter(promoted=100)


def test_a_late_error_promotes_its_trace_where_that_is_set(
    topics: Topics, spawn: SpawnWorker
) -> None:
    traces = range(100, 150)
    exporter = Exporter(topics)
    worker = spawn("worker-0", promotion={"late_errors": True})
    exporter.spans(traces, 0)
    wait_until_all_is_decided(topics, [worker])
    exporter.spans(traces, 1)
    exporter.spans(traces, 2, error=True)
    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    assert came_out_whole_and_once(topics, traces) == Counter(promoted=50, late=50)


def test_what_retention_has_left_of_a_dropped_trace_is_promoted_as_partial(
    topics: Topics, spawn: SpawnWorker
) -> None:
    traces = range(100, 150)
    exporter = Exporter(topics)
    worker = spawn("worker-0")
    exporter.spans(traces, 0)
    first_gone = end_offsets(topics.bootstrap, topics.input)
    exporter.spans(traces, 1)
    exporter.spans(traces, 2)
    wait_until_all_is_decided(topics, [worker])
    admin = AdminClient({"bootstrap.servers": topics.bootstrap})
    below = [TopicPartition(topics.input, number, end) for number, end in first_gone.items()]
    for deleted in admin.delete_records(below).values():
        deleted.result(30)
    exporter.pins(traces)
    wait_until_all_is_decided(topics, [worker])
    assert promotions(worker)["promoted_partial"] == 50
    worker.terminate()
    output = read_whole(topics.bootstrap, topics.output)
    came = Counter(span.span_id for record in output for span in spans_of(record.value))
    left = [s.span_id for trace in traces for s in a_trace(trace, spans=6, first_span=4)]
    assert came == Counter(left)
    assert {one.headers["tailstream.trigger"] for one in output} == {b"promoted_partial"}


def came_out_whole_and_once(topics: Topics, traces: range | list[int]) -> Counter[str]:
    """Compare the output with these traces, to the span; return how often there is each trigger."""
    came: Counter[tuple[bytes, bytes]] = Counter()
    triggers: Counter[str] = Counter()
    for record in read_whole(topics.bootstrap, topics.output):
        triggers[record.headers["tailstream.trigger"].decode()] += 1
        came.update((span.trace_id, span.span_id) for span in spans_of(record.value))
    wanted = [
        (span.trace_id, span.span_id)
        for trace in traces
        for span in a_trace(trace, spans=3 * FRAGMENTS)
    ]
    assert came == Counter(wanted)
    return triggers


def promotions(worker: WorkerProcess) -> Counter[str]:
    return Counter(
        {outcome: int(n) for outcome, n in worker.samples("tailstream_promotions_total", "outcome")}
    )


def waiting(worker: WorkerProcess) -> int:
    return sum(int(n) for _, n in worker.samples("tailstream_promotions_waiting", "partition"))
