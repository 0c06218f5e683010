"""The demo: a load, a worker, and what became of every span."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from stream.clock import monotonic_s, now_ms
from stream.demo.account import Account
from stream.demo.generator import Load
from stream.demo.live import Live
from stream.demo.pace import pace
from stream.demo.record import Record
from stream.demo.story import Story
from stream.demo.truth import Truth
from stream.demo.worker_process import WorkerProcess
from stream.kafka.load_producer import LoadProducer
from stream.kafka.topic_reader import TopicReader
from stream.sampling.decision import decode

DECISION_WAIT_S = 3
LATE_AFTER_S = 5.0
SETTLE_TIMEOUT_S = 60.0
READ_EVERY = 100
READ_WAIT_S = 0.2
NS_PER_MS = 1_000_000


class NotSettledError(Exception):
    """Not everything that was sent has been accounted for in time."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What to run: a cluster that has the four topics, the worker's settings, and a load.

    `why` says in words what each policy keeps, by its name.
    """

    kafka: Mapping[str, Any]
    settings: dict[str, Any]
    topics: Mapping[str, str]
    partitions: int
    traces: int
    traces_per_s: float
    seed: int
    check_topics: bool
    why: Mapping[str, str]
    end: str


def worker_settings(
    kafka: Mapping[str, Any], topics: Mapping[str, str], *, delivery: str, directory: Path
) -> dict[str, Any]:
    """Return the worker's settings as its file holds them; the policies are the defaults."""
    return {
        "kafka": dict(kafka),
        "worker": {"group": topics["input"], "delivery": delivery},
        "topics": dict(topics),
        "tail_sampling": {"decision_wait": f"{DECISION_WAIT_S}s"},
        "storage": {"directory": str(directory / "data")},
        "web": {"port": free_port()},
        "log": {"format": "json"},
    }


def run(demo: Demo, directory: Path, console: Console) -> Story:
    """Send the load, wait until every span is accounted for, and return the story.

    Raises:
        NotSettledError: that took too long.
        WorkerFailedError: the worker ended.
        ClusterError: the cluster cannot be used.
    """
    load = Load(
        seed=demo.seed,
        traces=demo.traces,
        traces_per_s=demo.traces_per_s,
        late_after_s=LATE_AFTER_S,
        start_ns=now_ms() * NS_PER_MS,
    )
    truth, account = Truth(), Account()
    names = [demo.topics[role] for role in ("output", "decisions", "dead_letters")]
    worker = WorkerProcess(demo.settings, directory, check_topics=demo.check_topics)
    with (
        LoadProducer(demo.kafka, demo.topics["input"]) as producer,
        TopicReader(demo.kafka, names) as reader,
        worker,
        Live(console, traces=demo.traces) as live,
    ):
        for _ in _sent(load, producer, truth):
            _read(reader, demo.topics, account, 0.0)
            live.show("sending", truth, account)
            worker.check()
        producer.flush(SETTLE_TIMEOUT_S)
        deadline_s = monotonic_s() + SETTLE_TIMEOUT_S
        while not account.is_settled(truth):
            _read(reader, demo.topics, account, READ_WAIT_S)
            live.show("deciding", truth, account)
            worker.check()
            if monotonic_s() > deadline_s:
                raise NotSettledError(f"not all accounted for in {SETTLE_TIMEOUT_S:g} s")
    return account.story(truth, partitions=demo.partitions, why=demo.why, end=demo.end)


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _sent(load: Load, producer: LoadProducer, truth: Truth) -> Iterator[Record]:
    """Send the load at its pace; yield now and then."""
    for number, record in enumerate(pace(load.records(), producer.poll)):
        producer.send(record.key, record.value)
        truth.add(record)
        if number % READ_EVERY == 0:
            yield record


def _read(
    reader: TopicReader, topics: Mapping[str, str], account: Account, timeout_s: float
) -> None:
    for record in reader.read(timeout_s):
        if record.topic == topics["output"]:
            account.add_output(record.key, record.value)
        elif record.topic == topics["decisions"]:
            account.add_decision(decode(record.value)[0])
        else:
            account.add_dead_letter(record.headers)
