"""A producer of load: many records to one topic, and what became of them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.kafka.closing import Closing
from stream.kafka.topics import ClusterError

PARTITIONERS = {"fnv1a": "fnv1a_random", "murmur2": "murmur2_random"}
"""What `topics.partitioner` may name -> librdkafka's `partitioner` that agrees for every key."""

SERVE_EVERY = 256
FULL_QUEUE_WAIT_S = 0.1

DEFAULTS: Mapping[str, Any] = {
    "enable.idempotence": True,
    "compression.type": "lz4",
    "linger.ms": 20,
    "batch.size": 500_000,
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 65_536,
    # Delivery fails, and says so, well before a person gives up waiting.
    "message.timeout.ms": 30_000,
    "delivery.report.only.error": True,
    # Errors come through error_cb and the delivery reports.
    "log_level": 0,
}


class LoadProducer(Closing):
    """Sends records to one topic. Used from one thread.

    `settings` are librdkafka's producer properties, over `DEFAULTS`; `partitioner` is a key of
    `PARTITIONERS`. `failures` counts the records that were refused, by the error's name.

    Raises:
        ClusterError: a property or partitioner that does not exist.
    """

    def __init__(
        self, settings: Mapping[str, Any], topic: str, *, partitioner: str = "fnv1a"
    ) -> None:
        if partitioner not in PARTITIONERS:
            known = ", ".join(PARTITIONERS)
            raise ClusterError(f"topics.partitioner: {partitioner!r}: use one of {known}")
        self.topic = topic
        self.failures: Counter[str] = Counter()
        self.problem: str | None = None
        self._sent = 0
        self._address = settings.get("bootstrap.servers", "")
        chosen = {"partitioner": PARTITIONERS[partitioner], "error_cb": self._on_error}
        try:
            self._producer = Producer({**DEFAULTS, **settings, **chosen})
        except KafkaException as problem:
            raise ClusterError(
                f"kafka: {problem.args[0].str()}: use the producer's properties of librdkafka"
            ) from problem

    @property
    def delivered(self) -> int:
        """Records that the broker has acknowledged so far."""
        return self._sent - self.failures.total() - len(self._producer)

    def check(self, timeout_s: float = 10.0) -> int:
        """Return how many partitions the topic has; does not create it.

        Raises:
            ClusterError: no broker answers, or the topic does not exist.
        """
        try:
            topics = self._producer.list_topics(timeout=timeout_s).topics
        except KafkaException as problem:
            self._producer.poll(0)
            reason = self.problem or problem.args[0].str()
            raise ClusterError(
                f"kafka.bootstrap.servers: {self._address}: no broker answers ({reason}): "
                "is the address right, and the broker running?"
            ) from problem
        found = topics.get(self.topic)
        if found is None:
            raise ClusterError(
                f"topics.input: {self.topic}: the cluster has no such topic: "
                "`tailstream topics --create` makes it"
            )
        if found.error is not None:
            raise ClusterError(f"topics.input: {self.topic}: {found.error.str()}")
        return len(found.partitions)

    def send(self, key: bytes, value: bytes) -> None:
        """Queue a record; waits while the queue is full.

        Raises:
            ClusterError: the producer cannot go on, whatever the record.
        """
        while True:
            try:
                self._producer.produce(self.topic, value, key, on_delivery=self._on_delivery)
                break
            except BufferError:
                self.poll(FULL_QUEUE_WAIT_S)
            except KafkaException as problem:
                error = problem.args[0]
                if error.fatal():
                    raise ClusterError(f"topic {self.topic}: {error.str()}") from problem
                self.failures[error.name()] += 1
                break
        self._sent += 1
        if self._sent % SERVE_EVERY == 0:
            self.poll(0)

    def poll(self, timeout_s: float) -> None:
        """Serve the delivery reports; returns at the first ones, or after the timeout."""
        self._producer.poll(timeout_s)

    def flush(self, timeout_s: float) -> int:
        """Wait for what is queued; return how many records are still not settled."""
        return int(self._producer.flush(timeout_s))

    def close(self) -> None:
        """Give up what is still queued, and disconnect."""
        self._producer.purge()
        self._producer.close()

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failures[error.name()] += 1

    def _on_error(self, error: KafkaError) -> None:
        self.problem = error.str()
