"""`tailstream show` on a real Kafka."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.kafka.partitioner import fnv1a
from stream.testing.spans import (
    MS,
    START_NS,
    a_span,
    resource_spans,
    span_id_of,
    trace_id_of,
    traces_data,
)
from tests.harness.oracle import Rules
from tests.harness.topics import PARTITIONS, Topics, topics_of_a_test, wait_for
from tests.harness.worker import COMMAND, WorkerProcess

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=5)
POLICIES = [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]
SLOT = "worker-0"
KEPT, DROPPED, LINKING, UNKNOWN, ASTRIDE = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Decided:
    """Topics in which a worker kept a trace and its late span and dropped another; its file."""

    topics: Topics
    config: Path


@pytest.fixture(scope="module")
def decided(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decided]:
    with topics_of_a_test(kafka) as topics:
        directory = tmp_path_factory.mktemp("show")
        fill(topics, directory)
        yield Decided(topics, directory / SLOT / "tailstream.yaml")


def fill(topics: Topics, directory: Path) -> None:
    worker = WorkerProcess(topics, RULES, directory, slot=SLOT, policies=POLICIES)
    try:
        worker.start()
        send(topics, KEPT, "gateway", a_step(KEPT, 1, 0, "POST /checkout", 0, 400))
        send(topics, KEPT, "payment", a_step(KEPT, 2, 1, "charge", -12, 300, error=True))
        send(topics, DROPPED, "gateway", a_step(DROPPED, 1, 0, "GET /", 0, 5))
        linked = Span.Link(trace_id=trace_id_of(KEPT), span_id=span_id_of(1))
        send(topics, LINKING, "ledger", a_step(LINKING, 1, 0, "book", 500, 510, True, linked))
        send(topics, ASTRIDE, "gateway", a_step(ASTRIDE, 1, 0, "GET /cart", 0, 20))
        failed = a_step(ASTRIDE, 2, 1, "price", 5, 15, error=True)
        send(topics, ASTRIDE, "prices", failed, partitions_off=1)
        worker.wait_until_ready()
        wait_until_counted(worker, sampled=4, not_sampled=2)
        send(topics, KEPT, "shipping", a_step(KEPT, 3, 1, "orders process", 350, 390))
        wait_until_counted(worker, late_sampled=1)
        worker.terminate()
    finally:
        worker.close()


def wait_until_counted(worker: WorkerProcess, **spans: int) -> None:
    """Return when so many spans have come to these ends."""

    def reached() -> bool:
        worker.assert_runs()
        accounts = worker.accounts()
        return all(accounts.get(outcome) == number for outcome, number in spans.items())

    wait_for(f"{spans}", reached, timeout_s=60)


def a_step(
    trace: int,
    span: int,
    parent: int,
    name: str,
    from_ms: int,
    to_ms: int,
    error: bool = False,  # noqa: FBT001, FBT002 - a row of a table
    *links: Span.Link,
) -> Span:
    return a_span(
        trace_id=trace_id_of(trace),
        span_id=span_id_of(span),
        parent_span_id=span_id_of(parent) if parent else b"",
        name=name,
        start_ns=START_NS + from_ms * MS,
        end_ns=START_NS + to_ms * MS,
        status=2 if error else 0,
        links=links,
    )


def send(topics: Topics, trace: int, service: str, span: Span, *, partitions_off: int = 0) -> None:
    producer = Producer({"bootstrap.servers": topics.bootstrap})
    key = trace_id_of(trace).hex().encode()
    value = traces_data(resource_spans([span], service=service))
    partition = (fnv1a(key, PARTITIONS) + partitions_off) % PARTITIONS
    producer.produce(topics.input, value, key, partition)
    assert producer.flush(30) == 0


def show(decided: Decided, trace: int, *options: str) -> "subprocess.CompletedProcess[str]":
    id_ = trace_id_of(trace).hex()
    command = [str(COMMAND), "show", id_, "--config", str(decided.config), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_kept_trace_is_drawn_whole_with_its_late_span_and_why_it_was_kept(
    decided: Decided,
) -> None:
    done = show(decided, KEPT, "--all-partitions")

    assert done.returncode == 0, done.stderr
    title, summary, why, where, header, *tree = done.stdout.splitlines()
    assert title == f"{trace_id_of(KEPT).hex()}   POST /checkout 400 ms   █ critical path"
    assert summary == "3 spans of 3 services, 1 with an error"
    assert why.startswith("kept, because errors voted to keep it (a span has status ERROR); ")
    assert why.endswith("; votes: errors yes")
    assert where.startswith(
        f"2 deliveries (decision_wait, late) in {decided.topics.output}, partition "
    )
    assert header.split() == ["span", "service", "kind", "duration", "self", "critical"]
    assert [line.split("░")[0].split("█")[0].rstrip() for line in tree] == [
        "POST /checkout    gateway  server",
        (
            "│  linked from book in ledger, span 5a00000000000001 of trace "
            f"{trace_id_of(LINKING).hex()}"
        ),
        "├─ charge         payment  server",
        "└─ orders process shipping server",
    ]
    assert tree[2].endswith(" ERROR clock +12 ms")
    assert tree[3].endswith(" late")


def test_json_has_the_tree_its_deliveries_and_its_decisions(decided: Decided) -> None:
    done = show(decided, KEPT, "--json", "--since", "24h")

    told = json.loads(done.stdout)
    assert [(each["name"], each["under"]) for each in told["spans"]] == [
        ("POST /checkout", None),
        ("charge", 0),
        ("orders process", 0),
    ]
    assert [(each["trigger"], each["spans"]) for each in told["deliveries"]] == [
        ("decision_wait", 2),
        ("late", 1),
    ]
    assert [each["trigger"] for each in told["decisions"]] == ["decision_wait", "late"]
    assert told["decisions"][0]["votes"] == [{"policy": "errors", "vote": "sampled"}]
    partition = fnv1a(trace_id_of(KEPT).hex().encode(), PARTITIONS)
    assert (told["read"]["topic"], told["read"]["partitions"]) == (
        decided.topics.output,
        [partition],
    )


def test_a_dropped_trace_ends_with_1_and_says_why_it_was_dropped(decided: Decided) -> None:
    done = show(decided, DROPPED)

    assert (done.returncode, done.stdout) == (1, "")
    assert "was dropped, because no policy voted to keep it" in done.stderr
    assert f"tailstream explain {trace_id_of(DROPPED).hex()}" in done.stderr


@pytest.mark.parametrize("options", [[], ["--all-partitions"]])
def test_of_a_trace_in_two_partitions_the_part_that_was_kept_is_drawn_and_says_why(
    decided: Decided, options: list[str]
) -> None:
    done = show(decided, ASTRIDE, *options)

    assert done.returncode == 0, done.stderr
    _, summary, why, apart, *tree = done.stdout.splitlines()
    own = fnv1a(trace_id_of(ASTRIDE).hex().encode(), PARTITIONS)
    assert summary == "1 span of 1 service, 1 with an error, 1 orphan, no root"
    assert why.startswith("kept, because errors voted to keep it (a span has status ERROR); ")
    assert apart.startswith(f"a part of it lay in partition {own} and was decided apart: dropped")
    assert "price" in tree[-1]


def test_an_unknown_trace_ends_with_1_and_says_where_was_looked(decided: Decided) -> None:
    done = show(decided, UNKNOWN, "--since", "90s")

    assert (done.returncode, done.stdout) == (1, "")
    assert f"{decided.topics.output} has no span of it since " in done.stderr
    assert f"({PARTITIONS} partitions, " in done.stderr
    assert f"{decided.topics.output} keeps its records for " in done.stderr


def test_without_its_decisions_a_trace_is_drawn_all_the_same(decided: Decided) -> None:
    done = show(decided, KEPT, "--set", "topics.decisions=test_nowhere")

    assert done.returncode == 0, done.stderr
    assert (
        "kept by errors (decision_wait), more is not known: topic 'test_nowhere': " in done.stdout
    )
    assert "orders process" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["xyz"], "'xyz' is no trace id; write its 32 hex digits"),
        (["a" * 32, "--max-spans", "0"], "--max-spans"),
        (["a" * 32, "--set", "topics.output=test_nowhere"], "Set topics.output to the worker's"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(kafka: str, arguments: list[str], told: str) -> None:
    command = [str(COMMAND), "show", *arguments]
    command += ["--set", f"kafka.bootstrap.servers={kafka}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
