"""The storage directory is capacity: damaged or foreign it costs a replay, unusable it is told."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import Topics, committed_offsets, wait_for
from tests.harness.verify import decisions_complete, nothing_missing_and_nothing_twice, read_back
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

pytestmark = pytest.mark.integration

RULES = Rules(decision_wait_ms=2000, slow_ms=1000, percentage=5)
OPERATOR = 2
ON_DISK = {"memory": "64MiB", "spans": "rocksdb", "decisions": "rocksdb"}
Spawn = Callable[[Mapping[str, object]], WorkerProcess]

# Files above this size cannot be written: what a full disk is to RocksDB.
SMALL_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from pathlib import Path
from stream.failures import end_for
from stream.slot import Slot
from stream.state.rocksdb import RocksDB, RocksDBSpanStore
store = RocksDBSpanStore(RocksDB(Path(sys.argv[1]), memory_bytes=1 << 20), 0)
try:
    for offset in range(100_000):
        store.put([(bytes(16), offset, bytes(2_000))])
except Exception as problem:
    end_for(problem, Slot(Path(sys.argv[1]), "group", "w-1"))
"""


@pytest.fixture
def worker_with(topics: Topics, tmp_path: Path) -> Iterator[Spawn]:
    with ExitStack() as ended:

        def made(storage: Mapping[str, object]) -> WorkerProcess:
            worker = WorkerProcess(topics, RULES, tmp_path, slot="worker-0", storage=storage)
            ended.callback(worker.close)
            return worker

        yield made


def test_after_kill_a_damaged_database_and_foreign_files_are_a_replay(
    topics: Topics, worker_with: Spawn
) -> None:
    worker = worker_with(ON_DISK)
    load = Load(spans=40_000, duration_s=12, late_after_s=2.4)
    sender = Sender(topics.bootstrap, topics.input, load.records())
    worker.start()
    sender.start()
    wait_for(
        "decisions", lambda: any(committed_offsets(topics, topics.group).values()), timeout_s=60
    )
    worker.kill()
    damage(worker.directory)
    worker.start()
    sender.finish()

    wait_until_all_is_decided(topics, [worker])
    worker.terminate()
    written = read_back(topics)
    expectation = written.expectation(RULES)
    nothing_missing_and_nothing_twice(written, expectation)
    decisions_complete(written, expectation)


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("a file", "is a file, not a directory; name a directory"),
        ("under a file", "/file is a file, not a directory; name a directory"),
        ("read-only", "name another, or make it for this user"),
    ],
)
def test_a_directory_that_cannot_be_used_is_the_operators_and_named(
    worker_with: Spawn, tmp_path: Path, place: str, remedy: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    # Whoever runs as root may write anywhere, but not into the kernel's own tree.
    directory = {
        "a file": tmp_path / "file",
        "under a file": tmp_path / "file" / "data",
        "read-only": Path("/proc/tailstream"),
    }[place]
    worker = worker_with({**ON_DISK, "directory": str(directory)})
    worker.start()
    wait_for("its end", lambda: worker.ended() is not None, timeout_s=30)
    assert worker.ended() == OPERATOR
    told = worker.log_tail()
    assert "storage.directory" in told
    assert str(directory) in told
    assert remedy in told


def test_a_disk_that_fills_up_ends_the_process_with_the_setting_and_the_remedy(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SMALL_FILES, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = ended.stdout + ended.stderr
    assert ended.returncode == OPERATOR, told
    assert f"storage.directory: {tmp_path} cannot be" in told
    assert "local disk with free space" in told


def damage(directory: Path) -> None:
    """Truncate what a database is made of, and leave files of nobody's there."""
    files = [file for file in (directory / "rocksdb").iterdir() if file.is_file()]
    assert len(files) > 3, files
    for index, file in enumerate(files):
        if index % 2:
            os.truncate(file, file.stat().st_size // 2)
        else:
            file.write_bytes(os.urandom(300))
    (directory / "rocksdb" / "000123.sst").write_bytes(b"no table")
    (directory / "rocksdb" / "OPTIONS-99").mkdir()
    (directory / "somebody's").write_text("not ours")
