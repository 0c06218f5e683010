"""The whole way on a real Kafka, undisturbed and disturbed: nothing missing, nothing twice."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.load import Load
from tests.harness.oracle import Expectation, Rules
from tests.harness.sender import Sender
from tests.harness.topics import Topics, committed_offsets, wait_for
from tests.harness.verify import (
    Written,
    dead_letters_complete,
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
    whole_and_unchanged,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=5)
SpawnWorker = Callable[[str], WorkerProcess]


@pytest.fixture
def spawn(topics: Topics, tmp_path: Path) -> Iterator[SpawnWorker]:
    """Give a function that starts a worker in a slot; all of them end with the test."""
    with ExitStack() as workers:

        def spawn_in(slot: str) -> WorkerProcess:
            worker = WorkerProcess(topics, RULES, tmp_path, slot=slot)
            workers.callback(worker.close)
            worker.start()
            return worker

        yield spawn_in


def test_every_span_of_two_hundred_thousand_is_accounted_for_and_kept_ones_come_out_whole(
    topics: Topics, spawn: SpawnWorker
) -> None:
    sender = sender_of(topics, spans=200_000, duration_s=9)
    sender.start()
    sender.finish()

    worker = spawn("worker-0")
    wait_until_all_is_decided(topics, [worker])
    accounts, odd_records = worker.accounts(), worker.records()
    worker.terminate()

    written, expectation = all_is_as_expected(topics)
    assert expectation.accounts["received"] >= 200_000
    assert accounts == {**dict.fromkeys(accounts, 0), **expectation.accounts}
    assert odd_records.get("misrouted", 0) == 0
    nobody_was_spared(expectation)
    dead_letters_complete(written, expectation)


def test_sigterm_and_restart_lose_nothing_and_repeat_nothing(
    topics: Topics, spawn: SpawnWorker
) -> None:
    sender = sender_of(topics, spans=80_000, duration_s=16)
    worker = spawn("worker-0")
    sender.start()
    for share in (0.3, 0.6):
        sent(sender, share)
        worker.wait_until_ready()
        worker.terminate()
        worker.start()
    sender.finish()

    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    all_is_as_expected(topics)


def test_kill_and_restart_in_mid_window_lose_nothing_and_repeat_nothing(
    topics: Topics, spawn: SpawnWorker
) -> None:
    sender = sender_of(topics, spans=100_000, duration_s=25)
    worker = spawn("worker-0")
    sender.start()
    for share in (0.3, 0.7):
        sent(sender, share)
        worker.wait_until_ready()
        wait_for("a window half read", lambda: some_is_undecided(topics), timeout_s=30)
        worker.kill()
        assert some_is_undecided(topics)
        worker.start()
    sender.finish()

    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    all_is_as_expected(topics)


def test_a_second_worker_joins_and_leaves_and_nothing_is_lost_or_repeated(
    topics: Topics, spawn: SpawnWorker
) -> None:
    sender = sender_of(topics, spans=100_000, duration_s=16)
    first = spawn("worker-0")
    first.wait_until_ready()
    sender.hold_at(0.5)
    sender.start()
    sent(sender, 0.2)

    second = spawn("worker-1")
    second.wait_until_ready()
    wait_for("the partitions shared out", lambda: shared_out(first, second), timeout_s=30)
    sender.release()
    sent(sender, 0.8)
    second.terminate()
    sender.finish()

    wait_until_all_is_decided(topics, [first])
    first.terminate()
    all_is_as_expected(topics)


def sender_of(topics: Topics, *, spans: int, duration_s: float) -> Sender:
    late_after_s = RULES.decision_wait_ms / 1000 + 0.4
    load = Load(spans=spans, duration_s=duration_s, late_after_s=late_after_s)
    return Sender(topics.bootstrap, topics.input, load.records())


def sent(sender: Sender, share: float) -> None:
    wait_for(f"{share:.0%} of the load", lambda: sender.share_sent >= share, timeout_s=60)


def shared_out(first: WorkerProcess, second: WorkerProcess) -> bool:
    mine, others = first.partitions(), second.partitions()
    return bool(mine) and bool(others) and not mine & others and len(mine | others) == 8


def some_is_undecided(topics: Topics) -> bool:
    """Tell whether the group has decided something, and has read more than it has decided."""
    resume = committed_offsets(topics, topics.group)
    position = committed_offsets(topics, f"{topics.group}-position")
    return any(0 < offset < position.get(number, 0) for number, offset in resume.items())


def all_is_as_expected(topics: Topics) -> tuple[Written, Expectation]:
    written = read_back(topics)
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)
    decisions_complete(written, expectation)
    return written, expectation


def nobody_was_spared(expectation: Expectation) -> None:
    """The load had everything in it that the test is about."""
    policies = {expected.policy for expected in expectation.traces.values()}
    assert policies == {"errors", "slow", "rest", None}
    outcomes = expectation.accounts
    assert all(outcomes[name] > 0 for name in ("late_sampled", "late_not_sampled", "duplicate"))
    assert outcomes["dead_lettered"] > 20
