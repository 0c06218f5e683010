"""Bodies in memory up to a budget, then the oldest in RocksDB.

The window of a small deployment never touches the disk, that of a large one is bounded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from stream.state.memory import MemorySpanStore
from stream.state.rocksdb import RocksDB, RocksDBSpanStore

if TYPE_CHECKING:
    from stream.sampling._bodies import Bodies

BODY_OVERHEAD_BYTES = 210
"""What Python holds for one body in memory beside its bytes (objects, key, dict slot; measured)."""

_STEP_BYTES_MAX = 4 << 20


class Spilling(Protocol):
    """A store that holds in memory what it can spill."""

    def memory_bytes(self) -> int:
        """Bytes that it holds in memory, overhead included."""

    def spill(self, wanted_bytes: int) -> int:
        """Move the oldest to disk in one batch; return the bytes freed, 0 if there is nothing."""


class Budget:
    """The memory that the stores of all partitions of the process may take together.

    `others` says how much of it is taken by what cannot spill: these stores give way to that.
    Whoever puts calls `keep`. What spills is the oldest of the largest store, whichever partition
    put last: the partition that is over its share pays, not its neighbour.
    """

    def __init__(self, limit_bytes: int, others: Callable[[], int] = lambda: 0) -> None:
        assert limit_bytes >= 0, limit_bytes
        self.limit_bytes = limit_bytes
        self._others = others
        # A step is large enough to be worth a batch, and small enough (about 10 ms) for the loop.
        self._step_bytes = min(limit_bytes // 8, _STEP_BYTES_MAX)
        self._stores: list[Spilling] = []

    def held_bytes(self) -> int:
        """Bytes that the stores take in memory now, overhead included."""
        return sum(store.memory_bytes() for store in self._stores)

    def join(self, store: Spilling) -> None:
        """Count this store from now on."""
        self._stores.append(store)

    def leave(self, store: Spilling) -> None:
        """Count this store no longer. Harmless if it has left."""
        self._stores = [other for other in self._stores if other is not store]

    def keep(self) -> None:
        """Spill until the budget is kept, with a step to spare so that not every put spills."""
        excess = self.held_bytes() + self._others() - self.limit_bytes
        if excess <= 0:
            return
        wanted = excess + self._step_bytes
        while wanted > 0:
            freed = max(self._stores, key=_memory_bytes).spill(wanted)
            if not freed:
                return
            wanted -= freed


def _memory_bytes(store: Spilling) -> int:
    return store.memory_bytes()


class SpillingSpanStore:
    """A `SpanStore` in memory that spills to RocksDB in bulk when `budget` is reached."""

    def __init__(self, budget: Budget, db: RocksDB, partition: int) -> None:
        self._memory = MemorySpanStore()
        self._rocksdb = RocksDBSpanStore(db, partition)
        self._budget = budget
        budget.join(self)

    def memory_bytes(self) -> int:
        """Bytes that the bodies in memory take, overhead included."""
        return self._memory.body_bytes + self._memory.bodies * BODY_OVERHEAD_BYTES

    def put(self, bodies: Sequence[tuple[bytes, int, bytes]]) -> None:
        """See `SpanStore.put`; spills what is over the budget."""
        self._memory.put(bodies)
        self._budget.keep()

    @property
    def in_memory(self) -> "Bodies | None":
        """See `SpanStore.in_memory`."""
        return self._memory.in_memory

    def get(self, trace_id: bytes, offsets: Sequence[int]) -> list[bytes]:
        """See `SpanStore.get`."""
        found = []
        for offset in offsets:
            body = self._memory.find(trace_id, offset)
            found.append(self._rocksdb.get(trace_id, (offset,))[0] if body is None else body)
        return found

    def delete(self, trace_id: bytes, offsets: Sequence[int]) -> None:
        """See `SpanStore.delete`; what was spilled goes with its bucket."""
        self._memory.delete(trace_id, offsets)

    def discard_below(self, offset: int) -> None:
        """See `SpanStore.discard_below`."""
        self._memory.discard_below(offset)
        self._rocksdb.discard_below(offset)

    def lowest_affordable(self) -> int:
        """See `SpanStore.lowest_affordable`; what is in memory can still spill."""
        return self._rocksdb.lowest_affordable()

    def held_bytes(self) -> Mapping[str, int]:
        """See `SpanStore.held_bytes`."""
        return {
            "memory": self._memory.body_bytes,
            "rocksdb": self._rocksdb.held_bytes()["rocksdb"],
        }

    def close(self) -> None:
        """See `SpanStore.close`."""
        self._budget.leave(self)
        self._memory.close()
        self._rocksdb.close()

    def spill(self, wanted_bytes: int) -> int:
        """Move the oldest bodies to RocksDB in one batch; return the bytes freed, 0 if empty."""
        before = self.memory_bytes()
        self._rocksdb.put(self._memory.pop_oldest(wanted_bytes))
        return before - self.memory_bytes()
