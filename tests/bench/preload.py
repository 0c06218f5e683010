"""The input topic, loaded before a worker starts, and the other topics of each run."""

import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.bench.corpus import FIRST_MS, REFERENCE, CorpusRecord, Shape, corpus
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
    """What lies in the input topic.

    `ends`: of each partition that is not empty. `first`: for the stages, the records of the first
    200,000 spans at most.
    """

    bootstrap: str
    input: str
    partitions: int
    shape: Shape
    compression: str
    records: int
    value_bytes: int
    event_s: float
    ends: dict[int, int]
    expected: Expected
    first: list[CorpusRecord]


@contextlib.contextmanager
def preloaded(
    bootstrap: str,
    spans: int,
    *,
    seed: int,
    compression: str,
    shape: Shape = REFERENCE,
    for_stages: bool = False,
) -> Iterator[Loaded]:
    """Give a topic that holds the corpus; remove it at the end."""
    with empty_topic(bootstrap, time="CreateTime") as topic:
        loading = Loading(bootstrap, topic, PARTITIONS, shape, compression)
        loaded = loading.load(corpus(spans, seed=seed, shape=shape), for_stages=for_stages)
        stored = end_offsets(bootstrap, topic)
        assert stored == loaded.ends, f"produced {loaded.ends}, stored {stored}"
        yield loaded


@contextlib.contextmanager
def empty_topic(bootstrap: str, *, time: str, partitions: int = PARTITIONS) -> Iterator[str]:
    """Give an input topic with this kind of timestamps; remove it at the end."""
    topic = f"bench_{uuid.uuid4().hex[:12]}_spans"
    _create(bootstrap, [topic], time=time, partitions=partitions)
    try:
        yield topic
    finally:
        _delete(bootstrap, [topic])


@contextlib.contextmanager
def topics_of_a_run(
    bootstrap: str, input_topic: str, *, partitions: int = PARTITIONS
) -> Iterator[RunTopics]:
    """Give fresh topics for what a sampler writes; remove them at the end."""
    topics = RunTopics(bootstrap, f"bench_{uuid.uuid4().hex[:12]}", input_topic)
    own = [name for name in topics.all() if name != input_topic]
    _create(bootstrap, own, time="LogAppendTime", partitions=partitions)
    try:
        yield topics
    finally:
        _delete(bootstrap, own)


@dataclass(frozen=True)
class Loading:
    """Where and how a corpus is to lie."""

    bootstrap: str
    topic: str
    partitions: int
    shape: Shape
    compression: str

    def load(
        self,
        records: Iterable[CorpusRecord],
        *,
        for_stages: bool = False,
        at_once: Callable[[], None] | None = None,
    ) -> Loaded:
        """Produce the records; with `at_once` in one transaction, it is called before the commit.

        So a worker that is ready and waits has all of them before it at one moment.
        """
        producer = _producer(self, transactional=at_once is not None)
        expected, first, ends = Expected(), list[CorpusRecord](), Counter[int]()
        value_bytes = last_ms = 0
        for record in records:
            produce(producer, self.topic, record)
            if for_stages and expected.spans < STAGE_SPANS_MAX:
                first.append(record)
            expected.add(record.value)
            ends[record.partition] += 1
            value_bytes += len(record.value)
            last_ms = record.timestamp_ms
        count = ends.total()
        left = producer.flush(FLUSH_TIMEOUT_S)
        assert not left, f"{left} records were not delivered"
        if at_once is not None:
            at_once()
            producer.commit_transaction(FLUSH_TIMEOUT_S)
            ends.update(list(ends))  # the marker of the commit has an offset too
        event_s = (last_ms - FIRST_MS) / 1000
        return Loaded(
            bootstrap=self.bootstrap,
            input=self.topic,
            partitions=self.partitions,
            shape=self.shape,
            compression=self.compression,
            records=count,
            value_bytes=value_bytes,
            event_s=event_s,
            ends=dict(ends),
            expected=expected,
            first=first,
        )


def produce(producer: Producer, topic: str, record: CorpusRecord) -> None:
    """Produce a record to its partition with its own time; wait where the queue is full."""
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


def _producer(loading: Loading, *, transactional: bool) -> Producer:
    settings: dict[str, str | int | bool] = {
        "bootstrap.servers": loading.bootstrap,
        "enable.idempotence": True,  # or a retry would change the order
        "compression.type": loading.compression,
        "linger.ms": 50,
        "batch.size": 1_000_000,
    }
    if not transactional:
        return Producer(settings)
    producer = Producer({**settings, "transactional.id": loading.topic})
    producer.init_transactions(FLUSH_TIMEOUT_S)
    producer.begin_transaction()
    return producer


def _create(bootstrap: str, names: list[str], *, time: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    # The corpus has the same timestamps whenever it is made: the broker must not find them too old,
    # and the worker wants decisions kept for as long as their spans.
    config = {"message.timestamp.type": time, "retention.ms": "-1"}
    new = [NewTopic(name, partitions, 1, config=config) for name in names]
    for created in admin.create_topics(new).values():
        created.result(REQUEST_TIMEOUT_S)


def _delete(bootstrap: str, names: list[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    for deleted in admin.delete_topics(names).values():
        deleted.result(REQUEST_TIMEOUT_S)
