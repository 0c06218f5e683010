"""Partitions that a rebalance has given to nobody are divided again by the workers themselves."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import PARTITIONS, Topics, wait_for
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
