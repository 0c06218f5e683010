"""A producer that says of each record when it is safe, for commands that are done at least once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from stream import clock
from stream.kafka.client_reports import ClientReports
from stream.kafka.commit import Produce
from stream.kafka.errors import GRANT, is_given_up, is_message_fault
from stream.kafka.load_producer import PARTITIONERS
from stream.kafka.topics import ClusterError

FULL_QUEUE_WAIT_S = 0.1
FLUSH_S = 1.0
METADATA_S = 10.0
REASON_WAIT_S = 1.0
MESSAGE_BYTES_MAX = 1_000_000_000
"""librdkafka's largest value."""


class RecordProducer:
    """Sends records to `topics`. One thread at a time; reports come inside its methods.

    `settings` are `client_settings.producer_settings`, `partitioner` is a name of
    `topics.partitioner`. Delivery is tried for ever: an outage is waited for. `in_flight_bytes` are
    the values under way.

    Raises:
        ClusterError: a property below `kafka.` that librdkafka does not take.
    """

    def __init__(
        self, settings: Mapping[str, Any], topics: Sequence[str], *, partitioner: str
    ) -> None:
        self.in_flight_bytes = 0
        self._topics = topics
        self._problem: KafkaError | None = None
        self._given_up: KafkaError | None = None
        self._suspects: list[_Sent] = []
        self._culprits: list[_Sent] = []
        try:
            self._producer = Producer(
                {
                    "message.timeout.ms": 0,
                    "queue.buffering.max.kbytes": 65_536,
                    **settings,
                    # How large a record may be is the broker's to say, and it looks at batches
                    # after compression; this client would refuse some that fit.
                    "message.max.bytes": MESSAGE_BYTES_MAX,
                    "partitioner": PARTITIONERS[partitioner],
                    "error_cb": ClientReports(),
                    "log_level": 0,
                }
            )
        except KafkaException as problem:
            raise ClusterError(
                f"kafka: {problem.args[0].str()}: use the producer's properties of librdkafka"
            ) from problem

    def send(
        self,
        record: Produce,
        *,
        delivered: Callable[[], None],
        refused: Callable[[], None],
        placed: Callable[[int, int], None] | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Queue a record; waits while the queue is full.

        One of the two is called, once, in `poll` or `flush`: `delivered` when all replicas have the
        record, `refused` when the broker does not take it as it is. `refused` may send another.
        `placed`, called just before `delivered`, gets its partition and offset.
        """
        self.in_flight_bytes += len(record.value)
        self._produce(_Sent(record, timestamp_ms, delivered, refused, placed))

    def poll(self, timeout_s: float) -> None:
        """Serve the reports; returns at the first ones, or after the timeout.

        Raises:
            KafkaException: a record failed for another reason than itself.
        """
        self._serve(self._producer.poll, timeout_s)
        self._settle_suspects()

    def flush(self, timeout_s: float) -> int:
        """Wait for what is queued; return how many are still under way. Raises as `poll`."""
        left = self._serve(self._producer.flush, timeout_s)
        self._settle_suspects()
        return left or len(self._producer)

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has now.

        Raises:
            KafkaException: no broker answers, or none knows the topic.
        """
        metadata = self._producer.list_topics(topic, METADATA_S).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        return len(metadata.partitions)

    def close(self) -> None:
        """Give up what is still queued, and disconnect."""
        self._producer.purge()
        self._producer.close()

    def _produce(self, sent: "_Sent", *, alone: bool = False) -> None:
        record = sent.record
        options: dict[str, Any] = {}
        if sent.timestamp_ms is not None:
            options["timestamp"] = sent.timestamp_ms
        if record.partition is not None:
            options["partition"] = record.partition

        def reported(error: KafkaError | None, message: Any) -> None:
            if error is None and sent.placed is not None:
                sent.placed(message.partition(), message.offset())
            self._reported(sent, error, alone=alone)

        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    headers=record.headers or None,
                    on_delivery=reported,
                    **options,
                )
            except BufferError:
                self._serve(self._producer.poll, FULL_QUEUE_WAIT_S)
            except KafkaException as problem:
                reported(problem.args[0], None)
                return
            else:
                return

    def _serve(self, wait: Callable[[float], int], timeout_s: float) -> int:
        try:
            return wait(timeout_s)
        except KafkaException as problem:  # what is fatal is told once, and of no record
            self._problem = self._problem or _with_topics(problem.args[0], self._topics)
            raise KafkaException(self._problem) from None

    def _reported(self, sent: "_Sent", error: KafkaError | None, *, alone: bool) -> None:
        if error is None:
            self.in_flight_bytes -= len(sent.record.value)
            sent.delivered()
        elif is_given_up(error):
            self._given_up = self._given_up or _with_topics(error, [sent.record.topic])
        elif not (is_message_fault(error) or error.code() == KafkaError.INVALID_TIMESTAMP):
            self._problem = self._problem or _with_topics(error, [sent.record.topic])
        else:
            (self._culprits if alone else self._suspects).append(sent)

    def _settle_suspects(self) -> None:
        """Try records that were refused one by one: the broker refuses them by whole batches."""
        while self._suspects or self._culprits:
            self._raise()
            for culprit in _emptied(self._culprits):
                self.in_flight_bytes -= len(culprit.record.value)
                culprit.refused()
            for suspect in _emptied(self._suspects):
                self._wait_until_empty()
                self._produce(suspect, alone=True)
                self._wait_until_empty()
        self._raise()

    def _wait_until_empty(self) -> None:
        while len(self._producer):
            self._serve(self._producer.flush, FLUSH_S)
            self._raise()

    def _raise(self) -> None:
        until_s = clock.monotonic_s() + REASON_WAIT_S
        while self._given_up and not self._problem and clock.monotonic_s() < until_s:
            self._serve(self._producer.poll, FULL_QUEUE_WAIT_S)  # raises the reason
        if problem := self._problem or self._given_up:
            raise KafkaException(problem)


@dataclass(frozen=True, slots=True)
class _Sent:
    record: Produce
    timestamp_ms: int | None
    delivered: Callable[[], None]
    refused: Callable[[], None]
    placed: Callable[[int, int], None] | None


def _emptied(waiting: list[_Sent]) -> list[_Sent]:
    taken = waiting[:]
    waiting.clear()
    return taken


def _with_topics(error: KafkaError, topics: Sequence[str]) -> KafkaError:
    """Return the error with the names of the topics, and what we lack on them.

    Whoever may write to no topic at all is refused as a producer (InitProducerId), by a code that
    speaks of the cluster.
    """
    denied = error.code() in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    )
    needs = f" (Write is needed: {GRANT})" if denied else ""
    named = f"topic{'s' * (len(topics) > 1)} {', '.join(map(repr, topics))}"
    return KafkaError(error.code(), f"{named}: {error.str()}{needs}", fatal=error.fatal())
