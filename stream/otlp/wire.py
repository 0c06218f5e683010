"""The protobuf wire format, as far as a scan needs it: varints, skipping, child ranges.

Format: https://protobuf.dev/programming-guides/encoding/. Accepted is what upb, the reference
decoder, accepts: varints of at most 10 bytes, of which 64 bits count; tags and lengths of at most
5 bytes and 32 bits; groups, skipped. A field number of 0 and the wire types 6 and 7 are malformed.

Functions take a position and return the next one, which may lie beyond the end of the enclosing
message: whoever knows that end compares, once, when its loop is over. Positions only grow, so a
field that leaves its message can never come back into it.
"""

from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
GROUP_START: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5

GROUP_DEPTH_MAX: Final = 100
CHILDREN_MAX: Final = 100_000
"""An empty child takes two bytes of a message, and a hundred in our memory."""

_VARINT_BYTES_MAX: Final = 10
_UINT32_BYTES_MAX: Final = 5
_MASK_64: Final = (1 << 64) - 1
_UINT32_MAX: Final = (1 << 32) - 1
_CONTINUES: Final = 0x80
_BEYOND_RECORD: Final = "a field reaches beyond the end of the record"


class Malformed(ValueError):  # noqa: N818  # a judgement of bytes from outside, not our error
    """The bytes are not what they claim to be."""


class TooLarge(Malformed):
    """There is more of it than a record may hold."""


def read_varint(buffer: bytes, position: int) -> tuple[int, int]:
    """Return (value, next position); the value has its low 64 bits. Raises Malformed."""
    value, position = _read(buffer, position, _VARINT_BYTES_MAX)
    return value & _MASK_64, position


def read_uint32(buffer: bytes, position: int) -> tuple[int, int]:
    """Return (value, next position) of a tag or a length. Raises Malformed above 32 bits."""
    try:
        low = buffer[position]
        if low < _CONTINUES:
            return low, position + 1
        high = buffer[position + 1]
        if high < _CONTINUES:
            return low & 0x7F | high << 7, position + 2
    except IndexError:
        raise Malformed(_BEYOND_RECORD) from None
    value, position = _read(buffer, position, _UINT32_BYTES_MAX)
    if value > _UINT32_MAX:
        raise Malformed(f"a tag or length of {value} has more than 32 bits")
    return value, position


def encode_varint(value: int) -> bytes:
    """Return a non-negative integer as a varint."""
    if value < _CONTINUES:
        return bytes((value,))
    encoded = bytearray()
    while value >= _CONTINUES:
        encoded.append(value & 0x7F | _CONTINUES)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def varint_bytes(value: int) -> int:
    """Return how many bytes `encode_varint` makes of this value."""
    return (value.bit_length() + 6) // 7 or 1


def framed(tag: int, content: bytes) -> bytes:
    """Return a length-delimited field; `tag` is its one byte, field number and wire type."""
    return b"%c%b%b" % (tag, encode_varint(len(content)), content)


def framed_bytes(content_bytes: int) -> int:
    """Return the size of what `framed` makes of a content of this size."""
    return 1 + varint_bytes(content_bytes) + content_bytes


def skip(buffer: bytes, position: int, tag: int) -> int:
    """Return the position after the field whose tag ended at `position`. Raises Malformed."""
    wire_type = tag & 7
    if tag >> 3 == 0:
        raise Malformed("a field number is 0")
    if wire_type == LENGTH:
        length, position = read_uint32(buffer, position)
        return position + length
    if wire_type == VARINT:
        return read_varint(buffer, position)[1]
    if wire_type == FIXED64:
        return position + 8
    if wire_type == FIXED32:
        return position + 4
    if wire_type == GROUP_START:
        return _skip_group(buffer, position, tag >> 3)
    raise Malformed(f"wire type {wire_type} where a field should begin")


def children(buffer: bytes, position: int, end: int, tag: int) -> list[tuple[int, int, int]]:
    """Return (field start, content start, content end) of each field `tag` of one message.

    `tag` is length-delimited and one byte long; every other field is skipped.

    Raises:
        Malformed: as TooLarge if there are more than `CHILDREN_MAX`.
    """
    found: list[tuple[int, int, int]] = []
    try:
        while position < end:
            start = position
            field_tag = buffer[position]
            length = buffer[position + 1]
            position += 2
            if field_tag >= _CONTINUES:
                field_tag, position = read_uint32(buffer, start)
                length = buffer[position]
                position += 1
            if field_tag & 7 == LENGTH and field_tag > LENGTH:
                if length >= _CONTINUES:
                    length, position = read_uint32(buffer, position - 1)
                if field_tag == tag:
                    if len(found) == CHILDREN_MAX:
                        raise TooLarge(f"a message of more than {CHILDREN_MAX} of one kind")
                    found.append((start, position, position + length))
                position += length
            else:
                position = skip(buffer, position - 1, field_tag)
    except IndexError:
        raise Malformed(_BEYOND_RECORD) from None
    if position != end:
        raise Malformed("a field reaches beyond the end of its message")
    return found


def _read(buffer: bytes, position: int, bytes_max: int) -> tuple[int, int]:
    value = 0
    try:
        for shift in range(0, 7 * bytes_max, 7):
            byte = buffer[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < _CONTINUES:
                return value, position
    except IndexError:
        raise Malformed(_BEYOND_RECORD) from None
    raise Malformed(f"a varint of more than {bytes_max} bytes")


def _skip_group(buffer: bytes, position: int, field: int) -> int:
    """Skip to the end of an (obsolete) group. Groups nest: counted here, not on Python's stack."""
    unclosed = [field]
    while unclosed:
        tag, position = read_uint32(buffer, position)
        wire_type = tag & 7
        if wire_type == GROUP_END:
            if unclosed.pop() != tag >> 3:
                raise Malformed("a group ends with another group's number")
        elif wire_type == GROUP_START:
            unclosed.append(tag >> 3)
            if len(unclosed) > GROUP_DEPTH_MAX:
                raise Malformed(f"groups nest deeper than {GROUP_DEPTH_MAX}")
        else:
            position = skip(buffer, position, tag)
    return position
