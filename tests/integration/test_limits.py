"""Limits on a real Kafka: all workers together keep to them, whoever dies and whatever is lost."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stream.otlp.fragment import Fragment
from stream.sampling.matcher import Matcher
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.rate_limiting import RateLimiting
from stream.sampling.policies.status_code import StatusCode
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import (
    PARTITIONS,
    Topics,
    committed_offsets,
    wait_for,
)
from tests.harness.verify import Written, read_back
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=5)
PER_SECOND, BURST = 400, 600
POLICIES: list[dict[str, object]] = [
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {
        "name": "rate",
        "type": "rate_limiting",
        "rate_limiting": {"spans_per_second": PER_SECOND, "burst_capacity": BURST},
    },
]
SpawnWorker = Callable[[str], WorkerProcess]


@pytest.fixture
def spawn(topics: Topics, tmp_path: Path) -> Iterator[SpawnWorker]:
    """Give a function that starts a worker in a slot; all of them end with the test."""
    with ExitStack() as workers:

        def spawn_in(slot: str) -> WorkerProcess:
            worker = WorkerProcess(topics, RULES, tmp_path, slot=slot, policies=POLICIES)
            workers.callback(worker.close)
            worker.start()
            return worker

        yield spawn_in


def test_workers_that_die_forget_nothing_of_what_they_let_pass_and_charge_nothing_twice(
    topics: Topics, spawn: SpawnWorker
) -> None:
    sender = Sender(
        topics.bootstrap,
        topics.input,
        Load(spans=60_000, duration_s=20, late_after_s=2.4).records(),
    )
    first, second = spawn("worker-0"), spawn("worker-1")
    sender.start()
    for _ in range(2):
        before = sum(committed_offsets(topics, topics.group).values())
        wait_for("progress", lambda: decided_beyond(topics, before), timeout_s=60)  # noqa: B023 - it ends here
        first.kill()
        first.start()
    sender.finish()
    wait_until_all_is_decided(topics, [first, second])
    for worker in (first, second):
        worker.terminate()
    written = read_back(topics)
    let_pass = [passed_in_order(written, number) for number in range(PARTITIONS)]
    assert min(let_pass) > 0
    times_ms = [record.timestamp_ms for record in written.input]
    passed_s = (max(times_ms) - min(times_ms)) / 1_000 + 1
    largest = max(decision["spans"] for _, decision in written.decisions)
    assert sum(let_pass) <= BURST + PER_SECOND * passed_s + PARTITIONS * largest


def decided_beyond(topics: Topics, before: int) -> bool:
    return sum(committed_offsets(topics, topics.group).values()) > before + 500


def passed_in_order(written: Written, number: int) -> int:
    """Judge a partition's traces anew, in the order of its decisions; return the spans let pass."""
    matcher = Matcher()
    policies = Policies(
        [StatusCode("errors", ["ERROR"], matcher), RateLimiting("rate", PER_SECOND, BURST)]
    )
    policies.fleet.spread_over(lambda: PARTITIONS)
    passed = 0
    for record, decision in written.decisions:
        if record.partition == number and decision["trigger"] != "late":
            passed += judged_again(policies, decision)
    return passed


def judged_again(policies: Policies, decision: dict[str, Any]) -> int:
    has_error = decision["errors"] > 0
    trace = Fragment(decision["trace_id"], decision["spans"], 0, 0, 0, True, has_error, b"")
    ((_, charged_ms),) = decision["levels"]
    judged = policies.judge(trace, due_ms=charged_ms)
    assert (judged.verdict, judged.policy) == (decision["verdict"], decision["policy"])
    assert [*map(list, judged.levels)] == decision["levels"]
    return int(decision["spans"]) if judged.votes[1][1] == "sampled" else 0
