"""What a worker's stores are made of: the kinds that are configured, one budget, one database."""

from collections.abc import Mapping
from pathlib import Path

from stream import logs
from stream.sampling.limits import OpenTracesBudget
from stream.sampling.stores import DecisionStore, SpanStore
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from stream.state.rocksdb import RocksDB, RocksDBDecisionStore, RocksDBSpanStore
from stream.state.shares import Shares
from stream.state.spill import Budget, SpillingSpanStore
from stream.state.spill_decisions import SpillingDecisionStore

OPEN_BYTES_MIN = 64 << 10
"""With less for its open traces (some hundred of them) a partition decides most of them early."""

log = logs.logger("tailstream.storage")


class Storage:
    """Opens the stores of partitions, and keeps the budgets that they share.

    `spans` and `decisions` are `spill`, `memory` or `rocksdb`; decisions are kept for
    `retention_ms` of partition time at least. `traces` is the samplers' part of the budget, with
    room for `open_traces_max`; `shares` is how the memory is shared out.

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
        disk_bytes: int = 1 << 62,
        open_traces_max: int = 1_000_000,
    ) -> None:
        self._spans = spans
        self._decisions = decisions
        self._retention_ms = retention_ms
        self._memory_bytes = memory_bytes
        self._partitions_told = 0
        self._rocksdb: RocksDB | None = None
        uses_rocksdb = (spans, decisions) != ("memory", "memory")
        self.shares = Shares.of(memory_bytes, rocksdb=uses_rocksdb, bodies=spans == "rocksdb")
        if uses_rocksdb:
            self._rocksdb = RocksDB(
                directory, memory_bytes=self.shares.rocksdb, disk_bytes=disk_bytes
            )
        self.traces = OpenTracesBudget(
            open_traces_max, bytes_max=self.shares.open, bodies_spill=spans != "memory"
        )
        self._bodies = Budget(self.shares.held, self.traces.held_bytes)
        self._kept_decisions = Budget(self.shares.decisions)

    def assigned(self, partitions: int) -> None:
        """Warn where so many partitions have no room in the memory; again where there are more."""
        wanted_bytes = OPEN_BYTES_MIN * partitions
        if wanted_bytes <= self.shares.open or partitions <= self._partitions_told:
            return
        self._partitions_told = partitions
        enough_mib = -(-self._memory_bytes * wanted_bytes // self.shares.open) // (1 << 20) + 1
        log.warning(
            "storage.memory is far too small for the partitions assigned: traces will be decided "
            "early (overload)",
            setting="storage.memory",
            value_bytes=self._memory_bytes,
            partitions=partitions,
            remedy=f"set storage.memory to {enough_mib}MiB at least, or run more workers",
        )

    def open_spans(self, partition: int) -> SpanStore:
        """Return an empty span store for a partition that was just assigned."""
        if self._spans == "memory":
            return MemorySpanStore()
        assert self._rocksdb is not None
        if self._spans == "rocksdb":
            return RocksDBSpanStore(self._rocksdb, partition)
        return SpillingSpanStore(self._bodies, self._rocksdb, partition)

    def open_decisions(self, partition: int) -> DecisionStore:
        """Return an empty decision store for a partition that was just assigned."""
        retention_ms = self._retention_ms
        if self._decisions == "memory":
            return MemoryDecisionStore(retention_ms=retention_ms)
        assert self._rocksdb is not None
        if self._decisions == "rocksdb":
            return RocksDBDecisionStore(self._rocksdb, partition, retention_ms=retention_ms)
        return SpillingDecisionStore(
            self._kept_decisions, self._rocksdb, partition, retention_ms=retention_ms
        )

    def behind(self) -> bool:
        """Return whether reading must wait until more of what is decided has been delivered."""
        undelivered_bytes = self.traces.undelivered_bytes()
        if undelivered_bytes > self.shares.undelivered:
            return True
        disk = self._rocksdb.budget if self._rocksdb is not None else None
        return disk is not None and undelivered_bytes > 0 and disk.over()

    def held_bytes(self) -> Mapping[str, int]:
        """Bytes held now, by place, but for what the stores themselves tell."""
        traces = self.traces
        held = {
            "open_traces": sum(holder.open_bytes for holder in traces.holders),
            "undelivered": traces.undelivered_bytes(),
        }
        if self._rocksdb is not None:
            held["rocksdb_memory"] = self._rocksdb.memory_bytes()
            held["disk"] = self._rocksdb.disk_bytes()
        return held

    def close(self) -> None:
        """Release the directory. The stores have been closed before."""
        if self._rocksdb is not None:
            self._rocksdb.close()
