"""Where the bodies of spans lie in a simulation: in memory, or on the local disk of each slot."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from stream.sampling.stores import SpanStore
from stream.state.directory import wipe
from stream.state.memory import MemorySpanStore
from stream.state.rocksdb import RocksDB
from stream.state.spill import Budget, SpillingSpanStore

BUDGET_BYTES = 600
DAMAGES = ("cut short", "another program's", "a file where a directory should be")


class Disk(Protocol):
    """The local storage that a process has while it runs."""

    def open_spans(self, number: int) -> SpanStore:
        """Return an empty store for a partition."""

    def close(self) -> None:
        """The process is gone."""


class InMemory:
    """No disk at all."""

    def open_spans(self, _: int) -> SpanStore:
        """Return a store in memory."""
        return MemorySpanStore()

    def close(self) -> None:
        """Nothing is left."""


class Spilling:
    """A database in a directory; nearly everything spills into it."""

    def __init__(self, directory: Path, closed: Callable[[], None]) -> None:
        self._db = RocksDB(directory, memory_bytes=1 << 20)
        self._budget = Budget(BUDGET_BYTES)
        self._closed = closed

    def open_spans(self, number: int) -> SpanStore:
        """Return a store that shares the process's budget and database."""
        return SpillingSpanStore(self._budget, self._db, number)

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
