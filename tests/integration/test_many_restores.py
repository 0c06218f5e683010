"""Many partitions are assigned at once: each restore has clients of its own, so few go on."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, Self

import pytest
from confluent_kafka.admin import AdminClient

from stream.kafka.log_state import Identity
from stream.kafka.partition_log import PartitionLog
from stream.kafka.partition_log import Topics as Logs
from stream.measurements import Measurements
from stream.metrics import Metrics
from stream.restoring import LOGS_MAX, Opened, Restoring
from stream.testing.core import IDENTITY, Core
from stream.worker.worker import Worker
from tests.harness.topics import REQUEST_TIMEOUT_S, create_topics, wait_for

pytestmark = pytest.mark.integration

PARTITIONS = 3 * LOGS_MAX


class CountedLog(PartitionLog):
    """Counts how many there are at a time."""

    now: ClassVar[int] = 0
    most: ClassVar[int] = 0

    def __enter__(self) -> Self:
        CountedLog.now += 1
        CountedLog.most = max(CountedLog.most, CountedLog.now)
        return self

    def __exit__(self, *_: object) -> None:
        CountedLog.now -= 1
        self.close()


class Restores:
    """Restores of partitions that are ours until they are `taken`."""

    def __init__(self, bootstrap: str, logs: Logs) -> None:
        CountedLog.now = CountedLog.most = 0
        self.taken = False
        self.problems: list[BaseException] = []
        self.worker = Worker()
        self._bootstrap = bootstrap
        self._logs = logs
        self.restoring = Restoring(
            self.worker,
            measurements=Measurements(Metrics()),
            open_log=self._open_log,
            open_partition=_open_partition,
            initial_offset="earliest",
            ours=lambda *_: not self.taken,
            before=lambda: asyncio.sleep(0),
            start=lambda *_: None,
            caught_up=lambda *_: None,
            failed=self.problems.append,
        )
        for number in range(PARTITIONS):
            self.restoring.begin(number, 1, IDENTITY)

    def _open_log(self, number: int, wanted: Callable[[], bool]) -> PartitionLog:
        connection = {"bootstrap.servers": self._bootstrap, "log_level": 4}
        return CountedLog(
            connection, group=self._logs.input, topics=self._logs, number=number, wanted=wanted
        )


def _open_partition(number: int, identity: Identity) -> Opened:
    del identity
    core = Core()
    decisions = core.decision_store()
    return Opened(
        decisions,
        lambda point, restore: core.partition(
            number, decisions=decisions, restored=(point, restore)
        ),
    )


@pytest.fixture
def logs(kafka: str) -> Iterator[Logs]:
    prefix = f"test_{uuid.uuid4().hex[:12]}"
    names = [f"{prefix}_spans", f"{prefix}_decisions"]
    create_topics(kafka, names, partitions=PARTITIONS)
    found = Logs(*names)
    # A restore waits, and keeps its clients, while a partition has no leader.
    wait_for(
        "leaders",
        lambda: all(map(partial(_has_leader, kafka, found), range(PARTITIONS))),
        timeout_s=20,
    )
    yield found
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 4})
    for deleted in admin.delete_topics(names).values():
        deleted.result(REQUEST_TIMEOUT_S)


def _has_leader(bootstrap: str, logs: Logs, number: int) -> bool:
    connection = {"bootstrap.servers": bootstrap, "log_level": 4}
    with PartitionLog(
        connection, group=logs.input, topics=logs, number=number, wanted=lambda: True
    ) as log:
        return log.state() is not None


def test_all_become_ready_and_few_are_restored_at_a_time(kafka: str, logs: Logs) -> None:
    async def run() -> Restores:
        restores = Restores(kafka, logs)
        while not (restores.restoring.ready or restores.problems):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        return restores

    restores = asyncio.run(run())
    assert not restores.problems
    assert len(restores.worker.partitions) == PARTITIONS
    assert CountedLog.most == LOGS_MAX


def test_who_still_queues_when_the_partitions_are_taken_away_is_not_waited_for(
    kafka: str, logs: Logs
) -> None:
    async def run() -> Restores:
        restores = Restores(kafka, logs)
        while CountedLog.now < LOGS_MAX:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        queued = range(LOGS_MAX, PARTITIONS)
        await restores.restoring.end(queued)
        assert CountedLog.now == LOGS_MAX, "it waited for the others"
        restores.taken = True
        await restores.restoring.end(range(PARTITIONS))
        return restores

    restores = asyncio.run(run())
    assert not restores.problems
    assert (CountedLog.now, CountedLog.most) == (0, LOGS_MAX)
    assert restores.restoring.ready
