"""What a worker tells of its lag is what Kafka's own tools see, and why it does not fall."""

from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from prometheus_client.parser import text_string_to_metric_families

from stream.kafka.log_reader import LogReader
from stream.metrics import UNHEARD_S
from tests.harness.broker import Broker
from tests.harness.load import Load, Planned
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import (
    PARTITIONS,
    Topics,
    committed_offsets,
    end_offsets,
    topics_of_a_test,
    wait_for,
)
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=500, slow_ms=1000, percentage=5)
NAMES = {"web": {"kafka_exporter_names": True}}
LAG = "kafka_consumergroup_lag"
UNATTENDED = "tailstream_unattended_lag_records"
HELD = "tailstream_held_by_transaction_records"


def test_the_lag_by_kafka_exporter_s_name_is_that_of_the_position_group_on_partitions_of_ours(
    topics: Topics, tmp_path: Path
) -> None:
    load = Load(spans=4_000, duration_s=2, late_after_s=1, seed=2).records()
    sender = Sender(topics.bootstrap, topics.input, load)
    with (
        closing(WorkerProcess(topics, RULES, tmp_path, slot="one", more=NAMES)) as one,
        closing(WorkerProcess(topics, RULES, tmp_path, slot="two", more=NAMES)) as two,
    ):
        one.start()
        one.wait_until_ready()
        sender.start()
        sender.finish()
        wait_until_all_is_decided(topics, [one])
        alone = lag_of(one, topics)
        two.start()
        two.wait_until_ready()
        wait_for("a share for the second", lambda: bool(lag_of(two, topics)), timeout_s=60)
        wait_for("each told once", lambda: told_once(one, two, topics), timeout_s=60)
        left = lag_of(one, topics)

    ends = end_offsets(topics.bootstrap, topics.input)
    committed = committed_offsets(topics, f"{topics.group}-position")
    assert alone == {number: end - committed.get(number, 0) for number, end in ends.items()}
    assert 0 < len(left) < PARTITIONS


def test_records_that_an_open_transaction_holds_back_are_told_until_it_ends(
    topics: Topics, tmp_path: Path
) -> None:
    producer = Producer(
        {"bootstrap.servers": topics.bootstrap, "transactional.id": f"{topics.group}-foreign"}
    )
    with closing(WorkerProcess(topics, RULES, tmp_path, slot="one")) as worker:
        worker.start()
        worker.wait_until_ready()
        producer.init_transactions(30)
        producer.begin_transaction()
        for _ in range(5):
            producer.produce(topics.input, b"not committed", partition=3)
        assert producer.flush(30) == 0
        held = dict.fromkeys(range(PARTITIONS), 0) | {3: 5}
        wait_for("it is told", lambda: told(worker, HELD) == held, timeout_s=30)

        producer.abort_transaction(30)
        nothing = dict.fromkeys(range(PARTITIONS), 0)
        wait_for("it is over", lambda: told(worker, HELD) == nothing, timeout_s=30)
        worker.terminate()


def test_who_is_cut_off_from_the_broker_does_not_tell_that_all_is_read(
    own_broker: Broker, tmp_path: Path
) -> None:
    with (
        topics_of_a_test(own_broker.bootstrap) as topics,
        # One whose session has ended by its own clock tells nothing of partitions any more.
        closing(a_patient_worker(topics, tmp_path, "one", transaction_timeout="60s")) as worker,
    ):
        worker.start()
        worker.wait_until_ready()
        wait_for("nothing is behind", lambda: {*seconds(worker)} == {0.0}, timeout_s=60)

        own_broker.kill()
        wait_for("in doubt", lambda: min(seconds(worker)) > UNHEARD_S, timeout_s=60)
        worker.kill()
        own_broker.start()


def test_a_partition_that_no_broker_tells_of_costs_the_others_nothing(topics: Topics) -> None:
    reader = LogReader(
        {"bootstrap.servers": topics.bootstrap},
        group=topics.group,
        topic=topics.input,
        decisions_topic=topics.decisions,
        needs_topic_id=True,
    )
    with closing(reader):
        # A topic that was just made has no leaders for a moment.
        wait_for("leaders", lambda: led(reader), timeout_s=60)
        told = reader.ends([PARTITIONS, 0, 1])
        with pytest.raises(KafkaException):
            reader.ends([PARTITIONS])

    assert told == {0: 0, 1: 0}


def led(reader: LogReader) -> bool:
    with suppress(KafkaException):
        return len(reader.ends([0, 1])) == 2
    return False


def seconds(worker: WorkerProcess) -> list[float]:
    return [*told(worker, "tailstream_lag_seconds").values()]


def told_once(one: WorkerProcess, two: WorkerProcess, topics: Topics) -> bool:
    return sorted([*lag_of(one, topics), *lag_of(two, topics)]) == [*range(PARTITIONS)]


def lag_of(worker: WorkerProcess, topics: Topics) -> dict[int, float]:
    group = {"consumergroup": f"{topics.group}-position", "topic": topics.input}
    return told(worker, LAG, group)


def told(
    worker: WorkerProcess, name: str, labels: Mapping[str, str] | None = None
) -> dict[int, float]:
    """Return a gauge by partition; its other labels must be these."""
    _, text = worker.get("/metrics")
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]
    for sample in samples:
        assert {k: v for k, v in sample.labels.items() if k != "partition"} == (labels or {})
    return {int(sample.labels["partition"]): sample.value for sample in samples}


def test_what_waits_for_a_worker_that_was_killed_is_told_by_another_until_somebody_reads_it(
    topics: Topics, tmp_path: Path
) -> None:
    load = Load(spans=4_000, duration_s=1, late_after_s=1, seed=3).records()
    first, then = load[: len(load) // 2], load[len(load) // 2 :]
    with (
        closing(a_patient_worker(topics, tmp_path, "one")) as one,
        closing(a_patient_worker(topics, tmp_path, "two")) as two,
    ):
        one.start()
        two.start()
        for worker in (one, two):
            worker.wait_until_ready()
        wait_for("halves", lambda: len(one.partitions()) == PARTITIONS // 2, timeout_s=60)
        send(topics, first)
        wait_until_all_is_decided(topics, [one, two])
        orphans = {int(number) for number in two.partitions()}
        wait_for("none stands", lambda: told(one, UNATTENDED) == {}, timeout_s=30)

        two.kill()
        send(topics, then)
        ends = end_offsets(topics.bootstrap, topics.input)
        committed = committed_offsets(topics, f"{topics.group}-position")
        waiting = {number: ends[number] - committed[number] for number in orphans}
        wait_for("it is told", lambda: told(one, UNATTENDED) == waiting, timeout_s=30)
        wait_for("it is read", lambda: told(one, UNATTENDED) == {}, timeout_s=120)
        wait_until_all_is_decided(topics, [one])


def a_patient_worker(topics: Topics, home: Path, slot: str, **timeouts: str) -> WorkerProcess:
    """Return a worker whose partitions wait for it for half a minute."""
    kafka = {"max.poll.interval.ms": "60000"}
    more = {"worker": {"session_timeout": "30s", **timeouts}}
    return WorkerProcess(topics, RULES, home, slot=slot, kafka=kafka, more=more)


def send(topics: Topics, records: list[Planned]) -> None:
    sender = Sender(topics.bootstrap, topics.input, records)
    sender.start()
    sender.finish()
