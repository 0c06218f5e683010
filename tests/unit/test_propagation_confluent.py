"""confluent-kafka's producer with trace context; without a broker, which never answers it."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer, SerializingProducer
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from stream.propagation import KafkaSpans
from stream.propagation.confluent import TracedProducer
from tests.harness.recorded import Recorded, attributes

NOBODY = {
    "bootstrap.servers": "127.0.0.1:1",
    "log_level": 0,
    "queue.buffering.max.messages": 1,
}


@pytest.fixture
def producer(recorded: Recorded) -> Iterator[TracedProducer]:
    spans = KafkaSpans(tracer_provider=recorded.provider)
    producer = TracedProducer(Producer(NOBODY), spans)
    yield producer
    give_up(producer)


def give_up(producer: TracedProducer) -> None:
    producer.producer.purge()
    assert producer.flush(10.0) == 0


def test_a_message_that_was_not_delivered_is_an_error_of_its_span(
    recorded: Recorded, producer: TracedProducer
) -> None:
    producer.produce("orders", b"an order", key="42")
    assert recorded.spans() == [], "nobody knows yet"

    give_up(producer)

    span = recorded.span()
    assert span.name == "send orders"
    assert attributes(span)["error.type"] == "_PURGE_QUEUE"
    assert attributes(span)["messaging.kafka.message.key"] == "42"
    assert "messaging.kafka.offset" not in attributes(span)
    assert span.status.status_code == StatusCode.ERROR
    assert span.status.description


def test_the_delivery_report_runs_in_the_span_that_sent_the_message(
    recorded: Recorded, producer: TracedProducer
) -> None:
    reports: list[Any] = []

    def on_delivery(error: KafkaError | None, message: Any) -> None:
        reports.append((error, message.topic(), trace.get_current_span()))

    producer.produce("orders", b"an order", on_delivery=on_delivery)
    give_up(producer)

    ((error, topic, current),) = reports
    assert (error.code(), topic) == (KafkaError._PURGE_QUEUE, "orders")
    assert current.get_span_context() == recorded.span().context
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_message_that_the_client_refuses_is_an_error_of_its_span(
    recorded: Recorded, producer: TracedProducer
) -> None:
    producer.produce("orders", b"an order")
    with pytest.raises(BufferError):
        producer.produce("orders", b"one too many")

    assert attributes(recorded.span())["error.type"] == "BufferError"
    assert recorded.span().status.status_code == StatusCode.ERROR


def test_a_message_that_was_interrupted_on_its_way_to_the_client_ends_its_span(
    recorded: Recorded,
) -> None:
    def interrupted(*_: Any) -> bytes:
        raise KeyboardInterrupt

    client = SerializingProducer({**NOBODY, "value.serializer": interrupted})
    producer = TracedProducer(client, KafkaSpans(tracer_provider=recorded.provider))
    with pytest.raises(KeyboardInterrupt):
        producer.produce("orders", b"an order")

    assert attributes(recorded.span())["error.type"] == "KeyboardInterrupt"


def test_the_callers_headers_are_its_own(producer: TracedProducer) -> None:
    headers = [("id", b"7")]

    producer.produce("orders", b"an order", headers=headers)

    assert headers == [("id", b"7")]
