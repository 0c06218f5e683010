"""Peak memory of a worker whose open traces hold many times its budget.

    python -m tests.bench.memory_run --bootstrap localhost:9092 --memory 64MiB --times 20

Loads a topic, starts `tailstream worker` on it with a window so long that every trace is open when
the last record is read, lets the wall clock cut them all, and prints what the process took.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from confluent_kafka import Producer

from stream.testing.spans import a_span, span_id_of, traces_data
from tests.bench.process_cpu import peak_rss_bytes
from tests.harness.oracle import Rules
from tests.harness.topics import Topics, end_offsets, topics_of_a_test
from tests.harness.worker import WorkerProcess, wait_until_all_is_decided

MIB = 1 << 20
PERCENTAGE = 5
SEED = 1
LOOK_EVERY_S = 1.0
ANY_TRACE = b"\xaa" * 16


@dataclass(frozen=True)
class Load:
    """What is sent: traces of so many records, each of so many spans of about 780 bytes."""

    value_bytes: int
    records_a_trace: int
    spans_a_record: int
    neighbours: int = 2_000

    def records(self, rng: Random) -> Iterator[tuple[bytes, bytes]]:
        """Yield (trace id, value), the records of a trace among those of its neighbours."""
        values = [
            _value(self.spans_a_record, number, rng) for number in range(self.records_a_trace)
        ]
        sent = 0
        while sent < self.value_bytes:
            ids = [rng.randbytes(16) for _ in range(self.neighbours)]
            for value in values:
                for trace_id in ids:
                    sent += len(value)
                    yield trace_id, value.replace(ANY_TRACE, trace_id)


class SmallWorker(WorkerProcess):
    """A worker with little memory and a long window."""

    def __init__(self, topics: Topics, directory: Path, window_s: int, **storage: str) -> None:
        super().__init__(topics, Rules(window_s * 1000, 1 << 40, PERCENTAGE), directory, slot="one")
        self._storage = storage

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """Return a metric's samples by this label."""
        return dict(self.samples(name, label))

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = super()._settings()
        settings["storage"] |= self._storage
        return settings


def main() -> None:
    """Run it once and print the figures."""
    options = _options()
    memory_bytes = int(options.memory.removesuffix("MiB")) * MIB
    load = Load(options.times * memory_bytes, options.records_a_trace, options.spans_a_record)
    with topics_of_a_test(options.bootstrap) as topics, tempfile.TemporaryDirectory() as home:
        started_s = time.monotonic()
        _send(topics, load)
        print(f"{load.value_bytes / MIB:.0f} MiB sent in {time.monotonic() - started_s:.0f} s")
        window_s = options.window_s
        worker = SmallWorker(topics, Path(home), window_s, memory=options.memory, disk=options.disk)
        with contextlib.closing(worker):
            worker.start()
            worker.wait_until_ready()
            print(f"ready: {peak_rss_bytes(worker.pid) / MIB:.0f} MiB")
            _watch(worker, topics)
            print("all is read and open")
            _show(worker)
            wait_until_all_is_decided(topics, [worker], timeout_s=window_s + 600)
            print("all is decided")
            _show(worker)
            excess = peak_rss_bytes(worker.pid) - memory_bytes
            print(f"peak: budget + {excess / MIB:.0f} MiB")
            print(worker.by_label("tailstream_spans_total", "outcome"))
            worker.terminate()


def _watch(worker: SmallWorker, topics: Topics) -> None:
    """Return when the last record has been read; show how it is on the way there."""
    ends = end_offsets(topics.bootstrap, topics.input)
    shown_s = time.monotonic()
    while True:
        worker.assert_runs()
        lag = worker.by_label("tailstream_lag_records", "partition")
        if len(lag) == len(ends) and not any(lag.values()):
            return
        if time.monotonic() > shown_s + 15:
            shown_s = time.monotonic()
            print(f"lag {sum(lag.values()):.0f}")
            _show(worker)
        time.sleep(LOOK_EVERY_S)


def _show(worker: SmallWorker) -> None:
    held = {
        where: f"{size / MIB:.0f}"
        for where, size in worker.by_label("tailstream_held_bytes", "where").items()
    }
    traces = sum(worker.by_label("tailstream_open_traces", "partition").values())
    limits = worker.by_label("tailstream_limit_reached_total", "limit")
    print(f"peak RSS {peak_rss_bytes(worker.pid) / MIB:.0f} MiB, now {_rss(worker.pid):.0f}")
    print(f"held MiB {held}; {traces:.0f} open traces, limits {limits}", flush=True)


def _rss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this kernel does not tell VmRSS")


def _send(topics: Topics, load: Load) -> None:
    producer = Producer(
        {"bootstrap.servers": topics.bootstrap, "compression.type": "lz4", "linger.ms": 50}
    )
    for trace_id, value in load.records(Random(SEED)):
        while True:
            try:
                producer.produce(topics.input, value, trace_id.hex())
            except BufferError:
                producer.poll(0.1)
            else:
                break
    left = producer.flush(120)
    assert not left, f"{left} records were not delivered"


def _value(spans: int, number: int, rng: Random) -> bytes:
    first = 1 + number * spans
    return traces_data(
        [
            a_span(
                trace_id=ANY_TRACE,
                span_id=span_id_of(first + index),
                parent_span_id=b"" if first + index == 1 else span_id_of(1),
                attributes={f"key.{key}": rng.randbytes(24).hex() for key in range(10)},
            )
            for index in range(spans)
        ]
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--memory", default="64MiB")
    parser.add_argument("--disk", default="20GiB")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--records-a-trace", type=int, default=16)
    parser.add_argument("--spans-a-record", type=int, default=5)
    parser.add_argument("--window-s", type=int, default=240)
    return parser.parse_args()


if __name__ == "__main__":
    main()
