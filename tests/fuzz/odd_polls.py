"""Polls as no sane cluster gives them, and whether both receives make the same of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    Message,
)

from stream.kafka.partitioner import Partitioner
from stream.kafka.receive import HASHED_KEY_BYTES_MAX, Batch, Receiver
from stream.otlp.fragment import Scanned
from stream.otlp.scan import ScanPlan, scan_in_python
from tests.fuzz.odd_records import TRACE_IDS, broken, odd_record
from tests.fuzz.twins import Disagreement

EPOCHS = {0: 7, 1: 8, 2: 9, 3: 10}
POISON = {1: frozenset({3, 4, 5, 40}), 2: frozenset({0})}
MESSAGES = 50
KEYS = [
    *[trace_id.hex().encode() for trace_id in TRACE_IDS[:1] * 12 + TRACE_IDS],
    *(None, b"", b"tenant-1", b"k", TRACE_IDS[0], TRACE_IDS[0].hex().upper().encode() + b"A"),
    *(b"k" * HASHED_KEY_BYTES_MAX, b"k" * (HASHED_KEY_BYTES_MAX + 1), b"a" * 32, b"xy", b"xyz"),
]
HEADERS = [
    *[None] * 12,
    [],
    [("otelcol.signal", b"traces")],
    [("otelcol.signal", b"logs")],
    [("otelcol.signal", None)],
    [("tenant", b"blue"), ("noise", b"x"), ("tenant", None)],
    [("noise", b"x")],
    [("tailstream.control", b"\x80")],
]
TIMESTAMPS = [
    *[(TIMESTAMP_LOG_APPEND_TIME, 1_000)] * 20,
    (TIMESTAMP_LOG_APPEND_TIME, 2**62),
    (TIMESTAMP_CREATE_TIME, 2_000),
    (TIMESTAMP_CREATE_TIME, -1),
    (TIMESTAMP_NOT_AVAILABLE, 0),
]
VALUES = [None, b"", b"{}", b'{"resourceSpans": []}', b"{", b"\x0a\x00", b"\xff"]


def in_python(value: bytes, plan: ScanPlan) -> Scanned:
    """Not the product's own scan, so that the receiver asks it for every record."""
    return scan_in_python(value, plan)


def a_poll(rng: Random) -> list[Message]:
    """Messages of several partitions, mixed, of every kind."""
    messages = []
    other = b""
    for offset in range(MESSAGES):
        value: bytes | None = odd_record(rng)
        if rng.random() < 0.3:
            value = broken(rng, value or b"", other)
        other = value or other
        if rng.random() < 0.1:
            value = rng.choice(VALUES)
        fields: dict[str, Any] = {"error": None}
        if rng.random() < 0.03:
            fields["error"] = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
        message = Message(
            topic="spans",
            partition=rng.choice((0, 0, 0, 1, 1, 2, 3, 9)),
            offset=offset,
            key=rng.choice(KEYS),
            value=value,
            headers=rng.choice(HEADERS),
            timestamp=rng.choice(TIMESTAMPS),
            **fields,
        )
        messages.append(message)
    return messages


def content(batch: Batch) -> tuple[object, ...]:
    """All that a batch says, its records as a list."""
    return (
        *(batch.partition, batch.epoch, list(batch.records), batch.size),
        *(batch.log_append_time, batch.keys, batch.poison),
    )


@dataclass(slots=True)
class Receivers:
    """Receives polls by both. `rows` counts the batches that the compiled one made."""

    plan: ScanPlan
    partitioner: Partitioner
    partitions: int = 0
    copy_headers: tuple[str, ...] = ()
    rows: int = 0

    def compare(self, messages: Sequence[Message]) -> None:
        """Receive a poll by both.

        Raises:
            Disagreement: they differ in anything that a batch says, or in the errors.
        """
        batches, errors = self._received(messages)
        expected, expected_errors = self._received(messages, scan=in_python)
        self.rows += sum(not isinstance(batch.records, list) for batch in batches)
        assert all(isinstance(batch.records, list) for batch in expected)
        if errors != expected_errors or len(batches) != len(expected):
            raise Disagreement(f"{errors} {batches}\n{expected_errors} {expected}")
        for batch, other in zip(batches, expected, strict=True):
            if content(batch) != content(other):
                raise Disagreement(f"{content(batch)}\n{content(other)}")

    def _received(
        self, messages: Sequence[Message], **options: Any
    ) -> tuple[list[Batch], list[KafkaError]]:
        receiver = Receiver(
            self.plan, self.partitioner, self.partitions, self.copy_headers, **options
        )
        receiver.poison = POISON
        errors: list[KafkaError] = []
        return receiver.receive(messages, EPOCHS, errors), errors
