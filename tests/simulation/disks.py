"""Where bodies and decisions lie in a simulation: in memory, or on the local disk of each slot."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from stream.sampling.stores import DecisionStore, SpanStore
from stream.state.directory import wipe
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from stream.state.rocksdb import RocksDB, RocksDBSpanStore
from stream.state.spill import Budget, SpillingSpanStore
from stream.state.spill_decisions import SpillingDecisionStore

BUDGET_BYTES = 600
MEMORY_BYTES = 64 << 10  # a slice is full with a few bodies
DAMAGES = ("cut short", "another program's", "a file where a directory should be")


class Disk(Protocol):
    """The local storage that a process has while it runs."""

    def open_spans(self, number: int) -> SpanStore:
        """Return an empty store for a partition."""

    def open_decisions(self, number: int, retention_ms: int) -> DecisionStore:
        """Return an empty store for a partition."""

    def close(self) -> None:
        """The process is gone."""


class InMemory:
    """No disk at all."""

    def open_spans(self, _: int) -> SpanStore:
        """Return a store in memory."""
        return MemorySpanStore()

    def open_decisions(self, _: int, retention_ms: int) -> DecisionStore:
        """Return a store in memory."""
        return MemoryDecisionStore(retention_ms=retention_ms)

    def close(self) -> None:
        """Nothing is left."""


class Spilling:
    """A database in a directory; nearly everything spills, every other partition has all in it."""

    def __init__(self, directory: Path, closed: Callable[[], None]) -> None:
        self._db = RocksDB(directory, memory_bytes=MEMORY_BYTES)
        self._budget, self._kept = Budget(BUDGET_BYTES), Budget(BUDGET_BYTES)
        self._closed = closed

    def open_spans(self, number: int) -> SpanStore:
        """Return a store that shares the process's budget and database."""
        if number % 2:
            return RocksDBSpanStore(self._db, number)
        return SpillingSpanStore(self._budget, self._db, number)

    def open_decisions(self, number: int, retention_ms: int) -> DecisionStore:
        """Return a store that shares the process's budget and database."""
        return SpillingDecisionStore(self._kept, self._db, number, retention_ms=retention_ms)

    def close(self) -> None:
        """Release the directory."""
        self._db.close()
        self._closed()


class Disks:
    """The disks of all slots; without a directory everything stays in memory."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._used: set[int] = set()
        self._others = 0

    def start(self, slot: int) -> Disk:
        """Return the storage of a process that starts; a slot's second one runs elsewhere."""
        if self._directory is None:
            return InMemory()
        if slot in self._used:
            self._others += 1
            return Spilling(self._directory / f"elsewhere-{self._others}", lambda: None)
        self._used.add(slot)
        return Spilling(self._directory / f"slot-{slot}", lambda: self._used.discard(slot))

    def damage(self, slot: int, how: str) -> bool:
        """Leave what no worker left in the directory of a slot that nobody uses."""
        if self._directory is None or slot in self._used:
            return False
        database = self._directory / f"slot-{slot}" / "rocksdb"
        wipe(database)  # what an earlier fault has left
        database.parent.mkdir(exist_ok=True)
        if how == "a file where a directory should be":
            database.write_bytes(b"no database")
            return True
        database.mkdir()
        (database / "CURRENT").write_bytes(b"MANIFEST-0000" if how == "cut short" else b"")
        (database / "000004.sst").write_bytes(b"\x00" * 100)
        (database / how).mkdir()
        return True
