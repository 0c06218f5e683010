import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.sampling.decision import Trigger, Verdict
from stream.sampling.stores import KnownDecision
from stream.state.directory import StorageError
from stream.state.rocksdb import (
    BUCKET_OFFSETS,
    RocksDB,
    RocksDBDecisionStore,
    RocksDBSpanStore,
    _span_key,
)
from tests.harness.topics import wait_for

A = bytes(range(16))
DECISION = KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto=10, time_ms=1000)
IN_USE = "storage.directory: {} is in use by another live process"

HOLD_UNTIL_TOLD = """
import sys
from pathlib import Path
from stream.state.rocksdb import RocksDB
db = RocksDB(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[RocksDB]:
    database = RocksDB(tmp_path, memory_bytes=4 << 20)
    yield database
    database.close()


def open_and_use(directory: Path) -> None:
    database = RocksDB(directory, memory_bytes=4 << 20)
    store = RocksDBSpanStore(database, 0)
    with pytest.raises(AssertionError, match="no body"):
        store.get(A, [1])
    store.put([(A, 1, b"new")])
    assert store.get(A, [1]) == [b"new"]
    database.close()


def test_nothing_is_left_of_an_earlier_run(tmp_path: Path) -> None:
    database = RocksDB(tmp_path, memory_bytes=4 << 20)
    RocksDBSpanStore(database, 0).put([(A, 1, b"old")])
    RocksDBDecisionStore(database, 0).put([(A, DECISION)])
    database.close()
    open_and_use(tmp_path)


def test_a_process_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    code = HOLD_UNTIL_TOLD.replace("sys.stdin.read()", dies)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert (tmp_path / "rocksdb" / "CURRENT").exists()
    open_and_use(tmp_path)


@pytest.mark.parametrize("damaged", ["CURRENT", "MANIFEST", "LOCK"])
def test_a_damaged_database_is_wiped(tmp_path: Path, damaged: str) -> None:
    code = HOLD_UNTIL_TOLD.replace("sys.stdin.read()", "import os; os._exit(0)")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    (file,) = (tmp_path / "rocksdb").glob(f"{damaged}*")
    file.write_bytes(os.urandom(500))
    open_and_use(tmp_path)


def test_what_is_not_a_database_is_wiped(tmp_path: Path) -> None:
    (tmp_path / "rocksdb").write_text("a file")
    open_and_use(tmp_path)
    (tmp_path / "rocksdb" / "deep").mkdir(parents=True)
    (tmp_path / "rocksdb" / "deep" / "CURRENT").write_text("somebody's")
    open_and_use(tmp_path)


def test_what_lies_beside_it_in_the_directory_is_not_touched(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "kept").write_text("mine")
    (tmp_path / "rocksdb").symlink_to(target)
    open_and_use(tmp_path)
    assert precious.read_text() == "mine"
    assert (target / "kept").read_text() == "mine"


def test_a_directory_of_another_live_process_is_refused_by_name_and_left_alone(
    tmp_path: Path,
) -> None:
    argv = [sys.executable, "-c", HOLD_UNTIL_TOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StorageError) as refused:
            RocksDB(tmp_path)
        assert IN_USE.format(tmp_path) in str(refused.value)
        assert (tmp_path / "rocksdb" / "CURRENT").exists()
        other.communicate(timeout=60)
    open_and_use(tmp_path)


def test_a_second_database_in_the_same_directory_of_this_process_is_refused(
    db: RocksDB, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="in use"):
        RocksDB(tmp_path)
    store = RocksDBSpanStore(db, 0)
    store.put([(A, 1, b"still there")])
    assert store.get(A, [1]) == [b"still there"]


def test_a_directory_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as refused:
        RocksDB(tmp_path / "file" / "data")
    assert f"storage.directory: {tmp_path}/file/data cannot be used" in str(refused.value)
    assert "local disk" in str(refused.value)


def test_a_failed_opening_releases_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str, *__: object, **___: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("stream.state.rocksdb.Rdict", broken)
        with pytest.raises(StorageError, match="no space left"):
            RocksDB(tmp_path)
    open_and_use(tmp_path)


def test_closing_gives_the_disk_back(tmp_path: Path) -> None:
    database = RocksDB(tmp_path, memory_bytes=1 << 20)
    store = RocksDBSpanStore(database, 0)
    for offset in range(0, 4000, 100):
        store.put([(A, o, os.urandom(1000)) for o in range(offset, offset + 100)])
    assert database.disk_bytes() > 1_000_000
    database.close()
    database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert (database.disk_bytes(), database.memory_bytes()) == (0, 0)


def test_stores_can_be_closed_after_their_database(tmp_path: Path) -> None:
    database = RocksDB(tmp_path)
    spans, decisions = RocksDBSpanStore(database, 0), RocksDBDecisionStore(database, 0)
    database.close()
    spans.close()
    decisions.close()
    with pytest.raises(AssertionError, match="closed"):
        RocksDBSpanStore(database, 1)


def test_two_stores_of_one_partition_are_our_own_bug(db: RocksDB) -> None:
    first = RocksDBSpanStore(db, 7)
    with pytest.raises(AssertionError, match="spans 7 is open already"):
        RocksDBSpanStore(db, 7)
    RocksDBDecisionStore(db, 7)
    first.close()
    RocksDBSpanStore(db, 7)


def test_a_partition_that_comes_back_finds_nothing_of_its_own(db: RocksDB) -> None:
    first, other = RocksDBSpanStore(db, 7), RocksDBSpanStore(db, 8)
    for store in (first, other):
        store.put([(A, offset, b"old") for offset in (0, BUCKET_OFFSETS)])
    first.close()
    assert db.budget.held_bytes == 6
    second = RocksDBSpanStore(db, 7)
    second.put([(A, 0, b"new")])
    assert second.get(A, [0]) == [b"new"]
    for part in other._buckets[0]:
        assert part.where.rows.get(_span_key(7, BUCKET_OFFSETS, A)) is None
        assert part.where.rows.get(_span_key(8, BUCKET_OFFSETS, A)) == b"old"


def test_memtables_of_many_partitions_share_one_budget(tmp_path: Path) -> None:
    database = RocksDB(tmp_path, memory_bytes=4 << 20)
    stores = [RocksDBSpanStore(database, partition) for partition in range(32)]
    most = 0
    for offset in range(0, 1000, 100):
        for store in stores:
            store.put([(A, o, os.urandom(700)) for o in range(offset, offset + 100)])
            most = max(most, database.memory_bytes())
    # 22 MB went in; a put of 70 KB waits for a flush that lags, and memory is charged by 256 KiB.
    assert most < (4 << 20) + (512 << 10)
    assert all(len(store.get(A, [0, 500, 999])) == 3 for store in stores)
    database.close()


def test_discarded_bodies_are_gone_from_rocksdb_and_the_others_are_not(db: RocksDB) -> None:
    store = RocksDBSpanStore(db, 0)
    offsets = [0, BUCKET_OFFSETS - 1, BUCKET_OFFSETS, 2 * BUCKET_OFFSETS]
    store.put([(A, offset, b"x") for offset in offsets])
    store.discard_below(2 * BUCKET_OFFSETS - 1)
    for offset in offsets[:2]:
        with pytest.raises(AssertionError, match="no body"):
            store.get(A, [offset])
    assert store.get(A, offsets[2:]) == [b"x", b"x"]
    assert store.held_bytes() == {"memory": 0, "rocksdb": 2}
    store.discard_below(3 * BUCKET_OFFSETS)
    for offset in offsets:
        with pytest.raises(AssertionError, match="no body"):
            store.get(A, [offset])


def fill(store: RocksDBSpanStore, first: int, last: int, *, window: int) -> None:
    """Put a body of 1000 bytes at each offset, and discard what is `window` offsets behind."""
    for offset in range(first, last, 64):
        store.put([(A, o, os.urandom(1000)) for o in range(offset, offset + 64)])
        store.discard_below(offset - window)


def flushing(db: RocksDB) -> int:
    pending = "rocksdb.num-immutable-mem-table"
    return sum(family._rows.property_int_value(pending) for family in db.spans.families)


def test_bodies_are_found_whatever_slices_their_bucket_is_in(db: RocksDB) -> None:
    store = RocksDBSpanStore(db, 0)
    orders = [range(0, 1200, 3), range(1, 1200, 3), range(2, 1200, 3)]
    bodies = {offset: os.urandom(1000) for offset in range(1200)}
    for order in orders:
        store.put([(A, offset, bodies[offset]) for offset in order])
        fill(RocksDBSpanStore(db, 1 + order.start), 0, 640, window=0)
    assert len({part.where for part in store._buckets[0]}) == 3
    assert store.get(A, range(1200)) == list(bodies.values())


def test_what_is_discarded_while_it_is_in_memory_is_never_written_to_disk(db: RocksDB) -> None:
    store = RocksDBSpanStore(db, 0)
    most = 0
    for first in range(0, 20_480, 128):
        fill(store, first, first + 128, window=640)
        wait_for("the flushes", lambda: not flushing(db), timeout_s=60)
        most = max(most, db.memory_bytes())
    # 20 MB went in. The files are of tombstones: of a slice that is emptied nothing else is left.
    assert db.disk_bytes() < 200_000
    assert most < 3 << 20
    assert store.held_bytes()["rocksdb"] <= 1_000 * (640 + 2 * BUCKET_OFFSETS)


def test_a_partition_that_holds_a_row_in_every_slice_does_not_hold_the_others_on_disk(
    db: RocksDB,
) -> None:
    slow, others = RocksDBSpanStore(db, 0), RocksDBSpanStore(db, 1)
    for first in range(0, 40_960, 128):
        slow.put([(A, first, b"slow")])
        fill(others, first, first + 128, window=640)
    # 41 MB went in, the window is of 2 MB.
    wait_for("the compaction", lambda: db.disk_bytes() < 20 << 20, timeout_s=60)
    assert slow.get(A, range(0, 40_960, 128)) == [b"slow"] * 320


def test_expired_decisions_are_gone_from_rocksdb(db: RocksDB) -> None:
    store = RocksDBDecisionStore(db, 0)
    store.put([(A, DECISION)])
    key = store._key(store._generations.newest, A)
    assert db.decisions.get(key) is not None
    store.expire(2000, resume_offset=10)
    assert db.decisions.get(key) is None
    assert store._filter.lanes(A) == 0, "its lane is about to be another generation's"


def test_memtables_are_charged_to_the_budget(db: RocksDB) -> None:
    assert db.memory_bytes() < 350_000  # charged in steps of 256 KiB
    RocksDBSpanStore(db, 0).put([(A, offset, bytes(1000)) for offset in range(700)])
    assert db.memory_bytes() >= 700_000


def test_nothing_is_written_ahead(db: RocksDB, tmp_path: Path) -> None:
    RocksDBSpanStore(db, 0).put([(A, offset, bytes(1000)) for offset in range(700)])
    RocksDBDecisionStore(db, 0).put([(A, DECISION)])
    assert [log.stat().st_size for log in (tmp_path / "rocksdb").glob("*.log")] == [0]
