"""One run: real `tailstream worker`s read the loaded topic, and their processes are measured."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.kept import WrongOutputError, check_output
from tests.bench.policies import PERCENTAGE, REFERENCE, SLOW_MS, Keeping
from tests.bench.preload import Loaded, RunTopics, topics_of_a_run
from tests.bench.process_cpu import ProcessCpu, peak_rss_bytes
from tests.bench.throughput import Throughput
from tests.harness.oracle import Rules
from tests.harness.reading import read_whole
from tests.harness.repository import ROOT
from tests.harness.topics import GroupOffsets, wait_for
from tests.harness.worker import READY_TIMEOUT_S, WorkerProcess

DECISION_WAIT_MS = 5_000
RULES = Rules(DECISION_WAIT_MS, SLOW_MS, PERCENTAGE)
LOOK_EVERY_S = 0.005
SPANS_A_SECOND_AT_LEAST = 2_000
PURE_VARIABLE = "TAILSTREAM_PURE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a worker is set to beyond the product's defaults. `settings` are merged over all."""

    storage: str = "memory"
    pure: bool = False
    decision_wait_ms: int = DECISION_WAIT_MS
    keeping: Keeping = REFERENCE
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.storage}, pure" if self.pure else self.storage


MEMORY = Variant()
VARIANTS = (MEMORY, Variant(storage="rocksdb"))


def with_pure(variants: tuple[Variant, ...], *, pure: bool) -> tuple[Variant, ...]:
    """Return the variants, and if `pure` the first of them once more on the pure-Python core."""
    return (*variants, Variant(storage=variants[0].storage, pure=True)) if pure else variants


@dataclass(frozen=True, slots=True)
class Place:
    """An input topic, loaded or not."""

    bootstrap: str
    topic: str
    partitions: int


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """What a run cost from its first partition's readiness to the last commit, all workers.

    `start_cpu_us` came before. `core` is compiled or pure, by the worker's own word.
    `spans_a_second` is of wall time, and rather too low (`throughput.speed`).
    """

    variant: str
    core: str
    cpu: ProcessCpu
    start_cpu_us: int
    peak_rss_bytes: int
    spans_a_second: float


