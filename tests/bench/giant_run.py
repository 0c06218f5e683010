"""What a trace of a million spans does to the others, on a real broker.

    python -m tests.bench.giant_run --bootstrap localhost:9092 [--huge] [--dropped] [--spans 0]

Traces of three spans come at a steady pace, all of them kept; a giant is sent among them, in
records of 5 spans or (`--huge`) of 10 MB. Prints how long decisions took, giant or not
(`--spans 0`).
"""

import argparse
import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random

from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.testing.spans import a_span, span_id_of, traces_data
from tests.bench.memory_run import SmallWorker
from tests.bench.process_cpu import ProcessCpu, peak_rss_bytes
from tests.harness.large_topics import topics_with_large_input
from tests.harness.topics import Topics
from tests.harness.worker import wait_until_all_is_decided

ERROR = 2
WINDOW_S = 2
GIANT_ID = b"\xee" * 16
ANY_SPAN = b"\xdd" * 8
OUTCOMES = ("sampled", "not_sampled", "late_sampled", "late_not_sampled")


@dataclass(frozen=True)
class Giant:
    """A trace of `spans` spans, `record_spans` to a record, sent over `seconds`."""

    spans: int
    record_spans: int
    kept: bool
    seconds: float

    def records(self) -> Iterator[bytes]:
        # Spliced: encoding a million spans as objects would take longer than deciding them.
        parts = traces_data([self._span()] * self.record_spans).split(ANY_SPAN)
        for first in range(0, self.spans, self.record_spans):
            ids = [span_id_of(1 + first + n) for n in range(self.record_spans)]
            yield b"".join(chain(*zip(parts, ids, strict=False), parts[-1:]))

    def _span(self) -> Span:
        return a_span(
            trace_id=GIANT_ID,
            span_id=ANY_SPAN,
            parent_span_id=span_id_of(1),
            status=ERROR if self.kept else 0,
            attributes={f"key.{key}": "a value of some length" for key in range(15)},
        )


def main() -> None:
    """Run it once and print the figures."""
    options = _options()
    record_spans = 13_900 if options.huge else 5
    giant = Giant(options.spans, record_spans, not options.dropped, options.giant_s)
    with (
        topics_with_large_input(options.bootstrap) as topics,
        tempfile.TemporaryDirectory() as home,
    ):
        worker = SmallWorker(topics, Path(home), WINDOW_S, memory="512MiB")
        with contextlib.closing(worker):
            worker.start()
            worker.wait_until_ready()
            before = ProcessCpu.of(worker.pid)
            _send(topics, giant, options.ordinary_s, options.rate)
            wait_until_all_is_decided(topics, [worker], timeout_s=300)
            time.sleep(1.5)  # until the metrics are set again
            spent = ProcessCpu.of(worker.pid).since(before)
            _show(worker, spent, giant)
            worker.terminate()


def _show(worker: SmallWorker, spent: ProcessCpu, giant: Giant) -> None:
    delays = worker.by_label("tailstream_decision_delay_seconds_bucket", "le")
    count = delays["+Inf"]
    outcomes = worker.by_label("tailstream_spans_total", "outcome")
    print({outcome: int(outcomes.get(outcome, 0)) for outcome in OUTCOMES})
    print(
        "traces",
        int(count),
        "of",
        giant,
        "limits",
        worker.by_label("tailstream_limit_reached_total", "limit"),
    )
    print("decided within s:", {le: f"{100 * n / count:.2f} %" for le, n in delays.items()})
    print(
        f"CPU {spent.total_us / sum(outcomes.values()):.2f} us a span,"
        f" peak RSS {peak_rss_bytes(worker.pid) >> 20} MiB"
    )


def _send(topics: Topics, giant: Giant, seconds: float, rate: int) -> None:
    sending = threading.Thread(target=_send_giant, args=(topics, giant))
    producer = _producer(topics)
    rng = Random(1)
    started_s = time.monotonic()
    for number in range(round(seconds * rate)):
        wait_s = started_s + number / rate - time.monotonic()
        if wait_s > 0:
            producer.poll(0)
            time.sleep(wait_s)
        if number == rate * 5 and giant.spans:
            sending.start()
        trace_id = rng.randbytes(16)
        spans = [
            a_span(trace_id=trace_id, span_id=span_id_of(1 + n), status=ERROR) for n in (0, 1, 2)
        ]
        producer.produce(topics.input, traces_data(spans), trace_id.hex())
    if giant.spans:
        sending.join()
    assert producer.flush(60) == 0


def _send_giant(topics: Topics, giant: Giant) -> None:
    producer = _producer(topics)
    started_s = time.monotonic()
    count = max(1, giant.spans // giant.record_spans)
    for number, value in enumerate(giant.records()):
        wait_s = started_s + number * giant.seconds / count - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        while True:
            try:
                producer.produce(topics.input, value, GIANT_ID.hex())
            except BufferError:
                producer.poll(0.1)
            else:
                break
    assert producer.flush(120) == 0
    print(f"giant sent in {time.monotonic() - started_s:.0f} s", flush=True)


def _producer(topics: Topics) -> Producer:
    return Producer(
        {
            "bootstrap.servers": topics.bootstrap,
            "partitioner": "fnv1a_random",
            "linger.ms": 5,
            "message.max.bytes": 16_000_000,
            "compression.type": "lz4",
        }
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--dropped", action="store_true")
    parser.add_argument("--giant-s", type=float, default=40.0)
    parser.add_argument("--ordinary-s", type=float, default=50.0)
    parser.add_argument("--rate", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    main()
