"""Conditions on attributes: what the scanner finds is what decoding finds."""

import struct
from collections.abc import Iterable, Mapping

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.fragment import DeadLetterReason
from stream.otlp.scan import ScanPlan, scan
from stream.otlp.wire import encode_varint, framed
from stream.sampling.matcher import (
    AttributeIs,
    BooleanIs,
    Matcher,
    NumberWithin,
    StatusIs,
    StringIs,
)
from stream.testing.spans import (
    Attribute,
    a_span,
    decoded,
    resource_spans,
    span_id_of,
    trace_id_of,
    traces_data,
)

LONG_KEY = "k" * 200
CONDITIONS: list[AttributeIs] = [
    StringIs("a", frozenset({"x", "", "é"})),
    StringIs("a", frozenset({"^x+$", "é"}), regex=True),
    StringIs("bb", frozenset({"x"})),
    StringIs(LONG_KEY, frozenset({"x" * 300, "x"})),
    NumberWithin("a", 0, None),
    NumberWithin("a", None, 0),
    NumberWithin("bb", -1, 1),
    NumberWithin("bb", 2**53 + 1, 2**63 - 1),
    BooleanIs("a", value=True),
    BooleanIs("a", value=False),
    BooleanIs(LONG_KEY, value=True),
]


def plan_of(*conditions: AttributeIs) -> ScanPlan:
    matcher = Matcher()
    for condition in conditions:
        matcher.mask(condition)
    return matcher.plan()


PLAN = plan_of(*CONDITIONS)


def meets(condition: AttributeIs, value: AnyValue) -> bool:
    kind = value.WhichOneof("value")
    match condition:
        case StringIs(values=values, regex=regex):
            text = value.string_value
            if regex:  # of those above only
                return kind == "string_value" and ("é" in text or {*text} == {"x"})
            return kind == "string_value" and text in values
        case BooleanIs(value=wanted):
            return kind == "bool_value" and value.bool_value is wanted
        case NumberWithin(min_value=low, max_value=high):
            if kind not in {"int_value", "double_value"}:
                return False
            number = value.int_value if kind == "int_value" else value.double_value
            return (low is None or number >= low) and (high is None or number <= high)


def bits_of(attributes: Iterable[KeyValue]) -> int:
    bits = 0
    for attribute in attributes:
        for bit, condition in enumerate(CONDITIONS):
            if attribute.key == condition.key and meets(condition, attribute.value):
                bits |= 1 << bit
    return bits


def oracle(record: bytes) -> dict[bytes, int]:
    """Each trace's bits, by decoding the record. Raises DecodeError."""
    bits: dict[bytes, int] = {}
    for resource in decoded(record).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                met = bits_of(span.attributes) | bits_of(resource.resource.attributes)
                bits[span.trace_id] = bits.get(span.trace_id, 0) | met
    return bits


def found(record: bytes, plan: ScanPlan = PLAN) -> dict[bytes, int]:
    scanned = scan(record, plan)
    assert not scanned.bad
    return {fragment.trace_id: fragment.bits for fragment in scanned.fragments}


def is_malformed(record: bytes) -> bool:
    return [each.reason for each in scan(record, PLAN).bad] == [DeadLetterReason.MALFORMED]


def with_attribute(content: bytes, *, on_resource: bool = False) -> bytes:
    """A record of one span, of which one attribute has this content, as bytes."""
    span = a_span().SerializeToString()
    field = b"" if on_resource else framed(0x4A, content)
    resource = framed(0x0A, framed(0x0A, content)) if on_resource else b""
    return framed(0x0A, resource + framed(0x12, framed(0x12, span + field)))


