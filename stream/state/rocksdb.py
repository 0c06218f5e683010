"""One RocksDB for all partitions of the process, and the stores of one partition in it.

RocksDB is capacity here, never recovery: the log is. So it is wiped when it is opened, nothing is
written ahead, and what is still in its memory when it is closed is dropped. One database, because
the memory that RocksDB takes is the memtables of each database: they would be multiplied by the
number of partitions. Keys begin with the partition, numbers are big-endian so that they sort.
"""

import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgpack
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBufferManager,
)

from stream.sampling.decision import Trigger, Verdict
from stream.sampling.stores import KnownDecision
from stream.state.directory import lock, storage_error, wipe
from stream.state.disk import DiskBudget
from stream.state.family import Family
from stream.state.generation_filter import GenerationFilter
from stream.state.generations import Generation, Generations
from stream.state.slices import Part, Slice, Slices

BUCKET_OFFSETS: Final = 512
"""Bodies are discarded in buckets of so many offsets: one range delete each."""

_MIB: Final = 1 << 20
_SLICES: Final = 8
"""Bodies are divided into so many: with fewer more of what is dead waits for the rest of its slice,
with more each is flushed sooner and smaller (measured at 16: half as much again on disk)."""

_ARENA_BLOCK_BYTES_MIN: Final = 4 << 10
_ARENA_BLOCK_BYTES_MAX: Final = 64 << 10
"""Memtables grow by so much: a larger block malloc maps anew each time, page by page."""

_DECISIONS: Final = "decisions"

_offset_key = struct.Struct(">IQ").pack
_span_key = struct.Struct(">IQ16s").pack
_generation_key = struct.Struct(">IQ").pack
_decision_key = struct.Struct(">IQ16s").pack


