"""One run: the Collector reads the loaded topic, and its process is measured."""

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.kept import Difference, difference
from tests.bench.peer.collector import STRONGEST, CollectorProcess, Tuning
from tests.bench.preload import Loaded, topics_of_a_run
from tests.bench.worker_run import DECISION_WAIT_MS
from tests.harness.reading import read_whole

SPANS_A_SECOND_AT_LEAST = 5_000


@dataclass(frozen=True, slots=True)
class CollectorRun:
    """What a run cost from its start to the last record of its output; what came out."""

    cpu_us: int
    peak_rss_bytes: int
    kept: Difference
    dropped_undecided: int

    @property
    def told(self) -> str:
        """Return what it kept; where that is not all, what can be said of why."""
        if not self.kept:
            return str(self.kept)
        return (
            f"{self.kept} (it gave up {self.dropped_undecided:,} traces undecided; its window is "
            "wall time from the first span that it read, whenever that was sent)"
        )


def run_collector(binary: Path, loaded: Loaded, tuning: Tuning = STRONGEST) -> CollectorRun:
    """Let a Collector decide everything that is loaded."""
    with (
        tempfile.TemporaryDirectory(prefix="tailstream-bench-") as home,
        topics_of_a_run(loaded.bootstrap, loaded.input, partitions=loaded.partitions) as topics,
        contextlib.closing(
            CollectorProcess(
                binary,
                topics,
                Path(home),
                partitions=loaded.partitions,
                traces=loaded.expected.traces,
                decision_wait_ms=DECISION_WAIT_MS,
                tuning=tuning,
            )
        ) as process,
    ):
        timeout_s = 90 + loaded.expected.spans / SPANS_A_SECOND_AT_LEAST
        cpu = process.wait_for_its_last_output(timeout_s=timeout_s)
        found = difference(loaded.expected.kept(), read_whole(topics.bootstrap, topics.output))
        dropped = process.dropped_undecided()
        return CollectorRun(cpu.total_us, process.peak_rss_bytes, found, dropped)
