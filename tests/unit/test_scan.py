from collections import Counter
from dataclasses import astuple

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.fragment import BadSpans, DeadLetterReason, Scanned
from stream.otlp.scan import ScanPlan, scan
from stream.otlp.wire import encode_varint, framed
from stream.testing.spans import (
    SPAN_ID,
    START_NS,
    TRACE_ID,
    a_span,
    a_trace,
    decoded,
    resource_spans,
    span_id_of,
    spans_of,
    trace_id_of,
    traces_data,
)
from stream.testing.strategies import SPAN_IDS, TRACE_IDS, records, spans

PLAN = ScanPlan((1, 2, 4))
MALFORMED = DeadLetterReason.MALFORMED


def view(scanned: Scanned) -> tuple[list[tuple[object, ...]], Counter[str]]:
    """What a scan says, without bytes: fragments in order, bad spans by reason."""
    bad: Counter[str] = Counter()
    for each in scanned.bad:
        bad[each.reason] += each.spans
    return [astuple(fragment)[:7] for fragment in scanned.fragments], bad


def summary(of: list[Span]) -> tuple[object, ...]:
    codes = [span.status.code if span.status.code in {1, 2} else 0 for span in of]
    starts = [span.start_time_unix_nano for span in of if span.start_time_unix_nano]
    bits = 0
    for code in codes:
        bits |= PLAN.status_bits[code]
    return (
        of[0].trace_id,
        len(of),
        codes.count(2),
        min(starts, default=0),
        max(span.end_time_unix_nano for span in of),
        any(span.parent_span_id in (b"", bytes(8)) for span in of),
        bits,
    )


def oracle(value: bytes) -> tuple[list[tuple[object, ...]], Counter[str]]:
    """The same by decoding everything with opentelemetry-proto. Raises DecodeError."""
    traces: dict[bytes, list[Span]] = {}
    bad: Counter[str] = Counter()
    for span in spans_of(value):
        if len(span.trace_id) != 16 or not any(span.trace_id):
            bad["invalid_trace_id"] += 1
        elif len(span.span_id) != 8 or not any(span.span_id):
            bad["invalid_span_id"] += 1
        else:
            traces.setdefault(span.trace_id, []).append(span)
    return [summary(of) for of in traces.values()], bad


def is_malformed(value: bytes) -> bool:
    return scan(value, PLAN) == Scanned([], [BadSpans(MALFORMED, 1, value)])


def in_a_record(span: bytes) -> bytes:
    return framed(0x0A, framed(0x12, framed(0x12, span)))


@given(records())
def test_a_scan_says_what_decoding_says(value: bytes) -> None:
    if value:
        assert view(scan(value, PLAN)) == oracle(value)


@given(records(spans(TRACE_IDS[:1])))
def test_a_record_of_one_trace_is_a_fragment_with_the_very_bytes(value: bytes) -> None:
    for fragment in scan(value, PLAN).fragments:
        assert fragment.body is value


@given(records(), st.data())
def test_a_truncated_record_is_malformed_or_is_what_is_left(
    value: bytes, data: st.DataObject
) -> None:
    cut = value[: data.draw(st.integers(0, len(value)))]
    try:
        expected = oracle(cut)
    except DecodeError:
        assert is_malformed(cut)
    else:
        assert view(scan(cut, PLAN)) == (expected if cut else ([], {"empty": 1}))


def test_every_truncation_of_a_record_is_malformed_or_is_what_is_left() -> None:
    value = traces_data(a_trace(1, error=True), a_trace(2), a_span(span_id=b"", status=1))
    ends = set()
    for size in range(1, len(value)):
        try:
            expected = oracle(value[:size])
        except DecodeError:
            assert is_malformed(value[:size])
        else:
            assert view(scan(value[:size], PLAN)) == expected
            ends.add(size)
    assert len(ends) == 2, "the record can be cut between its resources only"


