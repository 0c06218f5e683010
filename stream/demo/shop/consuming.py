"""What the shop's two consumers have in common: their client, and when they stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from confluent_kafka import Consumer, KafkaException, Message

from stream.demo.shop.service import Setup
from stream.demo.shop.serving import ENDING
from stream.demo.shop.tracing import Tracing
from stream.propagation import KafkaSpans

WAIT_S = 0.2


@contextmanager
def consumer_of(setup: Setup) -> Iterator[Consumer]:
    """Give a consumer of the checkouts, from the topic's start; it leaves its group at the end."""
    consumer = Consumer(
        {
            "bootstrap.servers": setup.bootstrap,
            "client.id": setup.service,
            "group.id": setup.group,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 10_000,
        }
    )
    consumer.subscribe([setup.checkouts_topic])
    try:
        yield consumer
    finally:
        consumer.close()


def spans_of_consumer(setup: Setup, tracing: Tracing) -> KafkaSpans:
    """Return what makes the spans of its messages."""
    return KafkaSpans(
        bootstrap_servers=setup.bootstrap,
        client_id=setup.service,
        group=setup.group,
        tracer_provider=tracing.provider,
    )


def is_message(message: Message) -> bool:
    """Tell a message from a report of trouble that the client gets over by itself.

    Raises:
        KafkaException: it does not.
    """
    error = message.error()
    if error is not None and error.fatal():
        raise KafkaException(error)
    return error is None


@contextmanager
def until_told_to_end() -> Iterator[Event]:
    """Give an event that SIGTERM and SIGINT set."""
    ended = Event()
    before = {each: signal.signal(each, lambda *_: ended.set()) for each in ENDING}
    try:
        yield ended
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
