"""Rounds of promotions: when there is one, and what becomes of what it brings."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from stream.promoting import Promoting
from stream.sampling.limits import Windows
from stream.sampling.promotions import Found, Wanted
from stream.sampling.tail_sampler import TailSampler
from stream.testing.core import Core, a_pin, a_record, a_tick, an_ordinary, fold
from stream.worker.worker import Worker

CORE = Core(Windows(decision_wait_ms=30, decision_retention_ms=1_000))
RECORDS = [a_record(offset, 1_000, an_ordinary(1 + offset)) for offset in range(3)]
PINS = [a_pin(4 + offset, 1_101, 1 + offset) for offset in range(3)]


class InMemory:
    """A reader of `RECORDS`: a round brings the newest promotion, and leaves the others."""

    def __init__(self) -> None:
        self.left: list[tuple[int, Wanted]] = []
        self.rounds: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.left)

    def forget(self, number: int) -> None:
        self.left = [one for one in self.left if one[0] != number]

    def read(
        self, wanted: Mapping[int, Sequence[Wanted]], ours: Callable[[int], bool]
    ) -> dict[int, list[Found]]:
        self.left += [(number, one) for number, of_it in wanted.items() for one in of_it]
        self.rounds.append([one.first_offset for _, one in self.left])
        number, one = self.left.pop()
        assert ours(number)
        record = RECORDS[one.first_offset - 4]
        fragments = [(record.offset, record.fragments[0], record.headers)]
        return {number: [Found(one.trace_id, one.first_offset, fragments)]}

    def close(self) -> None:
        """Nothing is open."""


def a_worker() -> tuple[Worker, TailSampler]:
    """Return one whose partition 0 has dropped three traces, which are pinned since."""
    worker = Worker()
    worker.ready(CORE.partition())
    fold(worker.partitions[0].sampler, [*RECORDS, a_tick(3, 1_100)])
    commit(worker)
    fold(worker.partitions[0].sampler, PINS)
    return worker, worker.partitions[0].sampler


def commit(worker: Worker) -> None:
    for partition in worker.partitions.values():
        plan = partition.plan(count_max=1_000, bytes_max=1 << 30)
        partition.committed(plan, decisions_end=0)


def test_what_a_round_has_whole_is_delivered_and_the_rest_goes_on_in_the_next_ones() -> None:
    worker, sampler = a_worker()
    reader = InMemory()
    promoting = Promoting(worker, reader)
    left = []
    for _ in range(4):
        asyncio.run(promoting.round())
        commit(worker)
        left.append(sampler.promotions)
    assert left == [2, 1, 0, 0]
    assert reader.rounds == [[4, 5, 6], [4, 5], [4]]
    assert sampler.accounts.promotions == {"promoted": 3, "deferred": 2}


def test_no_round_begins_before_what_the_last_one_brought_has_committed() -> None:
    worker, _ = a_worker()
    reader = InMemory()
    promoting = Promoting(worker, reader)
    asyncio.run(promoting.round())
    asyncio.run(promoting.round())
    assert len(reader.rounds) == 1
    commit(worker)
    asyncio.run(promoting.round())
    assert len(reader.rounds) == 2


def test_what_was_read_for_a_partition_that_was_given_up_is_forgotten_though_it_comes_back() -> (
    None
):
    worker, _ = a_worker()
    reader = InMemory()
    promoting = Promoting(worker, reader)
    asyncio.run(promoting.round())
    assert len(reader) == 2
    worker.drop([0])
    worker.ready(CORE.partition())
    asyncio.run(promoting.round())
    assert (len(reader), len(reader.rounds)) == (0, 1)
