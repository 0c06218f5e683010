"""A worker as its operator meets it: pages, exit codes, protocols, a broker that goes away."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.chaos.hanging import HangingTransactions
from tests.harness.broker import Broker
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import PARTITIONS, Topics, topics_of_a_test, wait_for
from tests.harness.verify import nothing_missing_and_nothing_twice, read_back
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

STATES = "tailstream_partitions"
RULES = Rules(decision_wait_ms=1000, slow_ms=1000, percentage=5)


@pytest.fixture
def workers() -> Iterator[list[WorkerProcess]]:
    """Give a list; the workers that a test puts there end with it."""
    running: list[WorkerProcess] = []
    yield running
    for worker in running:
        worker.close()


def test_the_pages_say_that_it_lives_that_it_is_ready_and_what_it_measures(
    topics: Topics, tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    workers.append(worker := WorkerProcess(topics, RULES, tmp_path, slot="w"))
    worker.start()
    worker.wait_until_ready()

    assert worker.get("/livez")[1] == "ok\n"
    assert worker.get("/readyz")[1] == "ok\n"
    plain, _ = worker.get("/metrics")
    openmetrics, text = worker.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert plain.startswith("text/plain")
    assert openmetrics.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    worker.terminate()


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_of_two_workers_in_one_slot_the_older_ends_fenced_and_says_what_to_do(
    topics: Topics, tmp_path: Path, workers: list[WorkerProcess], *, static: bool
) -> None:
    older, newer = (
        WorkerProcess(topics, RULES, tmp_path, slot=slot, instance_id="same", static=static)
        for slot in ("older", "newer")
    )
    workers += [older, newer]
    older.start()
    older.wait_until_ready()
    send(topics)
    newer.start()

    # Who has nothing to commit is not fenced either.
    sender = sender_of(topics, spans=20_000, duration_s=40)
    sender.start()
    wait_for("the older fenced", lambda: older.ended() is not None, timeout_s=60)
    sender.stop()
    sender.finish()

    assert older.ended() == 3
    last = older.log_tail(1)
    assert f"worker.instance_id 'same' of worker.group '{topics.group}'" in last
    assert "give every worker its own worker.instance_id" in last


def test_partitions_that_are_added_while_it_runs_are_read_and_decided(
    topics: Topics, tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    workers.append(worker := WorkerProcess(topics, RULES, tmp_path, slot="w"))
    worker.start()
    worker.wait_until_ready()
    send(topics)  # so that its producer knows the topics as they were
    wait_until_all_is_decided(topics, [worker])

    for topic in (topics.decisions, topics.output, topics.input):
        grow(topics.bootstrap, topic, partitions=10)
    wait_for("the new partitions", lambda: len(worker.partitions()) == 10, timeout_s=60)
    send(topics, seed=2)

    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    written = read_back(topics)
    nothing_missing_and_nothing_twice(written, written.expectation(RULES))


def test_a_committed_offset_above_the_end_of_the_log_stops_the_start(
    topics: Topics, tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    commit(topics, offset=1_000)
    workers.append(worker := WorkerProcess(topics, RULES, tmp_path, slot="w"))
    worker.start()

    wait_for("the end of the worker", lambda: worker.ended() is not None, timeout_s=60)

    assert worker.ended() == 2
    assert "above the end of the log" in worker.log_tail()


def test_a_start_in_an_outage_asks_for_another_start_and_says_what_to_look_at(
    tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    away = Topics("127.0.0.1:1", "tailstream_test_away")
    workers.append(worker := WorkerProcess(away, RULES, tmp_path, slot="w"))
    worker.start()

    wait_for("the end of the worker", lambda: worker.ended() is not None, timeout_s=60)

    # Not 2: a supervisor does not start again what an operator has to mend first.
    assert worker.ended() == 71
    assert "no broker there can be used" in worker.log_tail()


def test_topics_that_are_missing_stop_the_start_with_the_command_that_makes_them(
    kafka: str, tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    nowhere = Topics(kafka, "tailstream_test_missing")
    workers.append(worker := WorkerProcess(nowhere, RULES, tmp_path, slot="w"))
    worker.start()

    wait_for("the end of the worker", lambda: worker.ended() is not None, timeout_s=60)

    assert worker.ended() == 2
    assert "tailstream topics --create" in worker.log_tail()


@pytest.mark.parametrize(
    ("under_faust", "kafka_settings"),
    [(True, {}), (False, {"group.protocol": "consumer"})],
    ids=["faust -A stream.app worker", "KIP-848"],
)
def test_other_ways_to_run_it_deliver_the_same(
    topics: Topics,
    tmp_path: Path,
    workers: list[WorkerProcess],
    *,
    under_faust: bool,
    kafka_settings: dict[str, str],
) -> None:
    workers.append(
        worker := WorkerProcess(
            topics, RULES, tmp_path, slot="w", under_faust=under_faust, kafka=kafka_settings
        )
    )
    worker.start()
    worker.wait_until_ready()
    send(topics)

    wait_until_all_is_decided(topics, [worker])
    worker.terminate()

    written = read_back(topics)
    nothing_missing_and_nothing_twice(written, written.expectation(RULES))


def test_a_broker_that_is_killed_and_comes_back_costs_nothing_but_time(
    own_broker: Broker, tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    with topics_of_a_test(own_broker.bootstrap) as topics:
        workers.append(worker := WorkerProcess(topics, RULES, tmp_path, slot="w"))
        worker.start()
        worker.wait_until_ready()
        sender = sender_of(topics, spans=20_000, duration_s=8)
        sender.start()
        wait_for("half of the load", lambda: sender.share_sent >= 0.5, timeout_s=60)

        own_broker.kill()
        own_broker.start()
        sender.finish()
        with_an_operator(
            own_broker, topics, tmp_path, lambda: revive_until_all_is_decided(topics, worker)
        )
        worker.terminate()

        written = read_back(topics)
        nothing_missing_and_nothing_twice(written, written.expectation(RULES))


def test_who_has_lost_its_place_in_the_group_is_not_ready_until_it_is_back(
    own_broker: Broker, tmp_path: Path, workers: list[WorkerProcess]
) -> None:
    patient = {"worker": {"transaction_timeout": "120s"}}
    with topics_of_a_test(own_broker.bootstrap) as topics:
        workers.append(worker := WorkerProcess(topics, RULES, tmp_path, slot="w", more=patient))
        worker.start()
        worker.wait_until_ready()

        own_broker.kill()
        none = {("ready", 0.0), ("restoring", 0.0)}
        wait_for("its end", lambda: {*worker.samples(STATES, "state")} == none, timeout_s=60)
        assert worker.page("/livez") == "ok\n"
        assert not worker.is_ready()

        own_broker.start()
        with_an_operator(own_broker, topics, tmp_path, worker.wait_until_ready)
        wait_for("its partitions", lambda: len(worker.partitions()) == PARTITIONS, timeout_s=60)


def with_an_operator(broker: Broker, topics: Topics, home: Path, wait: Callable[[], None]) -> None:
    """Wait; what Kafka itself left hanging when it was killed is ended as the README says.

    Only on the word of fresh clients: a worker that is late for its own reasons fails the test.
    """
    try:
        wait()
    except TimeoutError:
        operator = HangingTransactions(
            *(broker, topics, home, print, lambda: 1), look_every_s=1, hangs_after_s=15
        )
        for _ in range(30):
            operator.look()
            if operator.ended or operator.restarts:
                return wait()
            time.sleep(1)
        raise


def revive_until_all_is_decided(topics: Topics, worker: WorkerProcess) -> None:
    """Be the supervisor: a worker that ends in doubt (71) or fenced (3) is started again."""
    for _ in range(3):
        try:
            wait_until_all_is_decided(topics, [worker], timeout_s=60)
        except AssertionError:
            assert worker.ended() in (3, 71), worker.log_tail()
            worker.forget()
            worker.start()
        else:
            return
    pytest.fail(f"three restarts and no end:\n{worker.log_tail()}")


def send(topics: Topics, *, seed: int = 1) -> None:
    sender = sender_of(topics, spans=5_000, duration_s=2, seed=seed)
    sender.start()
    sender.finish()


def sender_of(topics: Topics, *, spans: int, duration_s: float, seed: int = 1) -> Sender:
    late_after_s = RULES.decision_wait_ms / 1000 + 0.4
    load = Load(spans=spans, duration_s=duration_s, late_after_s=late_after_s, seed=seed)
    return Sender(topics.bootstrap, topics.input, load.records())


def grow(bootstrap: str, topic: str, *, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)


def commit(topics: Topics, *, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": topics.bootstrap, "group.id": topics.group})
    try:
        offsets = [TopicPartition(topics.input, 0, offset)]
        consumer.commit(offsets=offsets, asynchronous=False)
    finally:
        consumer.close()
