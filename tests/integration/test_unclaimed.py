"""Partitions that a rebalance has given to nobody are divided again by the workers themselves."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.harness.children import Child
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.rejoining_worker import REJOIN
from tests.harness.sender import Sender
from tests.harness.topics import PARTITIONS, Topics, committed_offsets, wait_for
from tests.harness.verify import (
    decisions_complete,
    nothing_missing_and_nothing_twice,
    read_back,
    whole_and_unchanged,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=500, slow_ms=1000, percentage=5)
# The classic protocol as the worker speaks it; it dies where it is asked to give partitions up.
DIES_IN_REVOKE = """
import json, os, sys
from confluent_kafka import Consumer
settings, topic = json.loads(sys.argv[1])
def assigned(consumer, partitions):
    consumer.incremental_assign(partitions)
    print(len(partitions), flush=True)
consumer = Consumer(settings)
consumer.subscribe([topic], on_assign=assigned, on_revoke=lambda *_: os._exit(1))
while True:
    consumer.consume(1, 0.1)
"""


def test_a_static_member_s_death_between_two_rounds_leaves_no_partition_unread(
    topics: Topics, tmp_path: Path
) -> None:
    load = Load(spans=4_000, duration_s=1, late_after_s=1, seed=4).records()
    sender = Sender(topics.bootstrap, topics.input, load)
    with (
        closing(a_static_worker(topics, tmp_path, "one")) as one,
        closing(a_static_worker(topics, tmp_path, "two")) as two,
    ):
        with who_dies_in_its_revoke(topics, "one") as stand_in:
            two.start()
            assert stand_in.wait(60) == 1
        one.start()
        wait_for("what it had left", lambda: len(one.partitions()) == PARTITIONS // 2, timeout_s=60)
        assert two.partitions() == set(), "the other half is nobody's: this is what is tested"
        sender.start()
        sender.finish()

        wait_for("the others too", lambda: owned(one, two) == PARTITIONS, timeout_s=120)
        wait_until_all_is_decided(topics, [one, two])
        assert rejoins(one) + rejoins(two) == 1


class Rejoining(WorkerProcess):
    """A static worker that joins the group anew when it is told to."""

    def start(self) -> None:
        config = self._home / "tailstream.yaml"
        config.write_text(json.dumps(self._settings()))
        command = [sys.executable, "-m", "tests.harness.rejoining_worker", str(config)]
        self._child = Child(command, log=self._home / "worker.log", env=dict(os.environ))

    def assignments(self) -> int:
        return self.log_tail(10_000).count('"event": "assigned"')


def test_who_joins_anew_in_mid_window_loses_nothing_and_repeats_nothing(
    topics: Topics, tmp_path: Path
) -> None:
    load = Load(spans=40_000, duration_s=16, late_after_s=RULES.decision_wait_ms / 1000 + 0.4)
    sender = Sender(topics.bootstrap, topics.input, load.records())
    with ExitStack() as ends:
        workers = [
            ends.enter_context(closing(Rejoining(topics, RULES, tmp_path, slot=slot, static=True)))
            for slot in ("one", "two", "three")
        ]
        for worker in workers:
            worker.start()
        wait_for("all shared out", lambda: owned(*workers) == PARTITIONS, timeout_s=60)
        sender.hold_at(0.9)
        sender.start()
        wait_for("a window half read", lambda: some_is_undecided(topics), timeout_s=60)
        for leaving in (workers[:1], workers[1:], workers):
            before = [worker.assignments() for worker in leaving]
            for worker in leaving:
                worker.send(REJOIN)
            for worker, count in zip(leaving, before, strict=True):
                assigned_anew(worker, count)
            wait_for("all shared out", lambda: owned(*workers) == PARTITIONS, timeout_s=60)
        sender.release()
        sender.finish()

        wait_until_all_is_decided(topics, workers)
        for worker in workers:
            worker.terminate()
    written = read_back(topics)
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    whole_and_unchanged(written, expectation, RULES)
    decisions_complete(written, expectation)


def assigned_anew(worker: Rejoining, before: int) -> None:
    wait_for(f"{worker.slot} back", lambda: worker.assignments() > before, timeout_s=60)


def some_is_undecided(topics: Topics) -> bool:
    decided = committed_offsets(topics, topics.group)
    read = committed_offsets(topics, f"{topics.group}-position")
    return any(offset > decided.get(number, 0) for number, offset in read.items())


def rejoins(worker: WorkerProcess) -> int:
    _, text = worker.get("/metrics")
    (line,) = [line for line in text.splitlines() if line.startswith("tailstream_rejoins_total ")]
    return round(float(line.split()[1]))


def owned(*workers: WorkerProcess) -> int:
    return sum(len(worker.partitions()) for worker in workers)


def a_static_worker(topics: Topics, home: Path, slot: str) -> WorkerProcess:
    worker = {
        "static_membership": True,
        "session_timeout": "6s",
        "transaction_timeout": "6s",
    }
    return WorkerProcess(topics, RULES, home, slot=slot, more={"worker": worker})


@contextmanager
def who_dies_in_its_revoke(topics: Topics, slot: str) -> Iterator["subprocess.Popen[str]"]:
    """Give a client in a worker's place, once it has all partitions."""
    settings = {
        "bootstrap.servers": topics.bootstrap,
        "group.id": topics.group,
        "group.instance.id": slot,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 30_000,
        "enable.auto.commit": False,
    }
    command = [sys.executable, "-c", DIES_IN_REVOKE, json.dumps([settings, topics.input])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout is not None
            assert client.stdout.readline().strip() == str(PARTITIONS)
            yield client
        finally:
            client.kill()
