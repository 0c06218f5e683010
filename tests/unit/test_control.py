"""Control records: what is written is read, and nothing else is."""

import msgpack
import pytest

from stream.kafka.headers import kind_of, read_control
from stream.otlp.fragment import DeadLetterReason
from stream.sampling.control import CONTROL_HEADER, SOURCE_BYTES_MAX, Pin, decode, encode
from stream.sampling.record import Record, RecordKind
from stream.testing.spans import trace_id_of

PIN = Pin(trace_id_of(1), 600_000, "exemplar")


def test_a_pin_that_is_written_is_read_again() -> None:
    assert decode(PIN.key, encode(PIN)) == PIN


def test_a_field_of_a_later_release_is_ignored() -> None:
    fields = {**msgpack.unpackb(encode(PIN)), "why": "a later release"}
    assert decode(PIN.key, msgpack.packb(fields)) == PIN


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        (None, {}),
        (b"", {}),
        (PIN.key[:-1], {}),
        (PIN.key.upper(), {}),
        (b"0" * 32, {}),
        (PIN.key, {"v": 2}),
        (PIN.key, {"kind": "unpin"}),
        (PIN.key, {"ttl_ms": 0}),
        (PIN.key, {"ttl_ms": True}),
        (PIN.key, {"ttl_ms": 2**41}),
        (PIN.key, {"source": ""}),
        (PIN.key, {"source": b"exemplar"}),
        (PIN.key, {"source": "x" * (SOURCE_BYTES_MAX + 1)}),
    ],
)
def test_whatever_no_worker_writes_is_refused(
    key: bytes | None, changed: dict[str, object]
) -> None:
    header = msgpack.packb({**msgpack.unpackb(encode(PIN)), **changed})
    with pytest.raises(ValueError, match="not a control record"):
        decode(key, header)


def test_a_pin_that_no_worker_would_take_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="ttl_ms 0"):
        Pin(trace_id_of(1), 0, "exemplar")


@pytest.mark.parametrize("value", [b"", b"{}"])
def test_a_control_record_is_known_by_its_header_and_its_value(value: bytes) -> None:
    assert kind_of([(CONTROL_HEADER, encode(PIN))], value) is RecordKind.CONTROL
    assert kind_of([(CONTROL_HEADER, encode(PIN))], b"spans") is RecordKind.SPANS


def test_a_control_record_that_cannot_be_read_is_a_dead_letter_without_spans() -> None:
    record = Record(7, 1, RecordKind.CONTROL, key=PIN.key)
    read_control(record, [(CONTROL_HEADER, b"\xc1")])
    (bad,) = record.bad
    assert record.pin is None
    assert (bad.reason, bad.spans, bad.body) == (DeadLetterReason.MALFORMED_CONTROL, 0, b"\xc1")
