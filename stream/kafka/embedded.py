"""A broker inside this process: librdkafka's mock cluster, for `tailstream demo` and quick tests.

It speaks Kafka's protocol on a local port, so that ordinary clients of any process use it, from a
thread of librdkafka's. What it is not (seen with librdkafka 2.16):

* no admin API: a topic exists once a producer asked for it, with `PARTITIONS` partitions;
* nothing on a disk, one broker, no security; all is gone when it is closed;
* a partition keeps its newest 5 MiB (as sent: compressed) and drops older records silently;
* record timestamps are the producer's (`CreateTime`);
* transactions are a shell: offsets committed in one are accepted but not stored, and aborted
  records are visible. It can say nothing about exactly once.
"""

from confluent_kafka import KafkaException, Producer

from stream.kafka.closing import Closing

PARTITIONS = 4
PARTITION_BYTES_MAX = 5 * 1024 * 1024
CALL_TIMEOUT_S = 10.0


class EmbeddedBroker(Closing):
    """The broker runs from construction to `close`; as a context manager it closes itself.

    `address` is for `bootstrap.servers`.

    Raises:
        RuntimeError: it did not start.
    """

    def __init__(self) -> None:
        # The client that starts the mock cluster owns it. Its log would only tell of the mock.
        self._owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        try:
            brokers = self._owner.list_topics(timeout=CALL_TIMEOUT_S).brokers.values()
        except KafkaException as problem:
            raise RuntimeError(f"the embedded broker did not start: {problem}") from problem
        self.address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def create_topic(self, topic: str) -> int:
        """Make a topic exist, and return how many partitions it has.

        Raises:
            RuntimeError: the broker does not answer, as after `close`.
        """
        try:
            found = self._owner.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic]
        except KafkaException as problem:
            raise RuntimeError(f"topic {topic!r}: {problem}") from problem
        assert found.error is None, f"the embedded broker takes any topic: {found.error}"
        return len(found.partitions)

    def close(self) -> None:
        """Stop the broker; clients that are still connected see it go away."""
        self._owner.close()
