"""From a kept trace's deadline to its readability: what a consumer of the output waits for."""

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition
from rich.console import Console

from tests.bench.feed import Fed, Feed, feeding
from tests.bench.figures import markdown
from tests.bench.preload import RunTopics, empty_topic, topics_of_a_run
from tests.bench.throughput import Throughput
from tests.bench.worker_run import DECISION_WAIT_MS, BenchWorker, Variant
from tests.harness.topics import PARTITIONS, end_offsets
from tests.harness.worker import wait_until_all_is_decided

COMMIT_INTERVAL_MS = 500
MORE_MS = 250
SPANS_MAX = 1_500_000
SECONDS = (12, 40)
"""The shortest feed (five seconds of it pass before the first deadline) and the longest."""
ALL_AT_ONCE = 100_000_000
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from the deadline of each kept trace, to when its last record was read."""

    each_ms: list[float]

    def tree(self) -> Tree:
        percentile = statistics.quantiles(self.each_ms, n=100, method="inclusive")
        return {
            "traces": len(self.each_ms),
            "p50_ms": round(percentile[49]),
            "p99_ms": round(percentile[98]),
            "max_ms": round(max(self.each_ms)),
        }


def measure_latency(
    bootstrap: str, *, capacity: int, spans: int, seed: int, console: Console
) -> Tree:
    """Feed half of `capacity` spans a second; 0: measure first what can be fed and taken at most.

    At most on this machine, where the feed, the broker and the worker share the cores: more than
    that would measure who gets a core.
    """
    if not capacity:
        console.print(f"Measuring the capacity with {spans:,} spans, fed as fast as it goes ...")
        with _live(bootstrap, Feed(bootstrap, "", ALL_AT_ONCE, spans, seed)) as live:
            capacity = round(_spans_a_second(live, spans))
    rate = capacity // 2
    seconds = min(max(SPANS_MAX // rate, SECONDS[0]), SECONDS[1])
    console.print(f"Feeding {rate:,} spans a second, half of {capacity:,}, for {seconds} s ...")
    feed = Feed(bootstrap, "", rate, rate * seconds, seed)
    with _live(bootstrap, feed) as live, _reading(live.topics) as read_ms:
        fed = _feed_all(live)
        wait_until_all_is_decided(live.topics, [live.worker], timeout_s=120)
        time.sleep(1)  # what was committed last is read
        began_ms, last_ms = _first_times_ms(bootstrap, live.topics.input)
        core = live.worker.core
    delays = delays_of(began_ms, read_ms, decision_wait_ms=DECISION_WAIT_MS, until_ms=last_ms)
    return {
        "core": core,
        "capacity": capacity,
        "rate": rate,
        "feed": asdict(fed),
        "bound_ms": COMMIT_INTERVAL_MS + MORE_MS,
        **delays.tree(),
    }


def delays_of(
    began_ms: Mapping[bytes, int],
    read_ms: Mapping[bytes, float],
    *,
    decision_wait_ms: int,
    until_ms: int,
) -> Delays:
    """Return the delays of the traces that came due while the feed went on.

    `began_ms`: partition time at each trace's first record; `read_ms`: when its last output was
    read. A trace that comes due after `until_ms`, the feed's last record, waits for the wall
    clock's `idle_grace` besides: left out.
    """
    deadlines_ms = {key: began_ms[key] + decision_wait_ms for key in read_ms}
    return Delays(
        [read_ms[key] - due_ms for key, due_ms in deadlines_ms.items() if due_ms < until_ms]
    )


def table(tree: Tree) -> str:
    """Return the Markdown of it."""
    head = [
        "from the deadline to readable",
        "core",
        "spans/s",
        "traces",
        "p50 ms",
        "p99 ms",
        "most ms",
        "commit interval + 250 ms",
    ]
    held = "held" if tree["p99_ms"] <= tree["bound_ms"] else "not held"
    row = ["half load", tree["core"], f"{tree['rate']:,}", f"{tree['traces']:,}"]
    row += [str(tree[name]) for name in ("p50_ms", "p99_ms", "max_ms")]
    late = f"The feed was {tree['feed']['late_ms']:.0f} ms behind at the worst."
    return f"{markdown(head, [[*row, held]])}\n{late}\n"


@dataclass(frozen=True, slots=True)
class _Live:
    """A worker that is ready, and what is to be fed to it."""

    topics: RunTopics
    worker: BenchWorker
    feed: Feed


@contextlib.contextmanager
def _live(bootstrap: str, feed: Feed) -> Iterator[_Live]:
    variant = Variant(storage="spill", settings={"storage": {"memory": "2GiB"}})
    with (
        empty_topic(bootstrap, time="LogAppendTime") as topic,
        topics_of_a_run(bootstrap, topic) as topics,
        tempfile.TemporaryDirectory(prefix="tailstream-bench-") as home,
        contextlib.closing(BenchWorker(topics, Path(home), variant)) as worker,
    ):
        worker.start()
        worker.wait_until_ready()
        yield _Live(topics, worker, replace(feed, topic=topic))


def _feed_all(live: _Live) -> Fed:
    with feeding(live.feed) as outcome:
        while (fed := outcome()) is None:
            time.sleep(0.5)
    return fed


def _spans_a_second(live: _Live, spans: int) -> float:
    with Throughput(live.topics) as throughput:
        _feed_all(live)
        wait_until_all_is_decided(live.topics, [live.worker], timeout_s=120)
    records = sum(end_offsets(live.topics.bootstrap, live.topics.input).values())
    return throughput.records_a_second * spans / records


@contextlib.contextmanager
def _reading(topics: RunTopics) -> Iterator[dict[bytes, float]]:
    """Read the output as it is committed; give when each key was read last."""
    consumer = _consumer(topics.bootstrap, topics.output)
    read_ms: dict[bytes, float] = {}
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            messages = consumer.consume(1000, 0.1)
            now_ms = time.time() * 1000
            for message in messages:
                assert message.error() is None, message.error()
                read_ms[message.key() or b""] = now_ms

    thread = threading.Thread(target=read, name="latency", daemon=True)
    thread.start()
    try:
        yield read_ms
    finally:
        over.set()
        thread.join()
        consumer.close()


def _first_times_ms(bootstrap: str, topic: str) -> tuple[dict[bytes, int], int]:
    """Return the partition time at each key's first record, and the last time of all."""
    consumer = _consumer(bootstrap, topic, eof=True)
    waiting = set(range(PARTITIONS))
    time_ms = dict.fromkeys(waiting, 0)
    first_ms: dict[bytes, int] = {}
    while waiting:
        for message in consumer.consume(5000, 0.5):
            number, error = message.partition(), message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                waiting.discard(number)
                continue
            time_ms[number] = max(time_ms[number], message.timestamp()[1])
            first_ms.setdefault(message.key() or b"", time_ms[number])
    consumer.close()
    return first_ms, min(time_ms.values())


def _consumer(bootstrap: str, topic: str, *, eof: bool = False) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tailstream-bench-latency",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": eof,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    return consumer
