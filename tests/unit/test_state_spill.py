import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.state.rocksdb import RocksDB
from stream.state.spill import BODY_OVERHEAD_BYTES, Budget, SpillingSpanStore

A, B = bytes(16), bytes(range(16))
BODY = b"x" * 1000
ONE = len(BODY) + BODY_OVERHEAD_BYTES


@pytest.fixture
def db(tmp_path: Path) -> Iterator[RocksDB]:
    database = RocksDB(tmp_path, memory_bytes=4 << 20)
    yield database
    database.close()


def rows(first: int, last: int) -> list[tuple[bytes, int, bytes]]:
    return [(A, offset, BODY) for offset in range(first, last)]


def test_below_the_budget_nothing_touches_rocksdb(db: RocksDB) -> None:
    store = SpillingSpanStore(Budget(100 * ONE), db, 0)
    store.put(rows(0, 100))
    assert store.held_bytes() == {"memory": 100_000, "rocksdb": 0}


def test_over_the_budget_the_oldest_spill(db: RocksDB) -> None:
    store = SpillingSpanStore(Budget(100 * ONE), db, 0)
    store.put(rows(0, 101))
    # One over, and a step of an eighth so that the next put does not spill again.
    spilled = store.held_bytes()["rocksdb"] // 1000
    assert 13 <= spilled <= 17
    store.delete(A, range(spilled, 101))
    assert store.held_bytes()["memory"] == 0
    assert store.get(A, range(spilled)) == [BODY] * spilled


def test_the_budget_is_kept_after_every_put(db: RocksDB) -> None:
    budget = Budget(64 * ONE)
    stores = [SpillingSpanStore(budget, db, partition) for partition in range(4)]
    for first in range(0, 400, 10):
        for store in stores:
            store.put(rows(first, first + 10))
            assert budget.held_bytes() <= budget.limit_bytes
    assert all(store.get(A, range(400)) == [BODY] * 400 for store in stores)


def test_the_largest_partition_pays_whoever_put_last(db: RocksDB) -> None:
    budget = Budget(100 * ONE)
    large, small = SpillingSpanStore(budget, db, 0), SpillingSpanStore(budget, db, 1)
    large.put(rows(0, 95))
    small.put(rows(0, 10))
    assert small.held_bytes() == {"memory": 10_000, "rocksdb": 0}
    assert large.held_bytes()["rocksdb"] > 0


def test_a_budget_of_nothing_spills_everything(db: RocksDB) -> None:
    store = SpillingSpanStore(Budget(0), db, 0)
    store.put(rows(0, 10))
    assert store.held_bytes() == {"memory": 0, "rocksdb": 10_000}


def test_an_empty_body_counts_by_its_overhead(db: RocksDB) -> None:
    store = SpillingSpanStore(Budget(10 * BODY_OVERHEAD_BYTES), db, 0)
    store.put([(A, offset, b"") for offset in range(11)])
    assert store.memory_bytes() <= 10 * BODY_OVERHEAD_BYTES
    assert store.get(A, range(11)) == [b""] * 11


def test_one_trace_is_read_from_both_places_in_order(db: RocksDB) -> None:
    store = SpillingSpanStore(Budget(8 * ONE), db, 0)
    bodies = [(A, offset, b"%d" % offset + BODY) for offset in range(12)]
    store.put(bodies)
    assert store.held_bytes()["memory"] > 0 < store.held_bytes()["rocksdb"]
    assert store.get(A, range(11, -1, -1)) == [body for _, _, body in reversed(bodies)]


def test_a_deleted_body_is_not_spilled(db: RocksDB) -> None:
    store = SpillingSpanStore(Budget(8 * ONE), db, 0)
    store.put(rows(0, 8))
    store.delete(A, range(8))
    store.put([(B, offset, BODY) for offset in range(8, 16)])
    assert store.held_bytes() == {"memory": 8000, "rocksdb": 0}


def test_a_closed_store_gives_its_share_of_the_budget_back(db: RocksDB) -> None:
    budget = Budget(10 * ONE)
    first, second = SpillingSpanStore(budget, db, 0), SpillingSpanStore(budget, db, 1)
    first.put(rows(0, 9))
    first.close()
    assert budget.held_bytes() == 0
    second.put(rows(0, 9))
    assert second.held_bytes() == {"memory": 9000, "rocksdb": 0}
    closed = weakref.ref(first)
    del first
    gc.collect()
    assert closed() is None, "a partition that comes and goes would leak a store each time"


def test_a_spill_takes_the_oldest_across_buckets_first(db: RocksDB) -> None:
    store = SpillingSpanStore(Budget(1 << 40), db, 0)
    offsets = [0, 1, 5000, 5001, 70_000]
    store.put([(A, offset, BODY) for offset in reversed(offsets)])
    assert store.spill(3 * len(BODY)) == 3 * ONE
    store.delete(A, offsets[3:])
    left = store.held_bytes()["memory"]
    assert left in {0, 1000}  # in a bucket the order is that of the puts
    assert store.held_bytes()["rocksdb"] == 3000
