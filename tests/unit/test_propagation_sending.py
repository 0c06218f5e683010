"""The span of sending a message, by the messaging conventions of version 1.44."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import RecordMetadata
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from stream.propagation import KafkaSpans, Sending
from stream.propagation.aiokafka import TracedProducer
from stream.propagation.futures import end_with
from tests.harness.recorded import Recorded, attributes, ids, ids_in, linked

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
CREATED = [("traceparent", TRACEPARENT)]

KAFKA = {"messaging.system": "kafka", "messaging.destination.name": "orders"}
SENT = {**KAFKA, "messaging.operation.name": "send", "messaging.operation.type": "send"}


def kafka_spans(recorded: Recorded, **options: Any) -> KafkaSpans:
    return KafkaSpans(tracer_provider=recorded.provider, **options)


def test_the_span_that_sends_a_message_is_its_creation_context(recorded: Recorded) -> None:
    theirs = [("id", b"7")]
    spans = kafka_spans(recorded, bootstrap_servers="kafka:9092", client_id="shop", group="none")

    with (
        recorded.tracer.start_as_current_span("checkout"),
        spans.send("orders", headers=theirs, key="42", partition=3) as sending,
    ):
        assert trace.get_current_span() is sending.span

    send, checkout = recorded.spans()
    assert (send.name, send.kind, send.links) == ("send orders", SpanKind.PRODUCER, ())
    assert send.parent == checkout.context
    assert attributes(send) == {
        **SENT,
        "messaging.client.id": "shop",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.message.key": "42",
        "server.address": "kafka",
        "server.port": 9092,
    }
    assert sending.headers[0] == ("id", b"7")
    assert ids_in(dict(sending.headers)["traceparent"]) == ids(send.context)
    assert theirs == [("id", b"7")]


def test_a_message_that_has_a_creation_context_keeps_it_and_the_sending_links_to_it(
    recorded: Recorded,
) -> None:
    theirs = [("Traceparent", TRACEPARENT), ("tracestate", b"foo@=1"), ("baggage", b"a=b")]

    with kafka_spans(recorded).send("orders", headers=theirs) as sending:
        pass

    span = recorded.span()
    assert sending.headers == theirs
    assert (span.name, span.kind) == ("send orders", SpanKind.CLIENT)
    assert linked(span) == [ids_in(TRACEPARENT)]
    assert span.parent is None


def test_a_message_sent_again_has_the_context_of_its_first_sending(recorded: Recorded) -> None:
    spans = kafka_spans(recorded)

    with spans.send("orders") as first:
        pass
    with spans.send("orders", headers=first.headers) as second:
        pass

    assert second.headers == first.headers
    assert len(second.headers) == 1
    assert linked(recorded.spans()[1]) == [ids(first.span.get_span_context())]


@pytest.mark.parametrize(
    "theirs", [[("traceparent", b"broken")], [*CREATED, ("Traceparent", OTHER)]]
)
def test_a_broken_creation_context_is_none(recorded: Recorded, theirs: Any) -> None:
    with kafka_spans(recorded).send("orders", headers=theirs) as sending:
        pass

    span = recorded.span()
    assert (span.kind, span.links) == (SpanKind.PRODUCER, ())
    assert [ids_in(value) for _, value in sending.headers] == [ids(span.context)]


def test_a_tombstone_is_said_only_if_it_is_one(recorded: Recorded) -> None:
    spans = kafka_spans(recorded)
    with spans.send("orders", tombstone=True):
        pass
    with spans.send("orders", tombstone=False):
        pass

    assert [attributes(span) for span in recorded.spans()] == [
        {**SENT, "messaging.kafka.message.tombstone": True},
        SENT,
    ]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("42", "42"),
        (b"42", "42"),
        ("\N{EURO SIGN}".encode(), "\N{EURO SIGN}"),
        (bytearray(b"42"), "42"),
        (b"", ""),
        (None, None),
        (b"\xff\x00", None),
        (b"\x00\x00\x00\x07", None),
        (42, None),
        ({"id": 42}, None),
    ],
)
def test_a_key_is_said_if_it_has_one_string_form(
    recorded: Recorded, key: Any, text: str | None
) -> None:
    with kafka_spans(recorded).send("orders", key=key):
        pass

    assert attributes(recorded.span()).get("messaging.kafka.message.key") == text


@pytest.mark.parametrize(
    ("servers", "address", "port"),
    [
        ("kafka:9092", "kafka", 9092),
        ("kafka", "kafka", None),
        ("[::1]:9092", "::1", 9092),
        ("kafka://kafka:9092", "kafka", 9092),
        ("kafka://one:9092;kafka://two:9092", None, None),
        ("one:9092,two:9092", None, None),
        (None, None, None),
    ],
)
def test_the_broker_is_said_where_only_one_is_named(
    recorded: Recorded, servers: str | None, address: str | None, port: int | None
) -> None:
    with kafka_spans(recorded, bootstrap_servers=servers).send("orders"):
        pass

    said = attributes(recorded.span())
    assert (said.get("server.address"), said.get("server.port")) == (address, port)


def test_a_delivery_ends_the_span_and_says_where_the_message_lies(recorded: Recorded) -> None:
    sending = kafka_spans(recorded).start_send("orders")
    assert recorded.spans() == []

    sending.delivered(partition=3, offset=7)

    assert attributes(recorded.span()) == {
        **SENT,
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 7,
    }
    assert recorded.span().status.status_code == StatusCode.UNSET


def test_a_failed_delivery_ends_the_span_and_says_why(recorded: Recorded) -> None:
    kafka_spans(recorded).start_send("orders").failed("_MSG_TIMED_OUT", "Local: timed out")

    span = recorded.span()
    assert attributes(span) == {**SENT, "error.type": "_MSG_TIMED_OUT"}
    assert (span.status.status_code, span.status.description) == (
        StatusCode.ERROR,
        "Local: timed out",
    )


# Clients that promise a delivery by a future.


async def outcome(sending: Sending, **how: Any) -> None:
    """Let the promised delivery turn out so."""
    promised: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    end_with(promised, sending)
    if "exception" in how:
        promised.set_exception(how["exception"])
    elif "result" in how:
        promised.set_result(how["result"])
    else:
        promised.cancel()
    await asyncio.wait([promised])
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            {"result": RecordMetadata("orders", 3, None, 7, None, 0, 0)},
            {"messaging.destination.partition.id": "3", "messaging.kafka.offset": 7},
        ),
        ({"exception": KafkaTimeoutError()}, {"error.type": "aiokafka.errors.KafkaTimeoutError"}),
        ({}, {"error.type": "cancelled"}),
        ({"result": None}, {}),
    ],
    ids=["delivered", "failed", "cancelled", "not acknowledged"],
)
def test_the_end_of_a_promised_delivery_ends_the_span(
    recorded: Recorded, how: dict[str, Any], said: dict[str, Any]
) -> None:
    asyncio.run(outcome(kafka_spans(recorded).start_send("orders"), **how))

    assert attributes(recorded.span()) == {**SENT, **said}
    failed = recorded.span().status.status_code == StatusCode.ERROR
    assert failed == ("error.type" in said)


class Promising(AIOKafkaProducer):  # type: ignore[misc]  # the client is untyped
    """A client that promises a delivery, of which the test says what came."""

    def __init__(self) -> None:
        super().__init__()
        self.promised: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def send(self, *_: Any, **__: Any) -> "asyncio.Future[Any]":
        return self.promised


def test_a_failed_delivery_that_nobody_asks_for_is_told_by_asyncio_as_without_a_span(
    recorded: Recorded,
) -> None:
    told: list[dict[str, Any]] = []

    async def unasked() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
        client = Promising()
        await TracedProducer(client, kafka_spans(recorded)).send("orders", b"an order")
        client.promised.set_exception(KafkaTimeoutError())
        await client.stop()
        await asyncio.sleep(0)

    asyncio.run(unasked())
    gc.collect()

    assert attributes(recorded.span())["error.type"] == "aiokafka.errors.KafkaTimeoutError"
    assert [type(what["exception"]) for what in told] == [KafkaTimeoutError]


def test_a_message_that_an_asyncio_client_refuses_is_an_error_of_its_span(
    recorded: Recorded,
) -> None:
    async def refused() -> None:
        client = AIOKafkaProducer()
        try:
            await TracedProducer(client, kafka_spans(recorded)).send("orders")
        finally:
            await client.stop()

    with pytest.raises(AssertionError, match="key or value"):
        asyncio.run(refused())

    assert attributes(recorded.span())["error.type"] == "AssertionError"
