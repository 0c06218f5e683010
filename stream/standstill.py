"""Partitions that stand still although their log goes on: what an open transaction holds back."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from stream.worker.partition import Partition

StableEnds = Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]


class Standstill:
    """Tells how many records of each partition nobody may read before a transaction ends.

    A reader of committed records stops at the last stable offset, where the oldest open transaction
    begins. The broker is asked for it only where a partition has records and did not move between
    two looks: `stable_ends` returns those that it knows.
    """

    def __init__(self, stable_ends: StableEnds) -> None:
        self._stable_ends = stable_ends
        self._positions: dict[int, int] = {}

    async def look(
        self, partitions: Mapping[int, Partition], ends: Mapping[int, int]
    ) -> dict[int, int]:
        """Return the records held back, of each partition that is ours; `ends` of their logs."""
        before = self._positions
        self._positions = {n: partition.sampler.position for n, partition in partitions.items()}
        standing = {
            number: ends[number]
            for number, position in self._positions.items()
            if before.get(number) == position < ends.get(number, 0)
        }
        stable = await self._stable_ends(list(standing)) if standing else {}
        # Some may have been revoked meanwhile.
        return {
            number: max(0, standing[number] - stable[number]) if number in stable else 0
            for number in partitions
        }
