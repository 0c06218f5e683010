"""What a group's member commits of what is done: behind the records, and the markers after them.

A transaction ends in a marker, an offset that is no record. Who commits the offset behind its last
record has a lag of 1 for ever, by Kafka's own tools. The client knows better: its position is
behind the marker, too. It may be committed where every record that the client gave is done.
"""

from collections.abc import Iterable, Mapping


class GroupOffsets:
    """The offsets of the partitions that are ours. Pure bookkeeping."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._known: set[int] = set()

    def started(self, partition: int, committed: int | None) -> None:
        """A partition is ours, and read from where the group has committed, if it has."""
        # Not where it was ours before: should the client still say how far it was then, others may
        # have gone back since.
        if committed is not None and partition not in self._known:
            self._done[partition] = self._committed[partition] = committed
        self._known.add(partition)

    def client_is_at(self, positions: Mapping[int, int]) -> None:
        """Note the client's positions, when all that it has given has been taken.

        Not within one of its calls: a rebalance comes in the middle of a batch, and then they are
        behind records that nobody has seen.
        """
        self._positions.update(positions)

    def done(self, offsets: Mapping[int, int]) -> None:
        """Every record below these offsets is done with."""
        self._done.update(offsets)

    def to_commit(self, next_offsets: Mapping[int, int | None]) -> dict[int, int]:
        """Return what is to be committed, and is not.

        `next_offsets` are those behind the last record that was taken of each partition.
        """
        wanted = {}
        for partition, offset in self._done.items():
            before = self._committed.get(partition, 0)
            all_is_done = offset == next_offsets.get(partition)
            position = self._positions.get(partition, 0) if all_is_done else 0
            wanted[partition] = max(offset, position, before)
        return {n: offset for n, offset in wanted.items() if offset != self._committed.get(n)}

    def committed(self, offsets: Mapping[int, int]) -> None:
        """These are committed."""
        self._committed.update(offsets)

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions are no longer ours."""
        for partition in partitions:
            for known in (self._done, self._positions, self._committed):
                known.pop(partition, None)

    def begin_anew(self, partition: int) -> None:
        """The client reads on from another place: what it says of the last one no longer counts."""
        self._positions.pop(partition, None)
