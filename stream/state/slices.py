"""Bodies in slices: column families that are filled in turn, each emptied whole.

What is written lives for about the window, so the rows of one stretch of writing die together. In
one column family RocksDB would write to disk, merge and write again what is dead by then; here it
drops a slice that nobody wants unwritten, or with one look at its file. What a slow partition keeps
alive in an old slice costs what it would cost without slices: the rest is deleted below it.
"""

from collections import deque
from collections.abc import Sequence

from rocksdict import WriteBufferManager

from stream.state.family import Family


class Slice:
    """One column family in the turn. `held_rows` were not discarded."""

    def __init__(self, rows: Family) -> None:
        self.rows = rows
        self.written_bytes = 0
        self.held_rows = 0

    def put(self, rows: Sequence[tuple[bytes, bytes]], size_bytes: int) -> None:
        """Write rows, each (key, value), whose values have so many bytes."""
        self.rows.put(rows)
        self.written_bytes += size_bytes
        self.held_rows += len(rows)


class Part:
    """What a bucket has in one slice: rows of offsets `lowest` to `highest`."""

    __slots__ = ("held_bytes", "highest", "lowest", "rows", "where")

    def __init__(self, where: Slice) -> None:
        self.where = where
        self.rows = 0
        self.held_bytes = 0
        self.lowest = 1 << 64
        self.highest = -1

    def add(self, offset: int, size_bytes: int) -> None:
        """Count a row."""
        self.rows += 1
        self.held_bytes += size_bytes
        if offset < self.lowest:  # noqa: PLR1730 - for every body: min() costs as much as the rest
            self.lowest = offset
        if offset > self.highest:  # noqa: PLR1730 - the same
            self.highest = offset


class Slices:
    """The slices of a database, the bodies of all partitions together.

    One is full with `slice_bytes` (of values), but is filled further while no other is empty: then
    they grow with the window. Where the disk is slower than what comes in, writing waits for
    `memtables` to come below `memory_bytes`.
    """

    def __init__(
        self,
        families: Sequence[Family],
        memtables: WriteBufferManager,
        slice_bytes: int,
        memory_bytes: int,
    ) -> None:
        self.families = families
        self._memtables = memtables
        self._memory_bytes = memory_bytes
        self._partitions: set[int] = set()
        self._slice_bytes = slice_bytes
        self._current = Slice(families[0])
        self._empty = deque(Slice(family) for family in families[1:])

    def claim(self, partition: int) -> None:
        """Make a store the only user of this partition's rows, of which there are none."""
        assert self._current.rows.is_open, "the database is closed"
        assert partition not in self._partitions, f"spans {partition} is open already"
        self._partitions.add(partition)

    def release(self, partition: int) -> None:
        """Let the next store have the partition; its rows have been discarded."""
        self._partitions.discard(partition)

    def current(self) -> Slice:
        """Return where to write: another from now on if the last is full and one is empty."""
        if self._current.written_bytes >= self._slice_bytes and self._empty:
            full, self._current = self._current, self._empty.popleft()
            self._reuse_if_empty(full)
        if self._memtables.get_usage() > self._memory_bytes:
            self._flush()
        return self._current

    def discard(self, where: Slice, rows: int, begin: bytes, end: bytes) -> None:
        """Forget what a slice has from `begin` to below `end`: so many rows."""
        where.held_rows -= rows
        assert where.held_rows >= 0, where.held_rows
        if where.rows.is_open:
            where.rows.delete_range(begin, end)
            self._reuse_if_empty(where)

    def disk_bytes(self) -> int:
        """Bytes of live table files now."""
        return sum([family.disk_bytes() for family in self.families])

    def _flush(self) -> None:
        current = self._current.rows
        for family in (*(one for one in self.families if one is not current), current):
            family.flush(wait=True)
            if self._memtables.get_usage() <= self._memory_bytes:
                return

    def _reuse_if_empty(self, one: Slice) -> None:
        if one.held_rows or one is self._current:
            return
        one.rows.flush(wait=False)
        one.written_bytes = 0
        self._empty.append(one)