TEXTS = st.sampled_from(["", "x", "xx", "é", "a", "x" * 300, "y" * 127])
VALUES: st.SearchStrategy[Attribute] = st.one_of(
    TEXTS,
    st.booleans(),
    st.sampled_from([-(2**63), -2, -1, 0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1]),
    st.sampled_from([-1.5, -0.0, 0.5, 1.0, 2.0**53, 1e300, float("inf"), float("nan")]),
    st.binary(max_size=3),
    st.just(["x"]),
)
KEYS = st.sampled_from(["a", "bb", "c", "cc", "", LONG_KEY, "n" * 200])
ATTRIBUTES: st.SearchStrategy[Mapping[str, Attribute]] = st.dictionaries(KEYS, VALUES, max_size=4)
SPANS = st.builds(
    a_span,
    trace_id=st.sampled_from([trace_id_of(1), trace_id_of(2)]),
    span_id=st.integers(1, 5).map(span_id_of),
    attributes=ATTRIBUTES,
)
RECORDS = st.lists(
    st.builds(resource_spans, st.lists(SPANS, max_size=3), resource=ATTRIBUTES),
    min_size=1,
    max_size=3,
).map(lambda groups: traces_data(*groups))


@given(RECORDS)
def test_a_scan_finds_for_each_trace_what_decoding_finds(record: bytes) -> None:
    assert found(record) == oracle(record)


# One attribute's fields in any order, repeated, merged, in odd but legal encodings. The key, where
# it is not first or is written with a long length, is read all the same.
VALUE_FIELDS = st.sampled_from(
    [
        *(b"", b"\x0a\x00", b"\x0a\x01x", b"\x0a\x81\x00x", b"\x8a\x00\x01x", b"\x0a\x02xx"),
        *(b"\x10\x00", b"\x10\x01", b"\x10\x80\x80\x01", b"\x90\x00\x00", b"\x12\x01\x01"),
        *(b"\x18\x00", b"\x18\x05", b"\x18" + b"\xff" * 9 + b"\x01", b"\x1a\x00", b"\x08\x01"),
        *(b"\x21" + struct.pack("<d", 0.5), b"\x21" + struct.pack("<d", -7), b"\x24"),
        *(b"\x2a\x00", b"\x32\x00", b"\x3a\x01x", b"\xca\x3e\x01x", b"\xcd\x3e\x00\x00\x00\x00"),
    ]
)
VALUE_MESSAGES = st.lists(VALUE_FIELDS, max_size=3).map(b"".join)
KEYVALUE_FIELDS = st.one_of(
    VALUE_MESSAGES.map(lambda value: framed(0x12, value)),
    st.sampled_from([b"\xca\x3e\x01a", b"\x08\x01", b"\x13\x08\x01\x14", b"\x12\x80\x00"]),
)
KEY_FIELDS = st.sampled_from([b"\x0a\x01a", b"\x0a\x81\x00a", b"\x8a\x00\x01a", b"\x0a\x02bb"])


@settings(max_examples=300)
@given(st.lists(KEYVALUE_FIELDS, max_size=4), KEY_FIELDS, st.integers(0, 4), st.booleans())
def test_an_attribute_in_any_legal_form_is_read_as_protobuf_reads_it(
    fields: list[bytes],
    key: bytes,
    at: int,
    on_resource: bool,  # noqa: FBT001 - given takes no keywords
) -> None:
    record = with_attribute(b"".join([*fields[:at], key, *fields[at:]]), on_resource=on_resource)
    try:
        expected = oracle(record)
    except DecodeError:
        assert is_malformed(record)
    else:
        assert found(record) == expected


@given(KEY_FIELDS, VALUE_MESSAGES, st.data())
def test_an_attribute_that_is_cut_is_malformed_or_read_as_what_is_left(
    key: bytes, value: bytes, data: st.DataObject
) -> None:
    whole = framed(0x12, value) + key + framed(0x12, value)
    cut = data.draw(st.integers(0, len(whole)).filter(lambda size: size != 1))  # it has no key
    record = with_attribute(whole[:cut])
    try:
        expected = oracle(record)
    except DecodeError:
        assert is_malformed(record)
    else:
        assert found(record) == expected