@settings(max_examples=300)
@given(
    records() | st.binary(max_size=200),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_mutated_bytes_never_raise_and_never_mislead(
    value: bytes, changes: list[tuple[int, int]]
) -> None:
    mutated = bytearray(value or b"\x0a\x00")
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    scanned = scan(bytes(mutated), PLAN)
    try:
        expected = oracle(bytes(mutated))
    except DecodeError:
        return
    if not is_malformed(bytes(mutated)):
        assert view(scanned) == expected


def test_a_plain_record_is_scanned_whole() -> None:
    value = traces_data(a_trace(7, spans=5, duration_ms=250, error=True))
    (fragment,) = scan(value, ScanPlan((0, 0, 8))).fragments
    assert astuple(fragment) == (
        trace_id_of(7), 5, 1, START_NS, START_NS + 250_000_000, True, 8, value,
    )  # fmt: skip
    assert fragment.body is value


def test_an_empty_record_is_bad_and_one_without_spans_holds_nothing() -> None:
    assert scan(b"", PLAN) == Scanned([], [BadSpans(DeadLetterReason.EMPTY, 1, b"")])
    assert scan(traces_data([]), PLAN) == Scanned([], [])
    assert scan(b"\x0a\x00", PLAN) == Scanned([], [])


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ({"trace_id": b""}, DeadLetterReason.INVALID_TRACE_ID),
        ({"trace_id": bytes(16)}, DeadLetterReason.INVALID_TRACE_ID),
        ({"trace_id": b"\x4b" * 15}, DeadLetterReason.INVALID_TRACE_ID),
        ({"trace_id": b"\x4b" * 17}, DeadLetterReason.INVALID_TRACE_ID),
        ({"span_id": b""}, DeadLetterReason.INVALID_SPAN_ID),
        ({"span_id": bytes(8)}, DeadLetterReason.INVALID_SPAN_ID),
        ({"span_id": b"\x5a" * 7}, DeadLetterReason.INVALID_SPAN_ID),
        ({"span_id": b"\x5a" * 9}, DeadLetterReason.INVALID_SPAN_ID),
        ({"trace_id": b"", "span_id": b""}, DeadLetterReason.INVALID_TRACE_ID),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_span_with_an_invalid_id_is_bad_and_the_one_beside_it_survives(
    ids: dict[str, bytes], reason: DeadLetterReason, *, first: bool
) -> None:
    good = a_span(name="good")
    ids = {"trace_id": TRACE_ID, "span_id": span_id_of(2), **ids}
    bad = a_span(trace_id=ids["trace_id"], span_id=ids["span_id"], name="bad")
    scanned = scan(traces_data([bad, good] if first else [good, bad]), PLAN)
    assert scanned.bad == [BadSpans(reason, 1, traces_data(bad))]
    assert [fragment.body for fragment in scanned.fragments] == [traces_data(good)]


def test_a_record_of_several_traces_gives_them_in_order_of_appearance() -> None:
    mixed = [a_trace(number, first_span=10 * number) for number in (5, 3, 4)]
    interleaved = [span for of_all in zip(*mixed, strict=True) for span in of_all]
    scanned = scan(traces_data(interleaved), PLAN)
    assert [fragment.trace_id for fragment in scanned.fragments] == list(
        map(trace_id_of, [5, 3, 4])
    )
    assert [fragment.body for fragment in scanned.fragments] == [traces_data(of) for of in mixed]
    assert scanned.bad == []


def test_a_zero_start_is_no_start() -> None:
    value = traces_data(a_span(start_ns=0), a_span(start_ns=50), a_span(start_ns=0))
    (fragment,) = scan(value, PLAN).fragments
    assert fragment.start_ns == 50
    (fragment,) = scan(traces_data(a_span(start_ns=0, end_ns=0)), PLAN).fragments
    assert (fragment.start_ns, fragment.end_ns) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "errors", "bits"),
    [
        (b"", 0, 1),
        (b"\x7a\x00", 0, 1),
        (b"\x7a\x02\x18\x01", 0, 2),
        (b"\x7a\x02\x18\x02", 1, 4),
        (b"\x7a\x02\x18\x03", 0, 1),
        (b"\x7a\x0b\x18" + b"\xff" * 9 + b"\x01", 0, 1),
        (b"\x7a\x06\x18\x82\x80\x80\x80\x10", 1, 4),
        (b"\x7a\x04\x18\x02\x18\x01", 0, 2),
        (b"\x7a\x02\x18\x02\x7a\x00", 1, 4),
        (b"\x7a\x02\x18\x02\x7a\x02\x18\x00", 0, 1),
        (b"\x7a\x05\x12\x01x\x18\x02", 1, 4),
        (b"\x78\x02", 0, 1),
        (b"\xfa\x00\x02\x18\x02", 1, 4),
        (b"\x7a\x03\x98\x00\x02", 1, 4),
    ],
    ids=[
        "absent", "empty", "ok", "error", "unknown", "negative", "32 bits count",
        "the last code", "messages merge", "an explicit unset", "after a message",
        "another wire type", "a long tag", "a long tag inside",
    ],
)  # fmt: skip
def test_the_status_is_what_protobuf_makes_of_it(fields: bytes, errors: int, bits: int) -> None:
    value = in_a_record(a_span().SerializeToString() + fields)
    assert view(scan(value, PLAN)) == oracle(value)
    (fragment,) = scan(value, PLAN).fragments
    assert (fragment.errors, fragment.bits) == (errors, bits)


