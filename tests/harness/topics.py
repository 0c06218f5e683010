"""Topics of one test: made, watched, removed."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

PARTITIONS = 8
REQUEST_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 8.0
POLL_S = 0.1


@dataclass(frozen=True)
class Topics:
    """The topics and the group of one test, under a name that nobody else has."""

    bootstrap: str
    prefix: str

    @property
    def input(self) -> str:
        return f"{self.prefix}_spans"

    @property
    def output(self) -> str:
        return f"{self.prefix}_sampled"

    @property
    def decisions(self) -> str:
        return f"{self.prefix}_decisions"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}_dead_letters"

    @property
    def metrics(self) -> str:
        """Not among `all`: only tests of exemplars have it."""
        return f"{self.prefix}_metrics"

    @property
    def group(self) -> str:
        return f"{self.prefix}_group"

    def all(self) -> list[str]:
        return [self.input, self.output, self.decisions, self.dead_letters]


@contextlib.contextmanager
def topics_of_a_test(bootstrap: str) -> Iterator[Topics]:
    """Give four fresh topics of 8 partitions with LogAppendTime; remove them at the end."""
    topics = Topics(bootstrap, f"test_{uuid.uuid4().hex[:12]}")
    create_topics(bootstrap, topics.all())
    try:
        yield topics
    finally:
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
        for deleted in admin.delete_topics(topics.all()).values():
            deleted.result(REQUEST_TIMEOUT_S)


@contextlib.contextmanager
def metrics_topic_of(topics: Topics, *, partitions: int) -> Iterator[str]:
    """Give a fresh topic for metrics beside the others; remove it at the end."""
    create_topics(topics.bootstrap, [topics.metrics], partitions=partitions)
    try:
        yield topics.metrics
    finally:
        admin = AdminClient({"bootstrap.servers": topics.bootstrap, "log_level": 4})
        for deleted in admin.delete_topics([topics.metrics]).values():
            deleted.result(REQUEST_TIMEOUT_S)


def create_topics(bootstrap: str, names: list[str], *, partitions: int = PARTITIONS) -> None:
    """Create topics whose records get the broker's time."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    config = {"message.timestamp.type": "LogAppendTime"}
    new = [NewTopic(name, partitions, 1, config=config) for name in names]
    for created in admin.create_topics(new).values():
        created.result(REQUEST_TIMEOUT_S)


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Return the high watermark of each partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "tailstream-test-watermarks"})
    deadline_s = time.monotonic() + REQUEST_TIMEOUT_S
    try:
        while True:
            try:
                return _high_watermarks(consumer, topic)
            except KafkaException:
                # A topic that was just made has no leaders for a moment.
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)
    finally:
        consumer.close()


def _high_watermarks(consumer: Consumer, topic: str) -> dict[int, int]:
    partitions = consumer.list_topics(topic, REQUEST_TIMEOUT_S).topics[topic].partitions
    return {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), REQUEST_TIMEOUT_S)[1]
        for number in partitions
    }


def ends_of(admin: AdminClient, topic: str, *, stable: bool = False) -> dict[int, int]:
    """Return the end of each partition by one request; `stable`: below open transactions."""
    found = admin.list_topics(topic, REQUEST_TIMEOUT_S).topics[topic].partitions
    level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in found}
    answers = admin.list_offsets(asked, isolation_level=level, request_timeout=REQUEST_TIMEOUT_S)
    return {
        partition.partition: answer.result(REQUEST_TIMEOUT_S).offset
        for partition, answer in answers.items()
    }


def committed_offsets(topics: Topics, group: str) -> dict[int, int]:
    """Return a group's committed offsets on the input, of each partition that has one."""
    return GroupOffsets(topics.bootstrap, group, topics.input).committed()


class GroupOffsets:
    """The committed offsets of one group on one topic, asked for again and again.

    By a consumer that never joins: librdkafka's AdminClient dereferences the group that it has not
    when the coordinator moves (a segmentation fault in rd_kafka_handle_OffsetFetch, 2.16).
    """

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self._client = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
            "log_level": 0,
        }
        self._topic = topic
        self._consumer = Consumer(self._client)

    def committed(self) -> dict[int, int]:
        """Return the committed offset of each partition that has one."""
        deadline_s = time.monotonic() + REQUEST_TIMEOUT_S
        while True:
            try:
                found = self._consumer.committed(self._partitions(), ANSWER_TIMEOUT_S)
            except KafkaException:
                if time.monotonic() > deadline_s:
                    raise
                # One that outlived its broker may wait for minutes where a new one is answered.
                self._consumer.close()
                self._consumer = Consumer(self._client)
                time.sleep(POLL_S)
            else:
                return {one.partition: one.offset for one in found if one.offset >= 0}

    def _partitions(self) -> list[TopicPartition]:
        known = self._consumer.list_topics(self._topic, timeout=ANSWER_TIMEOUT_S)
        return [TopicPartition(self._topic, n) for n in known.topics[self._topic].partitions]


def wait_for(what: str, reached: Callable[[], bool], *, timeout_s: float) -> None:
    """Poll until it is reached. Raises TimeoutError that says what was waited for."""
    until_s = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(POLL_S)
