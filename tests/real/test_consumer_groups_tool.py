"""Kafka's own consumer-groups tool shows the true lag on `<group>-position`, and workers tell it.

The backlog stands and is known beforehand: a transaction that is open in every partition lets
nobody read past it. The window is so long that nothing is decided meanwhile.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.harness.kafka_jars import MissingToolError
from tests.harness.load import Load, Planned, partition_of
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import (
    PARTITIONS,
    Topics,
    committed_offsets,
    topics_of_a_test,
    wait_for,
)
from tests.harness.worker import WorkerProcess
from tests.real import kafka_tools
from tests.real.report import Report

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

RULES = Rules(decision_wait_ms=600_000, slow_ms=1000, percentage=5)
MORE: dict[str, dict[str, object]] = {
    "web": {"kafka_exporter_names": True},
    "worker": {"session_timeout": "200s"},  # who is killed is not replaced while the tool looks
}
SECTION = "Lag"
COLUMNS = ("CURRENT-OFFSET", "LOG-END-OFFSET", "LAG")


def test_the_tool_shows_the_lag_that_the_workers_tell_also_of_one_that_was_killed(
    kafka: str, report: Report, tmp_path: Path
) -> None:
    read, waiting = (part(seed) for seed in (21, 22))
    before, after = by_partition(read), by_partition(waiting)
    with topics_of_a_test(kafka) as topics, two_workers(topics, tmp_path) as (first, second):
        send(topics, read)
        position = f"{topics.group}-position"
        wait_for("it is read", lambda: committed_offsets(topics, position) == before, timeout_s=120)
        with held(topics):
            send(topics, waiting)
            lag = {number: after[number] + 1 for number in before}  # and the record that holds them
            mine, others = (of(worker, "open_traces").keys() for worker in (first, second))
            wait_for(
                "both tell it",
                lambda: of(first, "lag_records") | of(second, "lag_records") == lag,
                timeout_s=120,
            )
            told_by_standard_name = of(first, "", "kafka_consumergroup_lag")
            second.kill()
            wait_for(
                "the rest, told by the first",
                lambda: of(first, "unattended_lag_records").keys() == others,
                timeout_s=120,
            )
            table = printed(kafka, position)
            debts = printed(kafka, topics.group)
            told = of(first, "lag_records") | of(first, "unattended_lag_records")
            debt = of(first, "replay_debt_records")
        first.kill()

    expected = {n: (before[n], before[n] + lag[n], lag[n]) for n in range(PARTITIONS)}
    assert figures(table) == expected
    assert told == lag
    assert told_by_standard_name == {n: lag[n] for n in mine}
    behind = figures(debts)
    assert {n: behind[n][2] - lag[n] for n in mine} == debt
    assert max(debt.values()) > 0
    report.ran("Kafka's tools (kafka-tools)", kafka_tools.tools_version())
    for group, what, text in (
        ("<group>-position", "true lag", table),
        ("<group>", "replay debt and lag", debts),
    ):
        caption = f"`kafka-consumer-groups.sh --describe --group {group}`: {what}"
        report.text(SECTION, caption, readable(text, topics))


def readable(table: str, topics: Topics) -> str:
    """Return a printed table with the names of a deployment for those of a test."""
    for name, usual in (
        (f"{topics.group}-position", "tailstream-position"),
        (topics.group, "tailstream"),
        (topics.input, "otlp_spans"),
    ):
        table = table.replace(name, usual.ljust(len(name)))
    return "\n".join(line.rstrip() for line in table.splitlines())


def part(seed: int) -> list[Planned]:
    return Load(spans=3_000, duration_s=1, late_after_s=1, seed=seed).records()


def by_partition(records: list[Planned]) -> Counter[int]:
    return Counter(partition_of(record.key) for record in records)


def send(topics: Topics, records: list[Planned]) -> None:
    sender = Sender(topics.bootstrap, topics.input, records)
    sender.start()
    sender.finish()


@contextmanager
def two_workers(topics: Topics, home: Path) -> Iterator[tuple[WorkerProcess, WorkerProcess]]:
    client = {"max.poll.interval.ms": "300000"}
    first, second = (
        WorkerProcess(topics, RULES, home, slot=slot, kafka=client, more=MORE)
        for slot in ("first", "second")
    )
    try:
        for worker in (first, second):
            worker.start()
            worker.wait_until_ready()
        wait_for("halves", lambda: len(first.partitions()) == PARTITIONS // 2, timeout_s=60)
        yield first, second
    finally:
        first.close()
        second.close()


@contextmanager
def held(topics: Topics) -> Iterator[None]:
    """Let nobody read what comes from here on, in any partition."""
    settings = {"bootstrap.servers": topics.bootstrap, "transactional.id": f"{topics.group}-open"}
    producer = Producer({**settings, "transaction.timeout.ms": 600_000})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(PARTITIONS):
        producer.produce(topics.input, b"never committed", partition=number)
    assert producer.flush(30) == 0
    yield
    producer.abort_transaction(30)


def of(worker: WorkerProcess, gauge: str, name: str = "") -> dict[int, float]:
    """Return a gauge by partition."""
    told = worker.samples(name or f"tailstream_{gauge}", "partition")
    return {int(number): value for number, value in told}


def printed(bootstrap: str, group: str) -> str:
    try:
        return kafka_tools.described(bootstrap, group)
    except MissingToolError as missing:
        pytest.fail(str(missing), pytrace=False)


def figures(table: str) -> dict[int, tuple[int, ...]]:
    """Return offset, end and lag of each partition as they are printed."""
    return {
        int(row["PARTITION"]): tuple(int(row[column]) for column in COLUMNS)
        for row in kafka_tools.rows(table)
    }
