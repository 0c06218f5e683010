"""A transaction that stays open on the decisions topic: an operator has to end it."""

from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.chaos.hanging import HangingTransactions
from tests.harness.broker import GivenBroker
from tests.harness.oracle import Rules
from tests.harness.topics import Topics, ends_of, wait_for
from tests.harness.worker import WorkerProcess

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=5)


def test_a_restore_waits_for_a_transaction_that_hangs_and_goes_on_when_an_operator_ends_it(
    topics: Topics, tmp_path: Path
) -> None:
    left_open(topics)
    with closing(WorkerProcess(topics, RULES, tmp_path, slot="worker-0")) as worker:
        worker.start()
        others = {str(number) for number in range(8)} - {"3"}
        wait_for("the others", lambda: worker.partitions() == others, timeout_s=60)
        assert not worker.is_ready()

        said: list[str] = []
        broker = GivenBroker(topics.bootstrap)
        at_once = {"look_every_s": 0.0, "hangs_after_s": 0.0}
        operator = HangingTransactions(broker, topics, tmp_path, said.append, lambda: 1, **at_once)
        operator.look()
        assert operator.ended == 0, "seen for the first time"
        operator.look()
        assert operator.ended == 1, said
        worker.wait_until_ready()
        worker.terminate()
    admin = AdminClient({"bootstrap.servers": topics.bootstrap})
    assert ends_of(admin, topics.decisions) == ends_of(admin, topics.decisions, stable=True)


def left_open(topics: Topics) -> None:
    """As somebody leaves it who died: open, for as long as a broker allows."""
    producer = Producer(
        {
            "bootstrap.servers": topics.bootstrap,
            "transactional.id": f"{topics.group}-foreign",
            "transaction.timeout.ms": 900_000,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topics.decisions, b"not a decision", partition=3)
    assert producer.flush(30) == 0
