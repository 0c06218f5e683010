"""What an open transaction holds back is told where reading stands still, and only there."""

import asyncio
from collections.abc import Mapping, Sequence

from stream.standstill import Standstill
from stream.testing.core import Core, a_tick
from stream.worker.partition import Partition


class Broker:
    """Answers for stable ends, and keeps whom it was asked for."""

    def __init__(self, ends: Mapping[int, int]) -> None:
        self.asked: list[Sequence[int]] = []
        self._ends = ends

    async def stable_ends(self, numbers: Sequence[int]) -> dict[int, int]:
        self.asked.append(numbers)
        return {number: self._ends[number] for number in numbers if number in self._ends}


def look(
    standstill: Standstill, partitions: Mapping[int, Partition], ends: Mapping[int, int]
) -> dict[int, int]:
    return asyncio.run(standstill.look(partitions, ends))


def test_a_partition_that_stands_still_below_its_end_tells_what_is_held_back() -> None:
    broker = Broker({0: 4})
    standstill = Standstill(broker.stable_ends)
    partitions = {0: Core().partition(0)}

    first = look(standstill, partitions, {0: 10})
    second = look(standstill, partitions, {0: 12})

    assert (first, second) == ({0: 0}, {0: 8})
    assert broker.asked == [[0]], "one look does not tell whether it moves"


def test_the_broker_is_not_asked_for_partitions_that_move_or_are_at_their_end() -> None:
    broker = Broker({})
    standstill = Standstill(broker.stable_ends)
    moving, read = Core().partition(0), Core().partition(1)
    partitions = {0: moving, 1: read}

    look(standstill, partitions, {0: 10, 1: 0})
    moving.sampler.fold([a_tick(0, 1_000)])
    held = look(standstill, partitions, {0: 10, 1: 0})

    assert held == {0: 0, 1: 0}
    assert broker.asked == []


def test_a_partition_that_is_slow_for_another_reason_has_nothing_held_back() -> None:
    standstill = Standstill(Broker({0: 10}).stable_ends)
    partitions = {0: Core().partition(0)}

    look(standstill, partitions, {0: 10})

    assert look(standstill, partitions, {0: 10}) == {0: 0}


def test_a_broker_that_does_not_answer_and_a_partition_that_goes_meanwhile_cost_nothing() -> None:
    partitions = {0: Core().partition(0), 1: Core().partition(1)}

    async def stable_ends(numbers: Sequence[int]) -> dict[int, int]:
        assert [*numbers] == [0, 1]
        del partitions[1]
        return {1: 3}

    standstill = Standstill(stable_ends)
    ends = {0: 10, 1: 10}
    look(standstill, partitions, ends)

    assert look(standstill, partitions, ends) == {0: 0}
