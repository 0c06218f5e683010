"""The span of a poll; messages of every client; no SDK."""

from typing import Any

import pytest
from aiokafka import ConsumerRecord
from confluent_kafka import KafkaError
from confluent_kafka import Message as ConfluentMessage
from faust import Event
from faust.types import Message as FaustMessage
from opentelemetry import trace
from opentelemetry.trace import NoOpTracerProvider, SpanKind, StatusCode

from stream.clock import now_ms
from stream.propagation import KafkaSpans, Polled, Received, extract, inject
from tests.harness.recorded import Recorded, attributes, ids_in, linked

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
CREATED = [("traceparent", TRACEPARENT)]

KAFKA = {"messaging.system": "kafka", "messaging.destination.name": "orders"}
PROCESSED = {**KAFKA, "messaging.operation.name": "process", "messaging.operation.type": "process"}
POLLED = {**KAFKA, "messaging.operation.name": "poll", "messaging.operation.type": "receive"}


def kafka_spans(recorded: Recorded, **options: Any) -> KafkaSpans:
    return KafkaSpans(tracer_provider=recorded.provider, **options)


def a_message(offset: int = 7, **options: Any) -> Received:
    return Received(**{"topic": "orders", "partition": 3, "offset": offset, **options})


def test_a_poll_that_got_messages_is_a_span_over_the_call(recorded: Recorded) -> None:
    before_ms = now_ms()
    with kafka_spans(recorded, group="shipping").poll() as polled:
        batch = polled.got([a_message(7, headers=CREATED), a_message(8)])
        assert not trace.get_current_span().is_recording()

    span = recorded.span()
    assert len(batch) == 2
    assert (span.name, span.kind, span.links) == ("poll orders", SpanKind.CLIENT, ())
    assert attributes(span) == {
        **POLLED,
        "messaging.batch.message_count": 2,
        "messaging.consumer.group.name": "shipping",
        "messaging.destination.partition.id": "3",
    }
    assert before_ms * 1_000_000 <= (span.start_time or 0) <= (span.end_time or 0)


def test_by_option_a_poll_links_to_what_it_got(recorded: Recorded) -> None:
    with kafka_spans(recorded).poll(links=True) as polled:
        polled.got({"a partition": [a_message(7, headers=CREATED), a_message(8)]})

    assert linked(recorded.span()) == [ids_in(TRACEPARENT)]
    assert attributes(recorded.span().links[0])["messaging.kafka.offset"] == 7


def test_a_poll_for_one_message_counts_none(recorded: Recorded) -> None:
    with kafka_spans(recorded).poll() as polled:
        polled.got(a_message(key="42"))

    assert attributes(recorded.span()) == {
        **POLLED,
        "messaging.destination.partition.id": "3",
        "messaging.kafka.message.key": "42",
        "messaging.kafka.offset": 7,
    }


@pytest.mark.parametrize("nothing", [None, [], {}])
def test_a_poll_that_got_nothing_leaves_no_span(recorded: Recorded, nothing: Any) -> None:
    with kafka_spans(recorded).poll("orders") as polled:
        assert polled.got(nothing) is nothing

    assert recorded.spans() == []


def test_a_poll_that_failed_leaves_one(recorded: Recorded) -> None:
    with pytest.raises(OSError, match="gone"), kafka_spans(recorded).poll("orders"):
        raise OSError("gone")

    assert recorded.span().name == "poll orders"
    assert attributes(recorded.span()) == {**POLLED, "error.type": "OSError"}
    assert recorded.span().status.status_code == StatusCode.ERROR


def test_a_poll_that_was_interrupted_leaves_a_span_if_it_had_got_something(
    recorded: Recorded,
) -> None:
    spans = kafka_spans(recorded)
    with pytest.raises(KeyboardInterrupt), spans.poll("orders"):
        raise KeyboardInterrupt
    assert recorded.spans() == []

    def interrupted(polled: Polled) -> None:
        polled.got(a_message())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), spans.poll() as polled:
        interrupted(polled)
    assert attributes(recorded.span())["error.type"] == "KeyboardInterrupt"


# Every client's messages.


def a_confluent_message() -> Any:
    return ConfluentMessage(
        topic="orders", partition=3, offset=7, key=b"42", value=None, headers=CREATED
    )


def an_aiokafka_record() -> Any:
    return ConsumerRecord(
        topic="orders",
        partition=3,
        offset=7,
        timestamp=0,
        timestamp_type=0,
        key=b"42",
        value=None,
        checksum=None,
        serialized_key_size=2,
        serialized_value_size=-1,
        headers=CREATED,
    )


def a_faust_event() -> Any:
    message = FaustMessage(
        topic="orders",
        partition=3,
        offset=7,
        timestamp=0.0,
        timestamp_type=0,
        headers=CREATED,
        key=b"42",
        value=None,
        checksum=None,
    )
    return Event(None, {"decoded": 42}, None, message.headers, message)


@pytest.mark.parametrize("make", [a_confluent_message, an_aiokafka_record, a_faust_event])
def test_a_message_of_every_client_says_the_same(recorded: Recorded, make: Any) -> None:
    spans = kafka_spans(recorded)
    with spans.process(make()):
        pass
    with spans.process_batch([make()]):
        pass

    one, batch = recorded.spans()
    assert linked(one) == linked(batch) == [ids_in(TRACEPARENT)]
    assert attributes(one) == {
        **PROCESSED,
        "messaging.destination.partition.id": "3",
        "messaging.kafka.message.key": "42",
        "messaging.kafka.message.tombstone": True,
        "messaging.kafka.offset": 7,
    }


def test_a_faust_events_dict_of_headers_hides_no_duplicate(recorded: Recorded) -> None:
    event = a_faust_event()
    event.message.headers = [*CREATED, ("traceparent", OTHER)]

    with kafka_spans(recorded).process(event):
        pass

    assert recorded.span().links == ()


def test_what_confluent_kafka_hands_over_for_an_error_is_no_message(recorded: Recorded) -> None:
    error = ConfluentMessage(topic="orders", partition=3, error=KafkaError(KafkaError._TRANSPORT))
    spans = kafka_spans(recorded)

    with spans.process_batch([error, a_confluent_message()]), spans.poll() as polled:
        polled.got(error)

    assert attributes(recorded.span())["messaging.batch.message_count"] == 1


# Without an SDK.


def test_without_a_tracer_nothing_is_recorded_and_the_context_passes() -> None:
    spans = KafkaSpans(tracer_provider=NoOpTracerProvider())
    message = a_message(headers=CREATED)

    with spans.send("orders", context=extract(CREATED)) as sending:
        pass
    assert sending.headers == CREATED
    with spans.process(message, parent=True):
        assert inject() == CREATED
    with spans.process(message), spans.process_batch([message]), spans.poll() as polled:
        polled.got([message])
    with pytest.raises(ValueError, match="bad"), spans.process(message):
        raise ValueError("bad")
    spans.start_send("orders").failed("x", "y")
