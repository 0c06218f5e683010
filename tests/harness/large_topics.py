"""Topics of a test whose input takes large records, and a producer of records as they are given."""

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.harness.topics import PARTITIONS, REQUEST_TIMEOUT_S, Topics, create_topics

RECORD_BYTES_MAX = 16 * 1024 * 1024
APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


@dataclass(frozen=True, slots=True)
class Given:
    """A record to send as it is; without a partition it goes where its key belongs."""

    value: bytes | None
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    partition: int | None = None


@contextlib.contextmanager
def topics_with_large_input(bootstrap: str, **config: str) -> Iterator[Topics]:
    """Give fresh topics; the input takes records of 16 MiB, and has this `config` as well."""
    topics = Topics(bootstrap, f"test_{uuid.uuid4().hex[:12]}")
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 4})
    settings = APPEND_TIME | {"max.message.bytes": str(RECORD_BYTES_MAX)} | config
    create_topics(bootstrap, [name for name in topics.all() if name != topics.input])
    try:
        made = admin.create_topics([NewTopic(topics.input, PARTITIONS, 1, config=settings)])
        made[topics.input].result(REQUEST_TIMEOUT_S)
        yield topics
    finally:
        for deleted in admin.delete_topics(topics.all()).values():
            deleted.result(REQUEST_TIMEOUT_S)


def send_all(topics: Topics, records: Iterable[Given], *, compression: str = "none") -> None:
    """Send the records in their order, and wait until the broker has them all."""
    failures: list[str] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": topics.bootstrap,
            "partitioner": "fnv1a_random",
            "enable.idempotence": True,
            "compression.type": compression,
            "message.max.bytes": 1_000_000_000,  # the broker is to judge
            "queue.buffering.max.kbytes": 1_000_000,
            "linger.ms": 0,
        }
    )
    for record in records:
        where = {} if record.partition is None else {"partition": record.partition}
        producer.produce(
            topics.input,
            record.value,
            record.key,
            headers=record.headers,
            on_delivery=delivered,
            **where,
        )
        producer.poll(0)
    left = producer.flush(60)
    assert (left, failures) == (0, []), (left, failures)
