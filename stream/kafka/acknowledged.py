"""Which offsets a reader may commit: those below which every record is done with."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Pending:
    """A record that was read; `pieces` of it are still under way. 0: it is done with."""

    offset: int
    pieces: int = 0

    def done(self) -> None:
        """One piece of it is safe."""
        assert self.pieces > 0, "more pieces came back than were sent"
        self.pieces -= 1


@dataclass(slots=True)
class _Partition:
    pending: deque[Pending] = field(default_factory=deque)
    next_offset: int | None = None
    committed: int | None = None


class Acknowledged:
    """The records of each partition that are under way, in the order of reading.

    Pieces may come back in any order. What was given up (`forget`) no longer counts, even where the
    partition comes back: its new records are others.
    """

    def __init__(self) -> None:
        self._partitions: dict[int, _Partition] = {}

    def read(self, partition: int, offset: int) -> Pending:
        """Note a record; its pieces are to be counted in before anything else is called."""
        pending = Pending(offset)
        self._partitions.setdefault(partition, _Partition()).pending.append(pending)
        return pending

    def to_commit(self, partitions: Iterable[int] | None = None) -> dict[int, int]:
        """Return the offset to read next of each partition where it has moved since `committed`."""
        wanted = self._partitions.keys() if partitions is None else partitions
        found = {}
        for number in wanted:
            one = self._partitions.get(number)
            if one is None:
                continue
            while one.pending and not one.pending[0].pieces:
                one.next_offset = one.pending.popleft().offset + 1
            if one.next_offset is not None and one.next_offset != one.committed:
                found[number] = one.next_offset
        return found

    def committed(self, offsets: dict[int, int]) -> None:
        """These offsets are committed."""
        for number, offset in offsets.items():
            self._partitions[number].committed = offset

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions are no longer ours."""
        for number in partitions:
            self._partitions.pop(number, None)

    def __len__(self) -> int:
        return sum(len(one.pending) for one in self._partitions.values())
