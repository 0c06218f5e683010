"""What becomes of the messages of one poll."""

from typing import Any

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    Message,
)

from stream.kafka.partitioner import fnv1a
from stream.kafka.receive import Batch, Receiver
from stream.otlp.fragment import DeadLetterReason
from stream.otlp.scan import ScanPlan
from stream.sampling.record import NO_TIMESTAMP, RecordKind
from stream.testing.spans import a_span, a_trace, trace_id_of, traces_data

PARTITIONS = 4
VALUE = traces_data(*a_trace(1))
KEY = trace_id_of(1).hex().encode()
HOME = fnv1a(KEY, PARTITIONS)


def a_message(**fields: Any) -> Message:
    defaults: dict[str, Any] = {
        "topic": "spans",
        "partition": HOME,
        "offset": 7,
        "key": KEY,
        "value": VALUE,
        "headers": None,
        "timestamp": (TIMESTAMP_LOG_APPEND_TIME, 1_000),
    }
    return Message(**{**defaults, **fields})


def received(
    *messages: Message, epochs: dict[int, int] | None = None
) -> tuple[list[Batch], list[KafkaError]]:
    errors: list[KafkaError] = []
    ours = dict.fromkeys(range(PARTITIONS), 1) if epochs is None else epochs
    receiver = Receiver(ScanPlan(), fnv1a, PARTITIONS)
    return receiver.receive(messages, ours, errors), errors


def test_a_record_is_scanned_and_keeps_its_place_and_time() -> None:
    (batch,), errors = received(a_message())

    (record,) = batch.records
    assert (record.offset, record.timestamp_ms, record.kind) == (7, 1_000, RecordKind.SPANS)
    assert [f.trace_id for f in record.fragments] == [trace_id_of(1)]
    assert (batch.partition, batch.epoch, batch.log_append_time) == (HOME, 1, True)
    assert batch.size == len(VALUE) + len(KEY)
    assert not batch.keys
    assert not errors


def test_records_are_grouped_by_partition_in_their_order() -> None:
    batches, _ = received(
        a_message(partition=0, offset=1), a_message(partition=1, offset=5), a_message(partition=0)
    )

    assert {b.partition: [r.offset for r in b.records] for b in batches} == {0: [1, 7], 1: [5]}


def test_a_message_of_a_partition_that_is_not_read_yet_is_left_out() -> None:
    batches, _ = received(a_message(partition=0), a_message(partition=1), epochs={1: 9})

    assert [(b.partition, b.epoch) for b in batches] == [(1, 9)]


def test_the_client_s_errors_are_told_apart_from_records() -> None:
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)

    batches, errors = received(a_message(error=error), a_message())

    assert len(batches) == 1
    assert errors == [error]


def test_what_is_said_of_a_partition_that_is_not_read_any_more_is_left_out() -> None:
    stale, ours, of_all = (
        KafkaError(code)
        for code in (
            KafkaError._AUTO_OFFSET_RESET,
            KafkaError.OFFSET_OUT_OF_RANGE,
            KafkaError._ALL_BROKERS_DOWN,
        )
    )

    _, errors = received(
        a_message(error=stale, partition=0),
        a_message(error=ours, partition=1),
        a_message(error=of_all, partition=-1),
        epochs={1: 9},
    )

    assert errors == [ours, of_all]


def test_a_producer_s_timestamp_makes_the_batch_one_to_be_clamped() -> None:
    (batch,), _ = received(
        a_message(), a_message(offset=8, timestamp=(TIMESTAMP_CREATE_TIME, 2_000))
    )

    assert not batch.log_append_time


def test_a_record_without_a_timestamp_moves_no_time() -> None:
    (batch,), _ = received(a_message(timestamp=(TIMESTAMP_NOT_AVAILABLE, 0)))

    assert batch.records[0].timestamp_ms == NO_TIMESTAMP


def test_a_key_that_is_not_the_trace_id_is_counted_apart_from_one_in_another_partition() -> None:
    elsewhere = (HOME + 1) % PARTITIONS
    (lying,), _ = received(a_message(key=b"tenant-1", partition=fnv1a(b"tenant-1", PARTITIONS)))
    (strayed,), _ = received(a_message(partition=elsewhere))
    (unkeyed,), _ = received(a_message(key=None))

    assert lying.keys == {"key_mismatch": 1}
    assert strayed.keys == {"misrouted": 1}
    assert unkeyed.keys == {"key_mismatch": 1}


def test_a_legal_record_without_a_span_is_counted() -> None:
    (batch,), _ = received(
        a_message(value=b"\x0a\x02\x1a\x00"),
        a_message(offset=8, value=b'{"resourceSpans": [], "spans": "of something else"}'),
        a_message(offset=9),
        a_message(offset=10, value=b"plain text"),
        a_message(offset=11, value=b"", headers=[("otelcol.signal", b"logs")]),
    )

    assert batch.keys == {"no_spans": 2}


def test_other_signals_are_skipped_and_control_records_recognised() -> None:
    (batch,), _ = received(
        a_message(offset=1, headers=[("otelcol.signal", b"logs")]),
        a_message(offset=2, headers=[("otelcol.signal", b"traces")]),
        a_message(offset=3, value=b"", headers=[("tailstream.control", b"\x80")]),
        a_message(offset=4, headers=[("tailstream.control", b"\x80")]),
    )

    assert [r.kind.value for r in batch.records] == ["skipped", "spans", "control", "spans"]


def test_an_empty_or_null_value_is_a_dead_letter_of_its_own_reason() -> None:
    (batch,), _ = received(a_message(value=b""), a_message(offset=8, value=None))

    assert [bad.reason for r in batch.records for bad in r.bad] == [DeadLetterReason.EMPTY] * 2


def test_bad_spans_beside_good_ones_keep_both() -> None:
    value = traces_data(*a_trace(1, spans=2), a_span(trace_id=bytes(16)))

    (batch,), _ = received(a_message(value=value))

    (record,) = batch.records
    assert [f.spans for f in record.fragments] == [2]
    assert [(bad.reason, bad.spans) for bad in record.bad] == [
        (DeadLetterReason.INVALID_TRACE_ID, 1)
    ]


def test_only_headers_that_are_asked_for_stay_with_the_record() -> None:
    headers = [("tenant", b"blue"), ("noise", b"x"), ("tenant", b"red"), ("tenant", None)]
    receiver = Receiver(ScanPlan(), fnv1a, PARTITIONS, copy_headers=["tenant"])

    (batch,) = receiver.receive([a_message(headers=headers)], {HOME: 1}, [])

    assert batch.records[0].headers == [("tenant", b"blue"), ("tenant", b"red")]
