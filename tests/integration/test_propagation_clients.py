"""Context from every Kafka client to every other, over a real broker."""

import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from tests.harness.kafka_clients import (
    Aiokafka,
    Client,
    Confluent,
    Faust,
    Order,
    Place,
    headers_on_the_wire,
    read,
)
from tests.harness.raw_produce import produce_raw
from tests.harness.recorded import Recorded, attributes, ids, ids_in, linked
from tests.harness.topics import REQUEST_TIMEOUT_S, create_topics

pytestmark = pytest.mark.integration

CLIENTS: list[Client] = [Confluent(), Aiokafka(), Faust()]
each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: type(client).__name__)


@pytest.fixture
def place(kafka: str, recorded: Recorded) -> Iterator[Place]:
    name = f"context_{uuid.uuid4().hex[:12]}"
    create_topics(kafka, [name], partitions=1)
    yield Place(kafka, name, recorded)
    admin = AdminClient({"bootstrap.servers": kafka})
    for deleted in admin.delete_topics([name]).values():
        deleted.result(REQUEST_TIMEOUT_S)


@pytest.fixture
def sent(place: Place) -> list[tuple[str, str]]:
    """Send a message with each client, from within a span; return the ids of the send spans."""
    for number, client in enumerate(CLIENTS):
        orders = [Order(f"order {number}".encode(), b"an order", [("id", b"7")])]
        with place.recorded.tracer.start_as_current_span("checkout"):
            client.send(place, orders)
    return [ids(span.context) for span in place.recorded.named(f"send {place.topic}")]


def assert_no_orphan(recorded: Recorded) -> None:
    known = {span.context.span_id for span in recorded.spans()}
    assert [
        span.name for span in recorded.spans() if span.parent and span.parent.span_id not in known
    ] == []


def test_a_message_names_the_span_that_sent_it_and_the_span_where_it_lies(
    place: Place, sent: list[tuple[str, str]]
) -> None:
    messages = read(place.bootstrap, place.topic, len(CLIENTS))

    for number, message in enumerate(messages):
        headers = headers_on_the_wire(message)
        assert [name for name, _ in headers] == ["id", "traceparent"]
        assert ids_in(dict(headers)["traceparent"]) == sent[number]
        said = attributes(place.recorded.named(f"send {place.topic}")[number])
        assert said["messaging.kafka.message.key"] == f"order {number}"
        assert said["messaging.kafka.offset"] == number == message.offset()
        assert said["messaging.destination.partition.id"] == "0"
    assert_no_orphan(place.recorded)


@each_client
def test_a_message_of_every_client_is_linked_to_where_it_is_processed(
    place: Place,
    sent: list[tuple[str, str]],
    client: Client,
) -> None:
    client.process(place, len(CLIENTS), parent=False)

    processed = place.recorded.named(f"process {place.topic}")
    assert [linked(span) for span in processed] == [[span] for span in sent]
    assert [span.parent for span in processed] == [None] * len(CLIENTS)
    assert [attributes(span)["messaging.kafka.offset"] for span in processed] == [0, 1, 2]
    assert_no_orphan(place.recorded)


@each_client
def test_by_option_it_is_the_parent_of_where_it_is_processed(
    place: Place,
    sent: list[tuple[str, str]],
    client: Client,
) -> None:
    client.process(place, len(CLIENTS), parent=True)

    processed = place.recorded.named(f"process {place.topic}")
    assert [ids(span.parent) for span in processed] == sent
    assert_no_orphan(place.recorded)


@each_client
def test_a_batch_is_linked_to_every_message_in_it(
    place: Place,
    sent: list[tuple[str, str]],
    client: Client,
) -> None:
    client.process_batch(place, len(CLIENTS))

    processed = place.recorded.named(f"process {place.topic}")
    assert [link for span in processed for link in linked(span)] == sent
    counted = [attributes(span)["messaging.batch.message_count"] for span in processed]
    assert sum(counted) == len(CLIENTS)
    assert_no_orphan(place.recorded)


@each_client
def test_a_message_that_is_sent_again_has_one_traceparent_and_it_is_the_first(
    place: Place,
    sent: list[tuple[str, str]],
    client: Client,
) -> None:
    before = read(place.bootstrap, place.topic, len(CLIENTS))
    again = [Order(m.key(), m.value(), headers_on_the_wire(m)) for m in before]

    client.send(place, again)

    after = read(place.bootstrap, place.topic, 2 * len(CLIENTS))[len(CLIENTS) :]
    assert [headers_on_the_wire(m) for m in after] == [headers_on_the_wire(m) for m in before]
    resent = place.recorded.named(f"send {place.topic}")[len(CLIENTS) :]
    assert [linked(span) for span in resent] == [[span] for span in sent]


def test_a_header_name_that_is_no_text_costs_the_link_and_nothing_else(place: Place) -> None:
    """The client returns a list with a hole in it, on which the interpreter can end."""
    traceparent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    produce_raw(place.bootstrap, place.topic, 0, b"an order", [(b"traceparent", traceparent)])
    produce_raw(
        place.bootstrap,
        place.topic,
        0,
        b"an order",
        [(b"\xff", b"1"), (b"traceparent", traceparent)],
    )

    Confluent().process(place, 2, parent=False)

    good, bad = place.recorded.named(f"process {place.topic}")
    assert (linked(good), linked(bad)) == ([ids_in(traceparent)], [])
