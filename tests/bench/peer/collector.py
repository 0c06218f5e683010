"""The Collector as a process: set as strong as it was found, watched from outside."""

import contextlib
import json
import os
import signal
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.policies import REFERENCE, Keeping
from tests.bench.preload import RunTopics
from tests.bench.process_cpu import ProcessCpu, peak_rss_bytes
from tests.harness.children import Child
from tests.harness.ports import free_ports
from tests.harness.topics import REQUEST_TIMEOUT_S, GroupOffsets, end_offsets

CONFIG = Path(__file__).parent / "collector.yaml"
END_TIMEOUT_S = 30.0
LOOK_EVERY_S = 0.05
QUIET_S = 2.0
NUM_TRACES_AT_LEAST = 400_000
DROPPED_UNDECIDED = "sampling_trace_dropped_too_early"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How its runtime is set. The defaults are the strongest: the least CPU a span of all tried.

    One processor (with two it takes more of both), a garbage collector that lets the heap grow to
    five times what lives, and the alpha gate that reuses decoded spans.
    """

    name: str = "Collector"
    processors: int = 1
    gogc: str = "400"
    shards: int = 1
    gates: str = "pdata.useProtoPooling"


STRONGEST = Tuning()
LEAST_MEMORY = Tuning(name="Collector, GOGC=100", gogc="100")
"""Go's own default: more CPU, less memory."""


class CollectorProcess:
    """A Collector between the topics of a run."""

    def __init__(
        self,
        binary: Path,
        topics: RunTopics,
        directory: Path,
        *,
        partitions: int,
        traces: int,
        decision_wait_ms: int,
        compression: str = "none",
        keeping: Keeping = REFERENCE,
        tuning: Tuning = STRONGEST,
    ) -> None:
        self._topics = topics
        self._decision_wait_s = decision_wait_ms / 1000
        self._admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 4})
        self._output = [TopicPartition(topics.output, n) for n in range(partitions)]
        self._offsets = GroupOffsets(topics.bootstrap, topics.group, topics.input)
        self._metrics_port = free_ports(1)[0]
        env = {
            **os.environ,
            "GOMAXPROCS": str(tuning.processors),
            "GOGC": tuning.gogc,
            "SHARDS": str(tuning.shards),
            "BROKERS": topics.bootstrap,
            "GROUP": topics.group,
            "IN_TOPIC": topics.input,
            "OUT_TOPIC": topics.output,
            "OUT_COMPRESSION": compression,
            "DECISION_WAIT": f"{decision_wait_ms}ms",
            "NUM_TRACES": str(max(NUM_TRACES_AT_LEAST, 2 * traces)),
            "POLICIES": json.dumps(keeping.policies),
            "METRICS_PORT": str(self._metrics_port),
        }
        command = [str(binary), "--config", str(CONFIG), f"--feature-gates={tuning.gates}"]
        self._child = Child(command, log=directory / "collector.log", env=env)

    @property
    def cpu(self) -> ProcessCpu:
        """Return what it has cost since its start."""
        return ProcessCpu.of(self._child.pid)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def peak_rss_bytes(self) -> int:
        return peak_rss_bytes(self._child.pid)

    def wait_for_its_last_output(self, *, timeout_s: float) -> ProcessCpu:
        """Return what it had cost when the last record of its output was there.

        It tells nobody that it is through: its offsets are committed before the spans are sampled.
        So: all is committed, every trace has been waited for, and nothing more comes.
        """
        until_s = time.monotonic() + timeout_s
        ends = end_offsets(self._topics.bootstrap, self._topics.input)
        wanted = {number: end for number, end in ends.items() if end}
        read_s, grown_s, written, cpu = 0.0, time.monotonic(), 0, self.cpu
        while time.monotonic() < until_s:
            self._assert_runs()
            now_written = self._written() or written
            now_s = time.monotonic()
            if now_written > written:
                written, grown_s, cpu = now_written, now_s, self.cpu
            if not read_s and self._offsets.committed() == wanted:
                read_s = now_s
            if read_s and now_s > max(read_s + self._decision_wait_s, grown_s) + QUIET_S:
                return cpu
            time.sleep(LOOK_EVERY_S)
        raise TimeoutError(f"it was not through in {timeout_s:.0f} s:\n{self._child.log_tail()}")

    def dropped_undecided(self) -> int:
        """Return how many traces it gave up before their time, by its own metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics") as answer:
            text = answer.read().decode()
        return sum(
            int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if DROPPED_UNDECIDED in sample.name
        )

    def close(self) -> None:
        """Leave nothing behind."""
        self._child.end(signal.SIGTERM, timeout_s=END_TIMEOUT_S)

    def _written(self) -> int:
        """Return the end of the output; 0 while a new partition's leader is not known."""
        with contextlib.suppress(KafkaException):
            asked = {partition: OffsetSpec.latest() for partition in self._output}
            answers = self._admin.list_offsets(asked).values()
            return sum(int(answer.result(REQUEST_TIMEOUT_S).offset) for answer in answers)
        return 0

    def _assert_runs(self) -> None:
        code = self._child.returncode()
        assert code is None, f"the Collector ended with {code}:\n{self._child.log_tail()}"
