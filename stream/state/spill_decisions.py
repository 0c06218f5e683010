"""Decisions in memory up to a budget, then the oldest in RocksDB.

Nearly all late spans ask for young decisions; the old ones are kept for the few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stream.sampling.stores import InMemory, KnownDecision
from stream.state.memory import MemoryDecisionStore
from stream.state.rocksdb import RocksDB, RocksDBDecisionStore
from stream.state.spill import Budget


class SpillingDecisionStore:
    """A `DecisionStore` in memory that spills to RocksDB in bulk when `budget` is reached.

    A trace's decision in memory is never older than the one in RocksDB. `retention_ms` as in
    `Generations`.
    """

    def __init__(
        self, budget: Budget, db: RocksDB, partition: int, *, retention_ms: int = 600_000
    ) -> None:
        self._memory = MemoryDecisionStore(retention_ms=retention_ms)
        self._rocksdb = RocksDBDecisionStore(db, partition, retention_ms=retention_ms)
        self._budget = budget
        budget.join(self)

    def memory_bytes(self) -> int:
        """Bytes that the decisions in memory take."""
        return self._memory.held_bytes()["memory"]

    def get(self, trace_id: bytes) -> KnownDecision | None:
        """See `DecisionStore.get`."""
        return self._memory.get(trace_id) or self._rocksdb.get(trace_id)

    @property
    def in_memory(self) -> InMemory:
        """See `DecisionStore.in_memory`."""
        return replace(self._memory.in_memory, beyond=self._rocksdb)

    def put(self, decisions: Sequence[tuple[bytes, KnownDecision]]) -> None:
        """See `DecisionStore.put`; spills what is over the budget."""
        self._memory.put(decisions)
        self._budget.keep()

    def expire(self, before_ms: int, resume_offset: int) -> None:
        """See `DecisionStore.expire`; oldest first, or a replaced decision would come back."""
        self._rocksdb.expire(before_ms, resume_offset)
        if not len(self._rocksdb):
            self._memory.expire(before_ms, resume_offset)

    def __len__(self) -> int:
        """See `DecisionStore.__len__`; a trace may count in both places."""
        return len(self._memory) + len(self._rocksdb)

    def held_bytes(self) -> Mapping[str, int]:
        """See `DecisionStore.held_bytes`; the filter of what is in RocksDB is in memory."""
        spilled = self._rocksdb.held_bytes()
        return {
            "memory": self.memory_bytes() + spilled["memory"],
            "rocksdb": spilled["rocksdb"],
        }

    def close(self) -> None:
        """See `DecisionStore.close`."""
        self._budget.leave(self)
        self._memory.close()
        self._rocksdb.close()

    def spill(self, wanted_bytes: int) -> int:
        """Move the oldest decisions to RocksDB in one batch; return the bytes freed."""
        before = self.memory_bytes()
        self._rocksdb.put(self._memory.pop_oldest(wanted_bytes))
        return before - self.memory_bytes()
