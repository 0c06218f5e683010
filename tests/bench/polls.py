"""The corpus' records as the polls of a worker, without a broker."""

from collections.abc import Iterator
from itertools import islice

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from tests.bench.corpus import CorpusRecord

POLL_MESSAGES = 1_000


def in_polls(records: list[CorpusRecord]) -> Iterator[list[CorpusRecord]]:
    """Yield the records as a worker polls them."""
    left = iter(records)
    while poll := list(islice(left, POLL_MESSAGES)):
        yield poll


def as_messages(records: list[CorpusRecord]) -> list[Message]:
    """Return the messages that the client would give for them."""
    return [
        Message(
            topic="spans",
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            timestamp=(TIMESTAMP_CREATE_TIME, record.timestamp_ms),
        )
        for record in records
    ]
