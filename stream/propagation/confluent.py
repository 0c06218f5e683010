"""confluent-kafka with trace context: a producer whose messages say which span made them."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Message, Producer
from opentelemetry import context as contexts

from stream.propagation.headers import AnyHeaders
from stream.propagation.sending import Sending
from stream.propagation.spans import KafkaSpans

DeliveryReport = Callable[[KafkaError | None, Message], None]


class TracedProducer:
    """A Producer, or SerializingProducer, that makes a span `send TOPIC` of every message.

    The span ends with the delivery report, so the producer must be polled or flushed, as it must
    for the report. All else that a producer does is done with `producer` itself.
    """

    def __init__(self, producer: Producer, spans: KafkaSpans) -> None:
        self.producer = producer
        self._spans = spans

    def produce(
        self,
        topic: str,
        value: Any = None,
        key: Any = None,
        partition: int = -1,
        on_delivery: DeliveryReport | None = None,
        timestamp: int = 0,
        headers: AnyHeaders = None,
    ) -> None:
        """Produce a message, as Producer.produce does, with the context in its headers.

        `headers` are not changed. `on_delivery` runs in the span's context. Raises what produce
        raises (BufferError, KafkaException), which the span then says.
        """
        sending = self._spans.start_send(
            topic, headers=headers, key=key, partition=partition, tombstone=value is None
        )
        try:
            self.producer.produce(
                topic,
                value=value,
                key=key,
                partition=partition,
                on_delivery=_reported(sending, on_delivery),
                timestamp=timestamp,
                headers=sending.headers,
            )
        except Exception as error:
            sending.raised(error)
            raise

    def poll(self, timeout_s: float = -1) -> int:
        """Serve delivery reports, as Producer.poll does; return how many."""
        return int(self.producer.poll(timeout_s))

    def flush(self, timeout_s: float = -1) -> int:
        """Wait until all is delivered, as Producer.flush does; return how many are not."""
        return int(self.producer.flush(timeout_s))


def _reported(sending: Sending, on_delivery: DeliveryReport | None) -> DeliveryReport:
    def report(error: KafkaError | None, message: Message) -> None:
        if error is None:
            sending.delivered(message.partition(), message.offset())
        else:
            sending.failed(error.name(), error.str())
        if on_delivery is not None:
            token = contexts.attach(sending.context)
            try:
                on_delivery(error, message)
            finally:
                contexts.detach(token)

    return report