def test_the_last_value_of_a_repeated_field_wins() -> None:
    first = a_span(trace_id=trace_id_of(9), span_id=b"x", parent_span_id=SPAN_ID, start_ns=7)
    last = b"\x22\x00" + a_span(start_ns=5, end_ns=6).SerializeToString()
    value = in_a_record(first.SerializeToString() + last)
    (fragment,) = scan(value, PLAN).fragments
    assert (fragment.trace_id, fragment.start_ns, fragment.end_ns) == (TRACE_ID, 5, 6)
    assert fragment.root
    assert view(scan(value, PLAN)) == oracle(value)


@given(st.lists(st.sampled_from(
    [b"\x0a\x10" + TRACE_IDS[0], b"\x12\x08" + SPAN_IDS[0], b"\x8a\x00\x10" + TRACE_IDS[0],
     b"\x8a\x80\x00\x90\x00" + TRACE_IDS[1], b"\x92\x00\x88\x00" + SPAN_IDS[1], b"\x0a\x00",
     b"\x08\x01", b"\x13\x08\x01\x14", b"\x25\x01\x02\x03\x04", b"\x30\x02", b"\x30\x80\x01",
     b"\xb0\x00\x05", b"\x38\x07", b"\x39" + b"\x09" * 8, b"\xb9\x00" + b"\x07" * 8,
     b"\x41" + b"\x08" * 8, b"\xc1\x00" + b"\x06" * 8, b"\x4a\x00", b"\x4a\x80\x00",
     b"\x22\x08" + SPAN_IDS[2], b"\xa2\x00\x00", b"\x85\x01\x01\x01\x00\x00", b"\x7a\x02\x18\x02"]
)))  # fmt: skip
def test_odd_but_legal_encodings_are_read_as_protobuf_reads_them(fields: list[bytes]) -> None:
    value = in_a_record(b"".join(fields))
    assert view(scan(value, PLAN)) == oracle(value)


@pytest.mark.parametrize("level", range(4), ids=["attribute", "span", "scope", "resource"])
@pytest.mark.parametrize("lie", [-1, 1, 5, 100, 2**31, 2**32, 2**64 - 1])
def test_a_lying_length_is_malformed(level: int, lie: int) -> None:
    def record(lie: int) -> bytes:
        field = b"\x0a\x03abc"
        for at, tag in enumerate((b"\x4a", b"\x12", b"\x12", b"\x0a")):
            length = len(field) + (lie if at == level else 0)
            field = tag + encode_varint(length) + field
            if at == 0:
                field = a_span().SerializeToString() + field
        return field

    assert not is_malformed(record(0))
    assert is_malformed(record(lie))


@pytest.mark.parametrize(
    "fields",
    [b"\x02\x00", b"\x7a\x01\x18\x30\x02", b"\x7a\x01\x12\x00\x00", b"\x0c", b"\x3f\x00"],
    ids=["field 0", "a status that is cut", "its message too", "a stray group end", "wire type 7"],
)
def test_a_span_that_protobuf_refuses_is_malformed(fields: bytes) -> None:
    value = in_a_record(a_span().SerializeToString() + fields)
    with pytest.raises(DecodeError):
        decoded(value)
    assert is_malformed(value)


@pytest.mark.parametrize("parent_span_id", [b"", bytes(8)])
def test_a_span_without_a_parent_or_with_an_all_zero_one_is_a_root(parent_span_id: bytes) -> None:
    record = traces_data(a_span(parent_span_id=parent_span_id))

    (fragment,) = scan(record, ScanPlan()).fragments

    assert fragment.root


@pytest.mark.parametrize("parent_span_id", [b"x", bytes(7), SPAN_ID, b"x" * 200])
def test_a_span_with_any_parent_is_no_root(parent_span_id: bytes) -> None:
    child = a_span(parent_span_id=parent_span_id)
    (fragment,) = scan(traces_data(child), PLAN).fragments
    assert not fragment.root
    (fragment,) = scan(traces_data(child, a_span(span_id=span_id_of(2))), PLAN).fragments
    assert fragment.root


def test_a_resource_may_be_shared_by_spans_of_one_trace_in_many_scopes() -> None:
    value = traces_data(
        resource_spans(a_trace(1), service="a"), resource_spans(a_trace(1, first_span=9))
    )
    (fragment,) = scan(value, PLAN).fragments
    assert (fragment.spans, fragment.body is value) == (6, True)
