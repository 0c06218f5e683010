import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.wire import (
    GROUP_DEPTH_MAX,
    Malformed,
    children,
    encode_varint,
    framed,
    framed_bytes,
    read_uint32,
    read_varint,
    skip,
    varint_bytes,
)
from stream.testing.strategies import unknown_fields

INT_VALUE = b"\x18"  # AnyValue.int_value, an int64
GROUP, GROUP_END = b"\xf3\x3f", b"\xf4\x3f"  # field 1022, unknown everywhere


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_as_it_was_written(value: int) -> None:
    encoded = encode_varint(value)
    assert read_varint(b"\xff" + encoded + b"\xff", 1) == (value, 1 + len(encoded))
    assert varint_bytes(value) == len(encoded)


@given(st.binary(max_size=300))
def test_the_size_of_a_framed_content_is_known_beforehand(content: bytes) -> None:
    assert framed_bytes(len(content)) == len(framed(0x0A, content))


@given(st.binary(min_size=1, max_size=12))
def test_varints_are_read_as_protobuf_reads_them(encoded: bytes) -> None:
    end = next((i for i, byte in enumerate(encoded, 1) if byte < 128), len(encoded))
    try:
        expected = AnyValue.FromString(INT_VALUE + encoded[:end]).int_value % 2**64
    except DecodeError:
        with pytest.raises(Malformed):
            read_varint(encoded[:end], 0)
    else:
        assert read_varint(encoded, 0) == (expected, end)


@pytest.mark.parametrize("last", [0x01, 0x02, 0x7F])
def test_of_ten_bytes_of_varint_64_bits_count(last: int) -> None:
    encoded = b"\x81" * 9 + bytes([last])
    expected = AnyValue.FromString(INT_VALUE + encoded).int_value % 2**64
    assert read_varint(encoded, 0) == (expected, 10)


@pytest.mark.parametrize(
    "encoded",
    [b"", b"\x80", b"\x80\x80", b"\x80\x80\x80\x80\x10", b"\x80\x80\x80\x80\x80\x00"],
    ids=["empty", "cut", "cut again", "33 bits", "6 bytes"],
)
def test_a_tag_or_length_that_is_cut_or_above_32_bits_is_malformed(encoded: bytes) -> None:
    with pytest.raises(Malformed):
        read_uint32(encoded, 0)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, 2**32 - 1])
def test_a_tag_or_length_has_up_to_32_bits(value: int) -> None:
    assert read_uint32(encode_varint(value), 0) == (value, varint_bytes(value))


@given(unknown_fields(), st.binary(max_size=4))
def test_skipping_ends_where_the_field_ends(field: bytes, rest: bytes) -> None:
    tag, position = read_uint32(field, 0)
    assert skip(field + rest, position, tag) == len(field)


@given(unknown_fields(), st.data())
def test_a_cut_field_never_ends_inside_its_message(field: bytes, data: st.DataObject) -> None:
    cut = field[: data.draw(st.integers(1, len(field) - 1))]
    with pytest.raises(Malformed):
        children(cut, 0, len(cut), 0x0A)


def test_a_field_that_leaves_its_message_is_malformed_although_the_record_goes_on() -> None:
    record = framed(0x0A, b"12345678")
    assert children(record, 0, len(record), 0x0A) == [(0, 2, len(record))]
    with pytest.raises(Malformed):
        children(record, 0, len(record) - 1, 0x0A)


@pytest.mark.parametrize(
    "message",
    [
        b"\x02\x00",
        b"\x00\x00",
        b"\x80\x00\x00",
        b"\x0e\x00",
        b"\x0f\x00",
        GROUP_END,
        GROUP,
        GROUP + b"\x0c",
        GROUP + b"\x1b" + GROUP_END,
        GROUP * (GROUP_DEPTH_MAX + 1) + GROUP_END * (GROUP_DEPTH_MAX + 1),
        GROUP * 1_000_000,
    ],
    ids=[
        "field 0",
        "field 0, a varint",
        "field 0 in two bytes",
        "wire type 6",
        "wire type 7",
        "an end without a group",
        "a group without an end",
        "another group's end",
        "groups that cross",
        "groups too deep",
        "a million groups",
    ],
)
def test_what_protobuf_refuses_is_malformed(message: bytes) -> None:
    with pytest.raises(DecodeError):
        Span.FromString(message)
    with pytest.raises(Malformed):
        children(message, 0, len(message), 0x0A)


def test_groups_may_nest_to_the_limit() -> None:
    message = GROUP * GROUP_DEPTH_MAX + GROUP_END * GROUP_DEPTH_MAX
    assert children(message + b"\x0a\x00", 0, len(message) + 2, 0x0A) == [
        (len(message), len(message) + 2, len(message) + 2)
    ]


@given(st.lists(unknown_fields() | st.binary(max_size=200).map(lambda c: framed(0x12, c))))
def test_the_children_of_a_message_are_its_fields_of_that_tag(fields: list[bytes]) -> None:
    message = b"".join(fields)
    found = children(b"\xff" + message, 1, 1 + len(message), 0x12)
    assert [(b"\xff" + message)[start:end] for start, _, end in found] == [
        field for field in fields if field[0] == 0x12
    ]
