"""A live feed: the corpus, sent at one rate by a process of its own, so that nothing else slows it.

`python -m tests.bench.feed` sends and prints what it did; `feeding` runs that.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from confluent_kafka import Producer

from tests.bench.corpus import SEED, corpus
from tests.bench.preload import FLUSH_TIMEOUT_S, produce
from tests.harness.repository import ROOT

TICK_S = 0.005


@dataclass(frozen=True, slots=True)
class Feed:
    """What is sent, about: whole traces, `spans` of them at `rate` spans a second."""

    bootstrap: str
    topic: str
    rate: int
    spans: int
    seed: int = SEED


@dataclass(frozen=True, slots=True)
class Fed:
    """What was sent: `late_ms` is how far behind its time a record was at the worst."""

    spans: int
    seconds: float
    late_ms: float


@contextlib.contextmanager
def feeding(feed: Feed) -> Iterator[Callable[[], Fed | None]]:
    """Start the feed; give what returns its outcome, None while it runs."""
    command = [sys.executable, "-m", "tests.bench.feed"]
    for name, value in asdict(feed).items():
        command += [f"--{name}", str(value)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def outcome() -> Fed | None:
        if process.poll() is None:
            return None
        assert process.returncode == 0, f"the feed ended with {process.returncode}"
        assert process.stdout is not None
        return Fed(**json.loads(process.stdout.read()))

    try:
        yield outcome
    finally:
        process.kill()
        process.wait()


def _send(feed: Feed) -> Fed:
    records = list(corpus(feed.spans, seed=feed.seed))
    producer = Producer(
        {"bootstrap.servers": feed.bootstrap, "enable.idempotence": True, "linger.ms": 5}
    )
    producer.list_topics(feed.topic)  # connected before the clock runs
    began_s, sent, late_s = time.monotonic(), 0, 0.0
    for record in records:
        due_s = began_s + sent / feed.rate
        while (ahead_s := due_s - time.monotonic()) > 0:
            producer.poll(0)
            time.sleep(max(ahead_s, TICK_S))
        late_s = max(late_s, -ahead_s)
        produce(producer, feed.topic, record)
        sent += record.spans
    seconds = time.monotonic() - began_s
    left = producer.flush(FLUSH_TIMEOUT_S)
    assert not left, f"{left} records were not delivered"
    return Fed(sent, round(seconds, 3), round(late_s * 1000, 1))


def _arguments() -> Feed:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.feed", description=__doc__)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    for name in ("rate", "spans", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return Feed(**vars(parser.parse_args()))


if __name__ == "__main__":
    print(json.dumps(asdict(_send(_arguments()))))
