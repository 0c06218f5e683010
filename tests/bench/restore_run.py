"""How long a worker takes to be back: `python -m tests.bench.restore_run --rates 2000,5000,10000`.

First the time to be ready with many decisions to restore, all before it or most of them after.
Then kill -9 in mid-window at an input rate, a restart at once, and the time until it reads again,
until it has passed where it died, and until it has caught up with the input, which never stopped.
Needs a Kafka (`TAILSTREAM_TEST_BOOTSTRAP`); prints Markdown.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from stream.kafka.log_reader import LogReader
from stream.kafka.log_state import Identity
from stream.sampling.decision import Clock, Decision, Trigger, Verdict, encode
from stream.worker import hints
from stream.worker.hints import Hints
from tests.bench.process_cpu import ProcessCpu
from tests.harness.load import Load
from tests.harness.oracle import Rules
from tests.harness.sender import Sender
from tests.harness.topics import PARTITIONS, Topics, topics_of_a_test, wait_for
from tests.harness.worker import WorkerProcess

WINDOW_S = 30
FED_S = 38  # before the kill: a full window, and some decided
AFTER_S = 40  # after it: the load goes on
LOOK_EVERY_S = 0.05
TIMEOUT_S = 180.0
SPAN_IDS = 15 * 8  # of one decision in ten

RULES = Rules(decision_wait_ms=WINDOW_S * 1000, slow_ms=1000, percentage=5)


class TimedWorker(WorkerProcess):
    """A worker, watched by its own metrics."""

    def total(self, name: str) -> float | None:
        """Return the sum of a gauge over the partitions, None before all have it."""
        found = self.samples(f"tailstream_{name}", "partition")
        return sum(value for _, value in found) if len(found) == PARTITIONS else None

    def cpu_s(self) -> float:
        """Return the CPU that the process has taken so far."""
        assert self._child is not None
        return ProcessCpu.of(self._child.pid).total_us / 1e6


@dataclass(frozen=True, slots=True)
class Back:
    """Seconds from the start of the process, and its CPU seconds, all threads.

    `sent` is the spans per second that came in before the kill: a busy machine sends fewer.
    """

    sent: int
    ready_s: float
    replayed_s: float
    caught_up_s: float
    cpu_s: float


def main() -> None:
    """Print both tables."""
    options = _options()
    if options.decisions:
        print("| decisions a partition | restored before ready | ready, s | all known, s | CPU s |")
        print("| ---: | --- | ---: | ---: | ---: |")
        for count, phases in ((0, 1), (options.decisions, 1), (options.decisions, 2)):
            ready_s, whole_s, cpu_s = restore(options.bootstrap, count, phases)
            what = ("all", "what the replay needs")[phases - 1] if count else "none"
            print(
                f"| {count:,} | {what} | {ready_s:.1f} | {whole_s:.1f} | {cpu_s:.1f} |", flush=True
            )
        print()
    if options.rates:
        print("| spans/s | member | ready, s | replayed, s | caught up, s | CPU s |")
        print("| ---: | --- | ---: | ---: | ---: | ---: |")
    for rate in options.rates:
        for static in (True, False) if options.dynamic else (True,):
            back = killed(options.bootstrap, rate, static=static)
            member = "static" if static else "dynamic, 6 s session"
            print(
                f"| {back.sent:,} | {member} | {back.ready_s:.1f} | {back.replayed_s:.1f} | "
                f"{back.caught_up_s:.1f} | {back.cpu_s:.1f} |",
                flush=True,
            )


def restore(bootstrap: str, decisions: int, phases: int) -> tuple[float, float, float]:
    """Return seconds to ready, seconds until all decisions are known, and CPU seconds by then."""
    with topics_of_a_test(bootstrap) as topics, tempfile.TemporaryDirectory() as home:
        write_decisions(topics, decisions, phases)
        with closing(TimedWorker(topics, RULES, Path(home), slot="worker-0")) as worker:
            worker.start()
            started_s = time.monotonic()
            worker.wait_until_ready()
            ready_s = time.monotonic() - started_s
            whole_s = _when(lambda: worker.total("restore_remaining_records") == 0, started_s)
            return ready_s, max(ready_s, whole_s), worker.cpu_s()


def killed(bootstrap: str, rate: int, *, static: bool) -> Back:
    """Feed a worker for more than a window, kill it, start it again."""
    duration_s = FED_S + AFTER_S
    load = Load(spans=rate * duration_s, duration_s=duration_s, late_after_s=WINDOW_S + 1)
    records = load.records()
    with topics_of_a_test(bootstrap) as topics, tempfile.TemporaryDirectory() as home:
        worker = TimedWorker(topics, RULES, Path(home), slot="worker-0", static=static)
        sender = Sender(bootstrap, topics.input, records)
        with closing(worker):
            worker.start()
            worker.wait_until_ready()
            sender.start()
            time.sleep(FED_S)
            sent = round(sender.share_sent * load.spans / FED_S)
            worker.kill()
            worker.start()
            started_s = time.monotonic()
            worker.wait_until_ready()
            ready_s = time.monotonic() - started_s
            replayed_s = _when(lambda: worker.total("replay_remaining_records") == 0, started_s)
            # Less than a second's worth of records behind: it keeps up.
            behind = rate // 10
            caught_up_s = _when(
                lambda: (lag := worker.total("lag_records")) is not None and lag < behind, started_s
            )
            back = Back(sent, ready_s, replayed_s, caught_up_s, worker.cpu_s())
            sender.stop()
            sender.finish()
            return back


def _when(reached: Callable[[], bool], started_s: float) -> float:
    while not reached():
        if time.monotonic() > started_s + TIMEOUT_S:
            raise TimeoutError(f"not within {TIMEOUT_S:.0f} s")
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - started_s


def write_decisions(
    topics: Topics, count: int, phases: int, partitions: Sequence[int] = range(PARTITIONS)
) -> list[tuple[int, bytes, bool]]:
    """Write decisions as a predecessor left them, and its last commit.

    `count` in each of `partitions`, the first of ten kept. Returns each as partition, trace id,
    kept.
    """
    written: list[tuple[int, bytes, bool]] = []
    client: dict[str, object] = {"bootstrap.servers": topics.bootstrap, "log_level": 4}
    identity = _identity(topics, client)
    producer = Producer({**client, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    rng = Random(1)
    time_ms = int(time.time() * 1000) - 60_000
    for index in range(count):
        for partition in partitions:
            trace_id, kept = rng.randbytes(16), index % 10 == 0
            written.append((partition, trace_id, kept))
            value = _decision(trace_id, identity, time_ms, kept=kept)
            producer.produce(topics.decisions, value, b"", partition)
        producer.poll(0)
    producer.flush(60)
    offsets = [
        TopicPartition(topics.input, partition, 0, _hints(identity, count, phases, time_ms))
        for partition in partitions
    ]
    with closing(Consumer({**client, "group.id": topics.group})) as consumer:
        consumer.commit(offsets=offsets, asynchronous=False)
    return written


def _identity(topics: Topics, client: dict[str, object]) -> Identity:
    """Return what decisions and hints name, as soon as the broker knows of the new topic."""
    found: list[Identity] = []

    def known() -> bool:
        reader = LogReader(
            client,
            group=topics.group,
            topic=topics.input,
            decisions_topic=topics.decisions,
            needs_topic_id=True,
        )
        with suppress(KafkaException), closing(reader):
            found.append(reader.identity())
        return bool(found)

    wait_for("the input topic", known, timeout_s=10)
    return found[0]


def _decision(trace_id: bytes, identity: Identity, time_ms: int, *, kept: bool) -> bytes:
    decision = Decision(
        trace_id,
        Verdict.SAMPLED if kept else Verdict.NOT_SAMPLED,
        "errors" if kept else "",
        Trigger.DECISION_WAIT,
        threshold=0,
        spans=15,
        errors=0,
        duration_us=100_000,
        complete=True,
        time_ms=time_ms,
        clock=Clock.LOG,
        upto=0,
        offsets=[1_000, 1_003, 1_007],
        span_ids=bytes(SPAN_IDS) if kept else b"",
    )
    return encode(decision, config="bench", topic_id=identity.topic_id, group=identity.group)


def _hints(identity: Identity, count: int, phases: int, time_ms: int) -> str:
    replay_from = 0 if phases == 1 else count
    found = Hints(
        offset=0,
        time_ms=time_ms,
        position=0,
        decisions_next=count,
        decisions_from=0,
        replay_from=replay_from,
        dead_letters_upto=0,
    )
    return hints.encode(found, identity)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    bootstrap = os.environ.get("TAILSTREAM_TEST_BOOTSTRAP", "localhost:9092")
    parser.add_argument("--bootstrap", default=bootstrap)
    parser.add_argument(
        "--rates",
        type=lambda text: [int(rate) for rate in text.split(",") if rate],
        default=[2_000, 5_000, 10_000],
        help="spans a second, separated by commas",
    )
    parser.add_argument("--decisions", type=int, default=100_000, help="a partition; 0: not")
    parser.add_argument("--dynamic", action="store_true", help="also without a static member")
    return parser.parse_args()


if __name__ == "__main__":
    main()
