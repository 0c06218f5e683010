"""The stages' own consumers, with the settings that the worker's has."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from stream import app
from stream.kafka.client_settings import consumer_settings
from stream.settings.model import Settings
from tests.harness.topics import PARTITIONS

POLL_MESSAGES = 1_000
WAIT_TIMEOUT_S = 60.0


def consumed(settings: Settings, records: int) -> int:
    """Read the input as the poll thread does, drop it; return the CPU nanoseconds of it all."""
    with _consumer(settings) as consumer:
        topic = settings.topics.input
        before_ns = time.process_time_ns()
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        left = records
        until_s = time.monotonic() + WAIT_TIMEOUT_S + records / 1000
        while left:
            assert time.monotonic() < until_s, f"{left} records did not come"
            messages = consumer.consume(POLL_MESSAGES, 0.05)
            assert all(message.error() is None for message in messages)
            left -= len(messages)
        return time.process_time_ns() - before_ns


@contextlib.contextmanager
def joined(settings: Settings) -> Iterator[Any]:
    """Give the metadata of a member of the group, which a transaction is fenced by."""
    assigned = []

    def on_assign(consumer: Any, partitions: list[Any]) -> None:
        consumer.incremental_assign([])  # nothing is to be read
        assigned.extend(partitions)

    with _consumer(settings) as consumer:
        consumer.subscribe([settings.topics.input], on_assign=on_assign)
        until_s = time.monotonic() + WAIT_TIMEOUT_S
        while not assigned:
            assert time.monotonic() < until_s, "the group did not answer"
            consumer.poll(0.1)
        yield consumer.consumer_group_metadata()


@contextlib.contextmanager
def _consumer(settings: Settings) -> Iterator[Any]:
    consumer = Consumer(consumer_settings(settings.kafka, app._membership(settings)))
    try:
        yield consumer
    finally:
        consumer.close()
