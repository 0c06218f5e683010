"""What a worker's stores are made of: the kinds that are configured, one budget, one database."""

from pathlib import Path

from stream.sampling.stores import DecisionStore, SpanStore
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from stream.state.rocksdb import RocksDB, RocksDBDecisionStore, RocksDBSpanStore
from stream.state.spill import Budget, SpillingSpanStore

ROCKSDB_SHARE = 4
"""RocksDB's memtables and cache get this fraction (one in four) of the memory."""


class Storage:
    """Opens the stores of partitions. Bodies have what is left of the memory beside the database.

    `spans` is `memory`, `rocksdb` or `spill`, `decisions` is `memory` or `rocksdb`; they are kept
    for `retention_ms` of partition time at least.

    Raises:
        StorageError: the directory cannot be used, and a database is wanted.
    """

    def __init__(
        self,
        directory: Path,
        *,
        memory_bytes: int,
        spans: str,
        decisions: str,
        retention_ms: int,
    ) -> None:
        self._spans = spans
        self._decisions = decisions
        self._retention_ms = retention_ms
        self._rocksdb: RocksDB | None = None
        bodies_bytes = memory_bytes
        if (spans, decisions) != ("memory", "memory"):
            rocksdb_bytes = memory_bytes // ROCKSDB_SHARE
            self._rocksdb = RocksDB(directory, memory_bytes=rocksdb_bytes)
            bodies_bytes -= rocksdb_bytes
        self._budget = Budget(bodies_bytes)

    def open_spans(self, partition: int) -> SpanStore:
        """Return an empty span store for a partition that was just assigned."""
        if self._spans == "memory":
            return MemorySpanStore()
        assert self._rocksdb is not None
        if self._spans == "rocksdb":
            return RocksDBSpanStore(self._rocksdb, partition)
        return SpillingSpanStore(self._budget, self._rocksdb, partition)

    def open_decisions(self, partition: int) -> DecisionStore:
        """Return an empty decision store for a partition that was just assigned."""
        if self._decisions == "memory":
            return MemoryDecisionStore(retention_ms=self._retention_ms)
        assert self._rocksdb is not None
        return RocksDBDecisionStore(self._rocksdb, partition, retention_ms=self._retention_ms)

    def close(self) -> None:
        """Release the directory. The stores have been closed before."""
        if self._rocksdb is not None:
            self._rocksdb.close()