class RocksDB:
    """The database of this process, below `directory`, locked for it and empty when it is opened.

    `memory_bytes` bounds the memtables and the block cache (with index and filter blocks) of all
    partitions together: memtables are charged to the cache, and their sum is what flushes the
    oldest. `disk_bytes` is what the table files are to keep to: see `DiskBudget`.

    Raises:
        StorageError: the directory cannot be written to, or another live process has it.
    """

    def __init__(
        self, directory: Path, *, memory_bytes: int = 128 * _MIB, disk_bytes: int = 1 << 62
    ) -> None:
        self.directory = directory
        self.budget = DiskBudget(disk_bytes)
        self._lock = lock(directory)
        try:
            path = directory / "rocksdb"
            wipe(path)
            self._cache = Cache(memory_bytes)
            memtables_bytes = memory_bytes - memory_bytes // 8
            # The oldest is flushed at seven eighths, which leaves the last to the files' blocks.
            # No stalls of its own: they wait for ever where the flush they begin frees too little.
            self._memtables = WriteBufferManager.new_write_buffer_manager_with_cache(
                memory_bytes, False, self._cache
            )
            spans = self._options(memtables_bytes, block_bytes=16 << 10)
            names = [f"spans-{number}" for number in range(_SLICES)]
            families = {
                **dict.fromkeys(names, spans),
                _DECISIONS: self._options(memory_bytes // 8, bloom=True),
            }
            self._db: Any = Rdict(str(path), self._options(_MIB), column_families=families)
        except Exception as exc:
            os.close(self._lock)
            raise storage_error(directory, "cannot be used", exc) from exc
        self._open = True
        slices = [Family(self, self._db, name, read_once=True) for name in names]
        self.spans = Slices(slices, self._memtables, memtables_bytes // _SLICES, memory_bytes)
        self.decisions = Family(self, self._db, _DECISIONS, read_once=False)

    @property
    def is_open(self) -> bool:
        """Whether `close` has not been called."""
        return self._open

    def memory_bytes(self) -> int:
        """Bytes of memtables and block cache now."""
        return int(self._cache.get_usage()) if self._open else 0

    def disk_bytes(self) -> int:
        """Bytes of live table files now; what was discarded counts until it is compacted."""
        return self.spans.disk_bytes() + self.decisions.disk_bytes() if self._open else 0

    def close(self) -> None:
        """Drop everything, release the directory. Once is enough, twice is harmless."""
        if not self._open:
            return
        self._open = False
        # Dropped before the handles die: rocksdict flushes the memtables of a family that lives.
        for family in (*self.spans.families, self.decisions):
            if family.written:
                self._db.drop_column_family(family.name)
            family.forget_handles()
        self._db.close()
        shutil.rmtree(self.directory / "rocksdb", ignore_errors=True)
        os.close(self._lock)

    def _options(
        self, memtable_bytes: int, *, block_bytes: int = 4 << 10, bloom: bool = False
    ) -> Any:
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self._cache)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_block_size(block_bytes)
        if bloom:
            blocks.set_bloom_filter(10, False)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._memtables)
        arena_bytes = max(memtable_bytes // _SLICES // 8, _ARENA_BLOCK_BYTES_MIN)
        options.set_arena_block_size(min(arena_bytes, _ARENA_BLOCK_BYTES_MAX))
        options.set_allow_concurrent_memtable_write(False)
        options.set_write_buffer_size(max(memtable_bytes, 64 << 10))
        options.set_compression_type(DBCompressionType.none())
        options.set_max_background_jobs(2)
        options.set_max_open_files(512)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(_MIB)
        return options


class RocksDBSpanStore:
    """A `SpanStore` in RocksDB.

    Keys: partition (4 bytes) | offset (8) | trace id (16), in the slice that is being filled; what
    a bucket of offsets has in which slices is known here. `delete` does nothing: a tombstone costs
    as much as a body, and the bucket goes whole soon.
    """

    def __init__(self, db: RocksDB, partition: int) -> None:
        self._slices = db.spans
        self._slices.claim(partition)
        self._partition = partition
        self._buckets: dict[int, list[Part]] = {}
        self._held_bytes = 0
        self._budget = db.budget
        self._budget.join(self)

    def put(self, bodies: Sequence[tuple[bytes, int, bytes]]) -> None:
        """See `SpanStore.put`."""
        partition = self._partition
        where = self._slices.current()
        rows = []
        size = 0
        number, part = -1, Part(where)
        for trace_id, offset, body in bodies:
            if offset // BUCKET_OFFSETS != number:
                number = offset // BUCKET_OFFSETS
                part = self._part(number, where)
            part.add(offset, len(body))
            rows.append((_span_key(partition, offset, trace_id), body))
            size += len(body)
        if rows:
            where.put(rows, size)
            self._hold(size)

    @property
    def in_memory(self) -> None:
        """See `SpanStore.in_memory`."""

    def get(self, trace_id: bytes, offsets: Sequence[int]) -> list[bytes]:
        """See `SpanStore.get`."""
        found = []
        for offset in offsets:
            key = _span_key(self._partition, offset, trace_id)
            body = None
            for part in reversed(self._buckets.get(offset // BUCKET_OFFSETS, ())):
                if part.lowest <= offset <= part.highest:
                    body = part.where.rows.get(key)
                    if body is not None:
                        break
            assert body is not None, f"no body of trace {trace_id.hex()} at offset {offset}"
            found.append(body)
        return found

    def delete(self, trace_id: bytes, offsets: Sequence[int]) -> None:
        """See `SpanStore.delete`; the space comes back with the bucket."""

    def discard_below(self, offset: int) -> None:
        """See `SpanStore.discard_below`; whole buckets go, in a range delete for each slice."""
        bound = offset // BUCKET_OFFSETS
        gone = [bucket for bucket in self._buckets if bucket < bound]
        if not gone:
            return
        begin = _offset_key(self._partition, min(gone) * BUCKET_OFFSETS)
        end = _offset_key(self._partition, bound * BUCKET_OFFSETS)
        self._discard(gone, begin, end)

    def lowest_affordable(self) -> int:
        """See `SpanStore.lowest_affordable`; the start of a bucket."""
        if not self._budget.over():
            return 0
        excess = self._held_bytes - self._budget.level()
        lowest = 0
        for bucket in sorted(self._buckets):
            if excess <= 0:
                break
            excess -= sum([part.held_bytes for part in self._buckets[bucket]])
            lowest = (bucket + 1) * BUCKET_OFFSETS
        return lowest

    def held_bytes(self) -> Mapping[str, int]:
        """See `SpanStore.held_bytes`; bodies count until their bucket is discarded."""
        return {"memory": 0, "rocksdb": self._held_bytes}

    def disk_bytes(self) -> int:
        """Bytes of rows that were not discarded."""
        return self._held_bytes

    def close(self) -> None:
        """See `SpanStore.close`."""
        self._budget.leave(self)
        begin, end = _offset_key(self._partition, 0), _offset_key(self._partition + 1, 0)
        self._discard(list(self._buckets), begin, end)
        self._slices.release(self._partition)

    def _part(self, bucket: int, where: Slice) -> Part:
        parts = self._buckets.setdefault(bucket, [])
        if not parts or parts[-1].where is not where:
            parts.append(Part(where))
        return parts[-1]

    def _discard(self, buckets: Sequence[int], begin: bytes, end: bytes) -> None:
        rows: dict[Slice, int] = {}
        for bucket in buckets:
            for part in self._buckets.pop(bucket):
                rows[part.where] = rows.get(part.where, 0) + part.rows
                self._hold(-part.held_bytes)
        for where, count in rows.items():
            self._slices.discard(where, count, begin, end)

    def _hold(self, more_bytes: int) -> None:
        self._held_bytes += more_bytes
        self._budget.held_bytes += more_bytes


class RocksDBDecisionStore:
    """A `DecisionStore` in RocksDB.

    Keys: partition (4 bytes) | generation (8) | trace id (16); values: msgpack.
    A generation is forgotten by one range delete. An unknown trace costs a look into a filter in
    memory, not a look into RocksDB for each generation. `retention_ms` as in `Generations`.
    """

    def __init__(self, db: RocksDB, partition: int, *, retention_ms: int = 600_000) -> None:
        self._rows = db.decisions
        self._rows.claim(partition)
        self._partition = partition
        self._generations = Generations(retention_ms)
        self._filter = GenerationFilter()
        self._budget = db.budget
        self._budget.join_fixed(self)

    def get(self, trace_id: bytes) -> KnownDecision | None:
        """See `DecisionStore.get`."""
        lanes = self._filter.lanes(trace_id)
        if not lanes:
            return None
        for generation in reversed(self._generations):
            if lanes >> generation.lane & 1:
                value = self._rows.get(self._key(generation, trace_id))
                if value is not None:
                    return _unpack(value)
        return None

    @property
    def in_memory(self) -> None:
        """See `DecisionStore.in_memory`."""

    def put(self, decisions: Sequence[tuple[bytes, KnownDecision]]) -> None:
        """See `DecisionStore.put`; one batch."""
        rows: list[tuple[bytes, bytes]] = []
        for trace_id, decision in decisions:
            if self._generations.is_past(decision.time_ms) and self._knows(trace_id, rows):
                # Looked up newest first, it would be hidden by the one that it replaces.
                generation = self._generations.newest
            else:
                generation = self._generations.of(decision.time_ms)
            generation.add(decision.time_ms, decision.upto)
            self._filter.add(trace_id, generation.lane)
            key, value = self._key(generation, trace_id), _pack(decision)
            generation.held_bytes += len(key) + len(value)
            self._budget.held_bytes += len(key) + len(value)
            rows.append((key, value))
        if rows:
            self._rows.put(rows)

    def expire(self, before_ms: int, resume_offset: int) -> None:
        """See `DecisionStore.expire`."""
        for generation in self._generations.expire(before_ms, resume_offset):
            begin = _generation_key(self._partition, generation.number)
            end = _generation_key(self._partition, generation.number + 1)
            self._rows.delete_range(begin, end)
            self._filter.clear(generation.lane)
            self._budget.held_bytes -= generation.held_bytes

    def __len__(self) -> int:
        """See `DecisionStore.__len__`; a replaced decision counts until it is forgotten."""
        return sum(generation.decisions for generation in self._generations)

    def held_bytes(self) -> Mapping[str, int]:
        """See `DecisionStore.held_bytes`; the memory is the filter's."""
        return {"memory": len(self._filter), "rocksdb": self.disk_bytes()}

    def disk_bytes(self) -> int:
        """Bytes of rows that were not discarded."""
        return sum([generation.held_bytes for generation in self._generations])

    def close(self) -> None:
        """See `DecisionStore.close`."""
        self._budget.leave(self)
        self._budget.held_bytes -= self.disk_bytes()
        self._rows.release(self._partition)
        self._generations.clear()
        self._filter = GenerationFilter()

    def _knows(self, trace_id: bytes, rows: list[tuple[bytes, bytes]]) -> bool:
        """Return whether a decision of the trace is here, or among the rows to be written."""
        if not self._filter.lanes(trace_id):
            return False
        self._rows.put(rows)
        rows.clear()
        return self.get(trace_id) is not None

    def _key(self, generation: Generation, trace_id: bytes) -> bytes:
        return _decision_key(self._partition, generation.number, trace_id)


def _pack(decision: KnownDecision) -> bytes:
    fields = (
        decision.verdict,
        decision.policy,
        decision.trigger,
        decision.threshold,
        decision.upto,
        decision.time_ms,
        decision.span_ids,
        decision.span_ids_complete,
        decision.offsets,
    )
    packed: bytes = msgpack.packb(fields)
    return packed


def _unpack(value: bytes) -> KnownDecision:
    verdict, policy, trigger, *rest = msgpack.unpackb(value, use_list=False)
    return KnownDecision(Verdict(verdict), policy, Trigger(trigger), *rest)