class BenchWorker(WorkerProcess):
    """A worker with the product's own defaults, but for what its variant says."""

    def __init__(
        self, topics: RunTopics, directory: Path, variant: Variant, *, slot: str = "bench"
    ) -> None:
        super().__init__(topics, RULES, directory, slot=slot)
        self._variant = variant

    @property
    def config(self) -> Path:
        """Where its settings are, once it has been started."""
        return self._home / "tailstream.yaml"

    def settings(self) -> dict[str, Any]:
        """Return the settings that it is started with."""
        return self._settings()

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Start it on the core that its variant asks for, from this checkout."""
        pure = {PURE_VARIABLE: "1"} if self._variant.pure else {}
        with _environment(pure):
            super().start()

    @property
    def limits_reached(self) -> dict[str, float]:
        """Return which limits it has reached and how often, by its own metrics."""
        found = self.samples("tailstream_limit_reached_total", "limit")
        return {limit: times for limit, times in found if times}

    @property
    def core(self) -> str:
        """Return which core runs, by its own metrics."""
        ((compiled, _),) = self.samples("tailstream_build_info", "compiled")
        return "compiled" if compiled == "true" else "pure"

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

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = super()._settings()
        variant = self._variant
        settings["worker"] = {"group": self._topics.group, "instance_id": self.slot}
        settings["tail_sampling"] = {
            "decision_wait": f"{variant.decision_wait_ms}ms",
            "policies": variant.keeping.policies,
        }
        # Nothing of ours makes it where all is held in memory, and Faust wants it.
        directory = self._home / "data"
        directory.mkdir(exist_ok=True)
        settings["storage"] = {"directory": str(directory), "spans": variant.storage}
        for block, values in variant.settings.items():
            settings[block] = {**settings.get(block, {}), **values}
        return settings


def run_worker(loaded: Loaded, variant: Variant = MEMORY) -> WorkerRun:
    """Let a worker decide everything that is loaded.

    Raises:
        WrongOutputError: it did not keep what the policies keep, or did not account for a span.
    """
    place = Place(loaded.bootstrap, loaded.input, loaded.partitions)
    with started(place, variant, workers=1) as (topics, workers):
        before = workers[0].wait_for_its_first_partition()
        return measured(loaded, variant, topics, workers, [before])


@contextlib.contextmanager
def started(
    place: Place, variant: Variant, *, workers: int
) -> Iterator[tuple[RunTopics, list[BenchWorker]]]:
    """Give so many workers that have just been started, with topics of their own; end them."""
    with (
        tempfile.TemporaryDirectory(prefix="tailstream-bench-") as home,
        topics_of_a_run(place.bootstrap, place.topic, partitions=place.partitions) as topics,
        contextlib.ExitStack() as stack,
    ):
        ours = []
        for number in range(workers):
            worker = BenchWorker(topics, Path(home), variant, slot=f"bench-{number}")
            stack.enter_context(contextlib.closing(worker))
            ours.append(worker)
            worker.start()
        yield topics, ours


def measured(
    loaded: Loaded,
    variant: Variant,
    topics: RunTopics,
    workers: list[BenchWorker],
    before: list[ProcessCpu],
) -> WorkerRun:
    """Wait for the end of the work, and return what it cost since `before`."""
    spans = loaded.expected.spans
    with Throughput(topics) as throughput:
        _wait_until_decided(loaded, topics, workers)
    cpu = ProcessCpu.sum_of(
        ProcessCpu.of(worker.pid).since(past) for worker, past in zip(workers, before, strict=True)
    )
    peak = max(peak_rss_bytes(worker.pid) for worker in workers)
    received = sum(worker.accounts()["received"] for worker in workers)
    core = workers[0].core
    reached = {limit: times for one in workers for limit, times in one.limits_reached.items()}
    for worker in workers:
        worker.terminate()
    if received != spans:
        raise WrongOutputError(f"{received:,} of {spans:,} spans were received")
    if reached:
        raise WrongOutputError(f"limits were reached, so less was open than was meant: {reached}")
    kept = loaded.expected.kept(variant.keeping)
    check_output(kept, read_whole(topics.bootstrap, topics.output))
    a_record = spans / loaded.records
    started_us = sum(past.total_us for past in before)
    return WorkerRun(
        variant.name, core, cpu, started_us, peak, throughput.records_a_second * a_record
    )


def _wait_until_decided(loaded: Loaded, topics: RunTopics, workers: list[BenchWorker]) -> None:
    """Return when position and resume offset have reached the ends of what was loaded."""
    groups = [
        GroupOffsets(topics.bootstrap, name, topics.input)
        for name in (f"{topics.group}-position", topics.group)
    ]

    def reached() -> bool:
        for worker in workers:
            worker.assert_runs()
        return all(reaches(group.committed(), loaded.ends) for group in groups)

    timeout_s = 60 + loaded.expected.spans / SPANS_A_SECOND_AT_LEAST
    try:
        wait_for("everything read and decided", reached, timeout_s=timeout_s)
    except TimeoutError as late:
        offsets = [group.committed() for group in groups]
        logs = "\n".join(worker.log_tail() for worker in workers)
        raise TimeoutError(f"{late}\nends {loaded.ends}\nare at {offsets}\n{logs}") from late


def reaches(committed: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    """Tell whether every partition has been committed to its end."""
    return all(committed.get(number, 0) >= end for number, end in ends.items())


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """Let what is started here run this checkout, name its threads, and find `more`."""
    path = os.environ.get("PYTHONPATH")
    paths = [str(Path(__file__).parent / "names"), str(ROOT), *([path] if path else [])]
    changed = {"PYTHONPATH": os.pathsep.join(paths), **more}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
