"""The input topic, loaded before a worker starts, and the other topics of each run."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.bench.corpus import FIRST_MS, CorpusRecord, corpus
from tests.bench.kept import Expected
from tests.harness.topics import PARTITIONS, REQUEST_TIMEOUT_S, Topics, end_offsets

FLUSH_TIMEOUT_S = 120.0
STAGE_SPANS_MAX = 200_000


@dataclass(frozen=True)
class RunTopics(Topics):
    """The topics of one run: an output, decisions and a group of its own, over a shared input."""

    loaded: str

    @property
    def input(self) -> str:
        return self.loaded


@dataclass(frozen=True)
class Loaded:
    """What lies in the input topic. `first` are the records of the first 200,000 spans at most."""

    bootstrap: str
    input: str
    records: int
    value_bytes: int
    event_s: float
    expected: Expected
    first: list[CorpusRecord]


@contextlib.contextmanager
def preloaded(bootstrap: str, spans: int, *, seed: int, compression: str) -> Iterator[Loaded]:
    """Give a topic that holds the corpus; remove it at the end."""
    topic = f"bench_{uuid.uuid4().hex[:12]}_spans"
    _create(bootstrap, [topic], time="CreateTime")
    try:
        yield _load(bootstrap, topic, corpus(spans, seed=seed), compression)
    finally:
        _delete(bootstrap, [topic])


@contextlib.contextmanager
def topics_of_a_run(loaded: Loaded) -> Iterator[RunTopics]:
    """Give fresh topics for what a worker writes; remove them at the end."""
    topics = RunTopics(loaded.bootstrap, f"bench_{uuid.uuid4().hex[:12]}", loaded.input)
    own = [name for name in topics.all() if name != loaded.input]
    _create(loaded.bootstrap, own, time="LogAppendTime")
    try:
        yield topics
    finally:
        _delete(loaded.bootstrap, own)


def _load(bootstrap: str, topic: str, records: Iterator[CorpusRecord], compression: str) -> Loaded:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # or a retry would change the order
            "compression.type": compression,
            "linger.ms": 50,
            "batch.size": 1_000_000,
        }
    )
    expected, first = Expected(), list[CorpusRecord]()
    value_bytes = count = last_ms = 0
    for record in records:
        count += 1
        _produce(producer, topic, record)
        if expected.spans < STAGE_SPANS_MAX:
            first.append(record)
        expected.add(record.value)
        value_bytes += len(record.value)
        last_ms = record.timestamp_ms
    left = producer.flush(FLUSH_TIMEOUT_S)
    assert not left, f"{left} records were not delivered"
    stored = sum(end_offsets(bootstrap, topic).values())
    assert stored == count, f"{count} records were produced, {stored} are there"
    event_s = (last_ms - FIRST_MS) / 1000
    return Loaded(bootstrap, topic, count, value_bytes, event_s, expected, first)


def _produce(producer: Producer, topic: str, record: CorpusRecord) -> None:
    while True:
        try:
            producer.produce(
                topic,
                record.value,
                record.key,
                partition=record.partition,
                timestamp=record.timestamp_ms,
            )
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _create(bootstrap: str, names: list[str], *, time: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    # The corpus has the same timestamps whenever it is made: the broker must not find them too old,
    # and the worker wants decisions kept for as long as their spans.
    config = {"message.timestamp.type": time, "retention.ms": "-1"}
    new = [NewTopic(name, PARTITIONS, 1, config=config) for name in names]
    for created in admin.create_topics(new).values():
        created.result(REQUEST_TIMEOUT_S)


def _delete(bootstrap: str, names: list[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    for deleted in admin.delete_topics(names).values():
        deleted.result(REQUEST_TIMEOUT_S)