@pytest.mark.parametrize(
    ("level", "lie"),
    [
        *((level, lie) for level in ("string", "value") for lie in (1, 2, 50, 2**31, 2**64 - 1)),
        *(("key", lie) for lie in (len(LONG_KEY) - 1, 2**31, 2**32, 2**64 - 1)),
        ("double", 0),  # a byte too short
    ],
)
def test_a_lying_length_inside_an_attribute_that_is_looked_at_is_malformed(
    level: str, lie: int
) -> None:
    def field(tag: bytes, content: bytes, *, lies: bool) -> bytes:
        return tag + encode_varint(len(content) + (lie if lies else 0)) + content

    inner = b"\x21" + bytes(7) if level == "double" else b""
    value = field(b"\x0a", b"x", lies=level == "string") + inner
    content = field(b"\x0a", b"a", lies=level == "key")
    record = with_attribute(content + field(b"\x12", value, lies=level == "value"))
    with pytest.raises(DecodeError):
        decoded(record)
    assert is_malformed(record)


@settings(max_examples=300)
@given(RECORDS, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_bytes_never_raise_and_what_is_not_malformed_is_read_as_protobuf_reads_it(
    record: bytes, changes: list[tuple[int, int]]
) -> None:
    mutated = bytearray(record or b"\x0a\x00")
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    scanned = scan(bytes(mutated), PLAN)
    try:
        decoded(bytes(mutated))
    except DecodeError:
        return
    reasons = {each.reason for each in scanned.bad}
    assert DeadLetterReason.MALFORMED not in reasons


@pytest.mark.parametrize("content", [b"\x0a\x02a", b"\x0a\x02"])
@pytest.mark.parametrize("on_resource", [False, True])
def test_a_key_as_long_as_a_wanted_one_that_is_cut_is_malformed(
    content: bytes, *, on_resource: bool
) -> None:
    record = with_attribute(content, on_resource=on_resource)
    with pytest.raises(DecodeError):
        decoded(record)
    assert is_malformed(record)


def test_an_attribute_no_condition_names_is_not_looked_at_however_broken_it_is() -> None:
    for content in (b"\x0a\x03abc\xff", b"\x0a\x07", b"\x0a\x01b\xff\xff", b"\xff"):
        assert found(with_attribute(content)) == {trace_id_of(1): 0}


def test_without_conditions_on_attributes_none_is_looked_at() -> None:
    matcher = Matcher()
    matcher.mask(StatusIs(2))
    plan = matcher.plan()
    assert plan.attributes is None
    for content in (b"", b"\xff", b"\x0a", b"\x0a\x01a\xff", bytes(300)):
        assert found(with_attribute(content), plan) == {trace_id_of(1): 0}


def test_a_field_of_number_0_is_malformed_also_where_attributes_are_tested() -> None:
    record = framed(0x0A, framed(0x12, framed(0x12, a_span().SerializeToString() + b"\x00\x00")))
    with pytest.raises(DecodeError):
        decoded(record)
    assert is_malformed(record)


def test_an_empty_attribute_at_the_very_end_of_a_record_is_none() -> None:
    record = with_attribute(b"")
    assert record.endswith(b"\x4a\x00")
    assert found(record) == {trace_id_of(1): 0} == oracle(record)


def test_a_resource_counts_for_the_traces_that_have_a_span_in_it_and_for_no_other() -> None:
    def of(trace: int) -> Span:
        return a_span(trace_id=trace_id_of(trace), span_id=span_id_of(trace))

    plan = plan_of(StringIs("a", frozenset({"x"})))
    record = traces_data(
        resource_spans([of(1), of(2)], resource={"a": "x"}),
        resource_spans([of(3), of(2)], resource={"a": "y"}),
        resource_spans([], resource={"a": "x"}),
    )
    assert found(record, plan) == {trace_id_of(1): 1, trace_id_of(2): 1, trace_id_of(3): 0}
    alone = traces_data(
        resource_spans([of(3)]), resource_spans([], resource={"a": "x"}), resource_spans([of(3)])
    )
    assert found(alone, plan) == {trace_id_of(3): 0}


def test_text_that_is_no_utf_8_meets_nothing_and_harms_nothing() -> None:
    plan = plan_of(StringIs("a", frozenset({"x"})), StringIs("a", frozenset({"^x.$"}), regex=True))
    assert found(with_attribute(b"\x0a\x01a\x12\x04\x0a\x02x\xff"), plan) == {trace_id_of(1): 0}
    assert found(with_attribute(b"\x0a\x01a\x12\x04\x0a\x02xy"), plan) == {trace_id_of(1): 2}
