"""Peak memory on a live feed: every sampler on the same topic at the same time."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.corpus import corpus
from tests.bench.feed import Fed, Feed, feeding
from tests.bench.figures import markdown
from tests.bench.kept import Expected, difference
from tests.bench.peer.collector import LEAST_MEMORY, STRONGEST, CollectorProcess, Tuning
from tests.bench.preload import RunTopics, empty_topic, topics_of_a_run
from tests.bench.process_cpu import ProcessCpu, peak_rss_bytes, rss_bytes
from tests.bench.worker_run import BenchWorker, Variant
from tests.harness.reading import read_whole
from tests.harness.topics import PARTITIONS
from tests.harness.worker import wait_until_all_is_decided

MIB = 1 << 20
WINDOWS = 2.5
LOOK_EVERY_S = 0.5
END_TIMEOUT_S = 180.0
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLoad:
    """A feed of two windows and a half."""

    rate: int
    window_s: int
    seed: int

    @property
    def spans(self) -> int:
        return int(self.rate * self.window_s * WINDOWS)


@dataclass(slots=True)
class _Sampler:
    """One of those that read the feed. `finish` returns its CPU once all is through.

    `rss_mib`: what it held at each look since its window was full.
    """

    name: str
    topics: RunTopics
    pid: int
    before: ProcessCpu
    finish: Callable[[], ProcessCpu]
    rss_mib: list[float] = field(default_factory=list)

    def tree(self, expected: Expected) -> Tree:
        """Wait for its end; return what it took and what came out."""
        cpu = self.finish().since(self.before)
        peak = peak_rss_bytes(self.pid)
        output = read_whole(self.topics.bootstrap, self.topics.output)
        return {
            "peak_rss_mib": round(peak / MIB, 1),
            "mean_rss_mib": round(statistics.fmean(self.rss_mib), 1),
            "cpu_us_a_span": round(cpu.total_us / expected.spans, 2),
            "kept": str(difference(expected.kept(), output)),
        }


class _Ground:
    """Where the samplers of one feed run; `stack` ends them."""

    def __init__(self, stack: contextlib.ExitStack, bootstrap: str, load: LiveLoad) -> None:
        self.stack = stack
        self.bootstrap = bootstrap
        self.load = load
        self.topic = stack.enter_context(empty_topic(bootstrap, time="LogAppendTime"))
        prefix = "tailstream-bench-"
        self._home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))

    def tailstream(self, storage: str) -> _Sampler:
        variant = Variant(storage=storage, decision_wait_ms=self.load.window_s * 1000)
        topics = self._topics()
        worker = BenchWorker(topics, self._home, variant, slot=storage)
        self.stack.enter_context(contextlib.closing(worker))
        worker.start()
        worker.wait_until_ready()

        def finish() -> ProcessCpu:
            wait_until_all_is_decided(topics, [worker], timeout_s=END_TIMEOUT_S)
            return ProcessCpu.of(worker.pid)

        name = f"Tailstream, `{storage}`, {worker.core}"
        return _Sampler(name, topics, worker.pid, ProcessCpu.of(worker.pid), finish)

    def collector(self, binary: Path, tuning: Tuning, traces: int) -> _Sampler:
        topics = self._topics()
        home = self._home / tuning.name
        home.mkdir()
        process = CollectorProcess(
            binary,
            topics,
            home,
            partitions=PARTITIONS,
            traces=traces,
            decision_wait_ms=self.load.window_s * 1000,
            tuning=tuning,
        )
        self.stack.enter_context(contextlib.closing(process))

        def finish() -> ProcessCpu:
            return process.wait_for_its_last_output(timeout_s=END_TIMEOUT_S)

        return _Sampler(tuning.name, topics, process.pid, process.cpu, finish)

    def fed(self, samplers: list[_Sampler]) -> Fed:
        """Feed to the end, and look at the memory meanwhile."""
        load = self.load
        feed = Feed(
            bootstrap=self.bootstrap,
            topic=self.topic,
            rate=load.rate,
            spans=load.spans,
            seed=load.seed,
        )
        with feeding(feed) as outcome:
            while (fed := outcome()) is None:
                for sampler in samplers:
                    sampler.rss_mib.append(rss_bytes(sampler.pid) / MIB)
                time.sleep(LOOK_EVERY_S)
        full = int(load.window_s / LOOK_EVERY_S)
        for sampler in samplers:
            sampler.rss_mib = sampler.rss_mib[-full:]
        return fed

    def _topics(self) -> RunTopics:
        return self.stack.enter_context(topics_of_a_run(self.bootstrap, self.topic))


def compare_memory(binary: Path, bootstrap: str, load: LiveLoad, console: Console) -> Tree:
    """Return each sampler's memory, CPU at this rate, and what it kept."""
    expected = Expected()
    for record in corpus(load.spans, seed=load.seed):
        expected.add(record.value)
    console.print(f"Feeding {load.spans:,} spans, {load.rate:,}/s, window {load.window_s} s ...")
    with contextlib.ExitStack() as stack:
        ground = _Ground(stack, bootstrap, load)
        samplers = [ground.tailstream(storage) for storage in ("spill", "rocksdb")]
        samplers += [
            ground.collector(binary, tuning, expected.traces)
            for tuning in (STRONGEST, LEAST_MEMORY)
        ]
        fed = ground.fed(samplers)
        found = {sampler.name: sampler.tree(expected) for sampler in samplers}
    return {"rate": load.rate, "window_s": load.window_s, "feed": asdict(fed), "samplers": found}


def table(tree: Tree) -> str:
    """Return the Markdown of it."""
    peak = tree["samplers"][STRONGEST.name]["peak_rss_mib"]
    rows = [
        [
            name,
            f"{one['peak_rss_mib']:.0f}",
            f"{peak / one['peak_rss_mib']:.1f}",
            f"{one['mean_rss_mib']:.0f}",
            f"{one['cpu_us_a_span']:.2f}",
            one["kept"],
        ]
        for name, one in tree["samplers"].items()
    ]
    head = [
        f"live, {tree['rate']:,} spans/s, window {tree['window_s']} s",
        "peak RSS MiB",
        "times less than the Collector",
        "mean RSS MiB",
        "CPU µs a span",
        "kept",
    ]
    late = f"The feed was {tree['feed']['late_ms']:.0f} ms behind at the worst."
    return f"{markdown(head, rows)}\n{late}\n"
