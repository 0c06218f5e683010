"""One column family of the database: rows of one kind, divided by partition."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

from rocksdict import ReadOptions, WriteBatch, WriteOptions

from stream.state.directory import storage_error

BATCHED_BYTES_MAX: Final = 1 << 10
"""A larger value is written by itself: a batch is a string that grows by copying what is in it."""

BATCH_BYTES: Final = 16 << 10

_partition_key = struct.Struct(">I").pack


class Owner(Protocol):
    """The database that a family is in."""

    @property
    def directory(self) -> Path:
        """What the operator has configured."""

    @property
    def is_open(self) -> bool:
        """Whether it was not closed."""


class Family:
    """One kind of rows of the database, divided by partition: a column family.

    Raises:
        StorageError: from every method, where RocksDB fails (a full or broken disk).
    """

    def __init__(self, owner: Owner, db: Any, name: str, *, read_once: bool) -> None:
        self.name = name
        self.written = False
        self._owner = owner
        self._db: Any = db
        self._rows: Any = db.get_column_family(name)
        self._handle: Any = db.get_column_family_handle(name)
        self._partitions: set[int] = set()
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True  # an attribute, whatever rocksdict.pyi says
        self._read_options = ReadOptions()
        # What is read once at most would push the index blocks out of the cache.
        self._read_options.fill_cache(not read_once)

    @property
    def is_open(self) -> bool:
        """Whether the database was not closed."""
        return self._owner.is_open

    def claim(self, partition: int) -> None:
        """Make a store the only user of this partition's rows, of which there are none."""
        assert self._owner.is_open, "the database is closed"
        assert partition not in self._partitions, f"{self.name} {partition} is open already"
        self._partitions.add(partition)

    def release(self, partition: int) -> None:
        """Drop the partition's rows. Harmless after the database was closed."""
        if self._owner.is_open and partition in self._partitions:
            self.delete_range(_partition_key(partition), _partition_key(partition + 1))
        self._partitions.discard(partition)

    def put(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Write rows, each (key, value), in their order."""
        put, options = self._rows.put, self._write_options
        batch, batch_bytes = self._batch(), 0
        self.written = True
        try:
            for key, value in rows:
                # In the order of the rows: the later one of the same key is to stay.
                if len(value) < BATCHED_BYTES_MAX and batch_bytes < BATCH_BYTES:
                    batch.put(key, value)
                    batch_bytes += len(key) + len(value)
                    continue
                if batch_bytes:
                    self._db.write(batch, options)
                    batch, batch_bytes = self._batch(), 0
                put(key, value, options)
            if batch_bytes:
                self._db.write(batch, options)
        except Exception as exc:
            raise storage_error(self._owner.directory, "cannot be written", exc) from exc

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none."""
        try:
            value: bytes | None = self._rows.get(key, None, self._read_options)
        except Exception as exc:
            raise storage_error(self._owner.directory, "cannot be read", exc) from exc
        return value

    def delete_range(self, begin: bytes, end: bytes) -> None:
        """Forget the rows from `begin` to below `end`; compaction gives the disk back."""
        try:
            self._rows.delete_range(begin, end, self._write_options)
        except Exception as exc:
            raise storage_error(self._owner.directory, "cannot be written", exc) from exc

    def flush(self, *, wait: bool) -> None:
        """Let a thread of RocksDB empty the memtable: what was deleted goes unwritten."""
        try:
            self._rows.flush(wait)
        except Exception as exc:
            raise storage_error(self._owner.directory, "cannot be written", exc) from exc

    def disk_bytes(self) -> int:
        """Bytes of this family's live table files."""
        return int(self._rows.property_int_value("rocksdb.live-sst-files-size") or 0)

    def _batch(self) -> Any:
        batch = WriteBatch(raw_mode=True)
        batch.set_default_column_family(self._handle)
        return batch

    def forget_handles(self) -> None:
        """Let go of the database, which is being closed."""
        self._db = self._rows = self._handle = None
        self._partitions.clear()
