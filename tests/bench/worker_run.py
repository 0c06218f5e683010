"""One run: the real `tailstream worker` reads the loaded topic, and its process is measured."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.kept import PERCENTAGE, SLOW_MS, WrongOutputError, check_output
from tests.bench.preload import Loaded, RunTopics, topics_of_a_run
from tests.bench.process_cpu import ProcessCpu, peak_rss_bytes
from tests.harness.oracle import Rules
from tests.harness.reading import read_whole
from tests.harness.repository import ROOT
from tests.harness.worker import READY_TIMEOUT_S, WorkerProcess, wait_until_all_is_decided

DECISION_WAIT_MS = 5_000
RULES = Rules(DECISION_WAIT_MS, SLOW_MS, PERCENTAGE)
LOOK_EVERY_S = 0.005
STORAGES = ("memory", "rocksdb")
SPANS_A_SECOND_AT_LEAST = 2_000


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """What a run cost from its first partition's readiness to the last commit."""

    storage: str
    cpu: ProcessCpu
    start_cpu_us: int
    peak_rss_bytes: int


class BenchWorker(WorkerProcess):
    """A worker with the product's own defaults, but for where it holds spans."""

    def __init__(self, topics: RunTopics, directory: Path, storage: str) -> None:
        super().__init__(topics, RULES, directory, slot="bench")
        self._storage = storage

    @property
    def config(self) -> Path:
        """Where its settings are, once it has been started."""
        return self._home / "tailstream.yaml"

    def settings(self) -> dict[str, object]:
        """Return the settings that it is started with."""
        return self._settings()

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def wait_for_its_first_partition(self) -> ProcessCpu:
        """Return what it had cost just before its first partition was ready to be read."""
        until_s = time.monotonic() + READY_TIMEOUT_S
        log = self._home / "worker.log"
        while time.monotonic() < until_s:
            before = ProcessCpu.of(self.pid)
            if b'"event": "ready"' in log.read_bytes():
                return before
            self.assert_runs()
            time.sleep(LOOK_EVERY_S)
        raise TimeoutError(f"no partition was ready:\n{self.log_tail()}")

    def _settings(self) -> dict[str, object]:
        settings = super()._settings()
        name, group = "bench", self._topics.group
        settings["worker"] = {"group": group, "instance_id": name}
        # Nothing of ours makes it where all is held in memory, and Faust wants it.
        directory = self._home / "data"
        directory.mkdir(exist_ok=True)
        settings["storage"] = {"directory": str(directory), "spans": self._storage}
        return settings


def run_worker(loaded: Loaded, kept: dict[bytes, list[bytes]], storage: str) -> WorkerRun:
    """Let a worker decide everything that is loaded.

    Raises:
        WrongOutputError: it did not keep what the policies keep, or did not account for a span.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tailstream-bench-") as home,
        topics_of_a_run(loaded) as topics,
        contextlib.closing(BenchWorker(topics, Path(home), storage)) as worker,
    ):
        with _environment():
            worker.start()
        before = worker.wait_for_its_first_partition()
        timeout_s = 60 + loaded.expected.spans / SPANS_A_SECOND_AT_LEAST
        wait_until_all_is_decided(topics, [worker], timeout_s=timeout_s)
        cpu = ProcessCpu.of(worker.pid).since(before)
        rss_bytes = peak_rss_bytes(worker.pid)
        accounts = worker.accounts()
        worker.terminate()
        if accounts["received"] != loaded.expected.spans:
            raise WrongOutputError(f"of {loaded.expected.spans} spans: {accounts}")
        check_output(kept, read_whole(topics.bootstrap, topics.output))
        return WorkerRun(storage, cpu, before.total_us, rss_bytes)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Let what is started here run this checkout, and name its threads."""
    before = os.environ.get("PYTHONPATH")
    paths = [str(Path(__file__).parent / "names"), str(ROOT)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
