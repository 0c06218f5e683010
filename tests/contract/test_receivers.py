"""The compiled receive and plain Python make the same batches of the same messages."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    Message,
)

from stream import compiled
from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.receive import HASHED_KEY_BYTES_MAX, Batch, Receiver
from stream.otlp.fragment import Scanned
from stream.otlp.scan import ScanPlan, scan_in_python
from stream.otlp.wire import Malformed
from stream.sampling.record import Record
from stream.testing.spans import a_trace, trace_id_of, traces_data
from tests.fuzz.odd_records import TRACE_IDS, broken, odd_record
from tests.fuzz.twins import plans

pytestmark = pytest.mark.skipif(not compiled.RUNS, reason=f"the core is {compiled.core()}")

PLANS = plans()
PARTITIONS = 4
POISON = {1: frozenset({3, 4, 5, 40}), 2: frozenset({0})}
SEED = 20_261_122
POLLS = 6
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


def received(
    receiver: Receiver, messages: Sequence[Message]
) -> tuple[list[Batch], list[KafkaError]]:
    errors: list[KafkaError] = []
    receiver.poison = POISON
    return receiver.receive(messages, {0: 7, 1: 8, 2: 9, 3: 10}, errors), errors


@pytest.mark.parametrize("plan", [*PLANS, ScanPlan(conditions=lambda body: len(body) & 3)])
@pytest.mark.parametrize("partitioner", PARTITIONERS.values())
@pytest.mark.parametrize("partitions", [0, PARTITIONS, 7])
def test_both_make_the_same_of_a_poll(plan: ScanPlan, partitioner: Any, partitions: int) -> None:
    rng = Random(SEED)
    with_copies = ("tenant",) if partitions else ()
    compiled_one = Receiver(plan, partitioner, partitions, with_copies)
    plain_one = Receiver(plan, partitioner, partitions, with_copies, scan=in_python)
    in_rows = 0
    for _ in range(POLLS):
        messages = a_poll(rng)
        batches, errors = received(compiled_one, messages)
        expected, expected_errors = received(plain_one, messages)
        assert [content(batch) for batch in batches] == [content(batch) for batch in expected]
        assert errors == expected_errors
        in_rows += sum(not isinstance(batch.records, list) for batch in batches)
        assert all(isinstance(batch.records, list) for batch in expected)
    assert in_rows, "the compiled one was not asked"


def test_a_record_that_the_conditions_find_malformed_is_received_as_plain_python_does() -> None:
    def refuse(_: bytes) -> int:
        raise Malformed("no")

    messages = a_poll(Random(SEED))
    for conditions in (refuse, lambda _: 1 << 70):
        plan = ScanPlan((1, 2, 4), conditions=conditions)
        fnv1a = PARTITIONERS["fnv1a"]
        batches, _ = received(Receiver(plan, fnv1a, PARTITIONS), messages)
        expected, _ = received(Receiver(plan, fnv1a, PARTITIONS, scan=in_python), messages)
        assert [content(batch) for batch in batches] == [content(batch) for batch in expected]


def test_rows_are_a_sequence_of_records() -> None:
    messages = [
        Message(
            topic="spans",
            partition=0,
            offset=offset,
            key=trace_id_of(1).hex().encode(),
            value=traces_data(a_trace(1)),
            timestamp=(TIMESTAMP_LOG_APPEND_TIME, 1_000),
        )
        for offset in range(100)
    ]
    ((batch,), _) = received(Receiver(ScanPlan(), PARTITIONERS["fnv1a"]), messages)
    rows = batch.records
    whole: list[Record] = list(rows)
    assert [record.offset for record in whole] == list(range(100))
    assert len(rows) == 100
    assert (rows[0], rows[-1], rows[3:50:7]) == (whole[0], whole[-1], whole[3:50:7])
    assert list(reversed(rows)) == whole[::-1]
    assert whole[5] in rows
    assert rows.index(whole[5]) == 5
    assert rows.count(whole[5]) == 1
    for beyond in (100, -101):
        with pytest.raises(IndexError):
            rows[beyond]
