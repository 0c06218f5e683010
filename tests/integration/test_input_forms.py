"""Each form that input really comes in, against the oracle: one worker run for many forms."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

from tests.harness.large_topics import Given, send_all, topics_with_large_input
from tests.harness.load import Load, Planned, partition_of
from tests.harness.oracle import Expectation, Rules
from tests.harness.topics import PARTITIONS, Topics
from tests.harness.verify import (
    dead_letters_complete,
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
    whole_and_unchanged,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=3000, slow_ms=1000, percentage=20)
COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run: what the log says must be, and what the worker counted."""

    expectation: Expectation
    accounts: dict[str, int]
    records: dict[str, int]


Run = Callable[[list[list[Given]], tuple[str, ...]], Ran]


@pytest.fixture
def run(kafka: str, tmp_path: Path) -> Iterator[Run]:
    """Give a function that sends runs of records, each with a compression, and checks all of it."""
    with topics_with_large_input(kafka) as topics:
        worker = WorkerProcess(topics, RULES, tmp_path, slot="w")
        worker.start()

        def run_all(groups: list[list[Given]], compressions: tuple[str, ...] = ("none",)) -> Ran:
            worker.wait_until_ready()
            for index, records in enumerate(groups):
                send_all(topics, records, compression=compressions[index % len(compressions)])
            wait_until_all_is_decided(topics, [worker], timeout_s=60)
            accounts, odd = worker.accounts(), worker.records()
            worker.terminate()
            return Ran(checked(topics, accounts), accounts, odd)

        yield run_all
        worker.close()


def checked(topics: Topics, accounts: dict[str, int]) -> Expectation:
    written = read_back(topics)
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)
    decisions_complete(written, expectation)
    dead_letters_complete(written, expectation)
    assert Counter(accounts) == expectation.accounts
    return expectation


def test_each_compression_and_otlp_json_beside_protobuf_and_one_trace_in_many_records(
    run: Run,
) -> None:
    load = Load(spans=10_000, duration_s=2, late_after_s=3.4, seed=11).records()
    in_time = [Given(record.value, record.key) for record in load]
    ran = run([in_time[n :: len(COMPRESSIONS)] for n in range(len(COMPRESSIONS))], COMPRESSIONS)

    assert sum(record.value[:1] == b"{" for record in load) > 20
    traces = Counter(record.key for record in load)
    assert max(traces.values()) >= 4, "one trace in many records"
    assert {one.policy for one in ran.expectation.traces.values()} >= {"errors", "rest", None}
    assert ran.records.get("misrouted", 0) == 0
    assert ran.records["key_mismatch"] > 0, "some records hold a second trace"


def test_every_kind_of_key_is_read_and_counted_for_what_it_is(run: Run) -> None:
    given: list[Given] = []
    mismatched = misrouted = 0
    for planned in distinct_traces(count=400):
        trace_id = bytes.fromhex(planned.key.decode())
        number = len(given)
        home = partition_of(planned.key)
        key, partition = (
            (None, home),
            (b"", home),
            (trace_id[:8].hex().encode(), None),
            (planned.key, None),
            (b"tenant-7", None),
            (Random(number).randbytes(16).hex().encode(), None),  # another trace's
            (planned.key, (home + 1) % PARTITIONS),
            (planned.key.upper(), None),
        )[number % 8]
        lies_in = partition_of(key) if partition is None and key else partition
        mismatched += key != planned.key
        misrouted += bool(key) and lies_in != partition_of(key or b"")
        given.append(Given(planned.value, key, partition=partition))
    ran = run([given], ("lz4",))

    assert ran.records["key_mismatch"] == mismatched == 300
    assert ran.records["misrouted"] == misrouted == 50
    assert len(ran.expectation.traces) == 400


def test_many_traces_in_one_record_up_to_ten_megabytes(run: Run) -> None:
    small = distinct_traces(count=600)
    together = [joined(small[n : n + 50]) for n in range(0, 600, 50)]
    large = joined(distinct_traces(count=40, seed=5, padding_bytes=60_000))
    assert 9_000_000 < len(large) < 11_000_000
    on_all = [Given(value, b"batch", partition=n % PARTITIONS) for n, value in enumerate(together)]
    ran = run([[*on_all, Given(large, b"batch", partition=3)]], ("none",))

    assert len(ran.expectation.traces) == 640
    assert ran.records["key_mismatch"] == 13


def test_records_of_other_signals_are_skipped_and_counted(run: Run) -> None:
    traces = [
        Given(planned.value, planned.key, [("otelcol.signal", b"traces")])
        for planned in distinct_traces(count=100)
    ]
    others = [
        Given(b"", b"other", [("otelcol.signal", signal)], partition=number % PARTITIONS)
        for number, signal in enumerate([b"logs", b"metrics", b"profiles", b"", b"Traces"] * 4)
    ]
    ran = run([traces, others], ("none",))

    assert ran.records["skipped"] == 20
    assert len(ran.expectation.traces) == 100


def distinct_traces(*, count: int, seed: int = 3, padding_bytes: int = 0) -> list[Planned]:
    """Return traces of three to six spans, each whole in one record under its own id."""
    rng = Random(seed)
    found = []
    for _ in range(count):
        trace_id = rng.randbytes(16)
        resource = ResourceSpans()
        spans = resource.scope_spans.add().spans
        for number in range(rng.randint(3, 6)):
            spans.append(a_span(trace_id, rng, root=number == 0, padding_bytes=padding_bytes))
        value = TracesData(resource_spans=[resource]).SerializeToString()
        found.append(Planned(0.0, trace_id.hex().encode(), value))
    return found


def a_span(trace_id: bytes, rng: Random, *, root: bool, padding_bytes: int) -> Span:
    start_ns = 1_790_000_000_000_000_000 + rng.randrange(10**6)
    span = Span(
        trace_id=trace_id,
        span_id=rng.randbytes(8),
        parent_span_id=b"" if root else rng.randbytes(8),
        name="GET /" + "x" * padding_bytes,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + rng.choice((10**6, 10**6, 2 * 10**9)),
    )
    if rng.random() < 0.2:
        span.status.code = 2  # type: ignore[assignment]  # an error
    return span


def joined(traces: list[Planned]) -> bytes:
    """Return one record of all these traces."""
    return b"".join(planned.value for planned in traces)
