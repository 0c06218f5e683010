"""Fields of a protobuf message by their tags, read when they are asked for, off the record's bytes.

As protobuf has it: the last value of a repeated scalar wins, an absent one is 0 or empty, a known
field number with another wire type is an unknown field, and a message that occurs twice is merged.
Of attributes with one key the first one counts, as in the Collector. Reading raises Malformed.
"""

from functools import lru_cache
from struct import Struct
from typing import Any, Final

from stream.otlp.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    Malformed,
    framed,
    read_uint32,
    read_varint,
    skip,
)
from stream.sampling.ottl.values import Octets, Value, int64

VALUE_DEPTH_MAX: Final = 64
"""How deep lists and maps may nest in an attribute."""

_KEY: Final = 1 << 3 | LENGTH
_VALUE: Final = 2 << 3 | LENGTH
_STRING: Final = 1 << 3 | LENGTH
_BOOL: Final = 2 << 3 | VARINT
_INT: Final = 3 << 3 | VARINT
_DOUBLE: Final = 4 << 3 | FIXED64
_LIST: Final = 5 << 3 | LENGTH
_MAP: Final = 6 << 3 | LENGTH
_OCTETS: Final = 7 << 3 | LENGTH
_CHILD: Final = 1 << 3 | LENGTH
_CONTINUES: Final = 0x80
_WIDTHS: Final = {FIXED64: 8, FIXED32: 4}
_READ_DOUBLE: Final = Struct("<d").unpack_from


class Message:
    """A message whose content lies at these ranges of a record; several are merged."""

    __slots__ = ("_fields", "_ranges", "_record")

    def __init__(self, record: bytes, ranges: list[tuple[int, int]]) -> None:
        self._record = record
        self._ranges = ranges
        self._fields: dict[int, Any] | None = None

    def text(self, tag: int) -> bytes:
        """Return the last value of a length-delimited field, empty if there is none."""
        ranges = self.ranges(tag)
        return self._record[slice(*ranges[-1])] if ranges else b""

    def number(self, tag: int) -> int:
        """Return the last value of a varint or fixed field, unsigned; 0 if there is none."""
        number: int = self._all().get(tag, 0)
        return number

    def ranges(self, tag: int) -> list[tuple[int, int]]:
        """Return where the contents of a length-delimited field lie."""
        ranges: list[tuple[int, int]] = self._all().get(tag, [])
        return ranges

    def child(self, tag: int) -> "Message":
        """Return the message in this field; an empty one if there is none."""
        return Message(self._record, self.ranges(tag))

    def may_hold(self, octets: bytes) -> bool:
        """Return whether these bytes lie in it anywhere: without them no text of it is equal."""
        return any(self._record.find(octets, *each) >= 0 for each in self._ranges)

    def attribute(self, tag: int, key: bytes, absent: Any = None) -> Any:
        """Return the value of the attribute with this key, `absent` if there is none.

        A message that does not hold the key's bytes anywhere is not read at all.
        """
        if self._fields is None and not self.may_hold(key):
            return absent
        record = self._record
        plain = _plain_key(key)
        for start, end in self.ranges(tag):
            # As the scanner does: an attribute is looked at if its first key is the wanted one.
            if record.startswith(plain, start) or (
                end - start > 1 and (record[start] != _KEY or record[start + 1] >= _CONTINUES)
            ):
                found, value = _key_value(record, start, end)
                if found == key:
                    return _decoded(record, value, 0)
        return absent

    def map(self, tag: int) -> dict[bytes, Value]:
        """Return all attributes in this field."""
        return _map_of(self._record, self.ranges(tag), 0)

    def _all(self) -> dict[int, Any]:
        if self._fields is None:
            self._fields = {}
            for start, end in self._ranges:
                _read_into(self._fields, self._record, start, end)
        return self._fields


@lru_cache(1024)
def _plain_key(key: bytes) -> bytes:
    """Return how an attribute with this key begins, as every encoder writes it."""
    return framed(_KEY, key)


def _read_into(fields: dict[int, Any], record: bytes, position: int, end: int) -> None:
    try:
        while position < end:
            tag = record[position]
            position += 1
            if tag >= _CONTINUES:
                tag, position = read_uint32(record, position - 1)
            wire_type = tag & 7
            if wire_type == LENGTH and tag > LENGTH:
                length = record[position]
                position += 1
                if length >= _CONTINUES:
                    length, position = read_uint32(record, position - 1)
                ranges = fields.get(tag)
                if ranges is None:
                    fields[tag] = ranges = []
                ranges.append((position, position + length))
                position += length
            elif wire_type == VARINT and tag > VARINT + 7:
                fields[tag], position = read_varint(record, position)
            elif wire_type in _WIDTHS and tag > 7:  # noqa: PLR2004 - there is a field number
                width = _WIDTHS[wire_type]
                fields[tag] = int.from_bytes(record[position : position + width], "little")
                position += width
            else:
                position = skip(record, position, tag)
    except IndexError:
        raise Malformed("a field reaches beyond the end of the record") from None
    if position != end:
        raise Malformed("a field reaches beyond the end of its message")


def _key_value(record: bytes, start: int, end: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Return the key of an attribute, and where its value lies."""
    fields: dict[int, Any] = {}
    _read_into(fields, record, start, end)
    keys = fields.get(_KEY)
    return record[slice(*keys[-1])] if keys else b"", fields.get(_VALUE, [])


def _map_of(record: bytes, ranges: list[tuple[int, int]], depth: int) -> dict[bytes, Value]:
    values: dict[bytes, Value] = {}
    for start, end in ranges:
        key, value = _key_value(record, start, end)
        if key not in values:
            values[key] = _decoded(record, value, depth)
    return values


def _decoded(record: bytes, ranges: list[tuple[int, int]], depth: int) -> Value:
    """Return the value of an `AnyValue`: of its alternatives the last one counts."""
    if depth > VALUE_DEPTH_MAX:
        raise Malformed(f"values nest deeper than {VALUE_DEPTH_MAX}")
    value: Value = None
    for start, end in ranges:
        position = start
        while position < end:
            tag, position = read_uint32(record, position)
            if tag in _FRAMED:
                length, position = read_uint32(record, position)
                if position + length > end:
                    break
                value = _framed_value(record, tag, position, position + length, depth)
                position += length
            elif tag in (_BOOL, _INT):
                number, position = read_varint(record, position)
                value = number != 0 if tag == _BOOL else int64(number)
            elif tag == _DOUBLE and position + 8 <= end:
                value = _READ_DOUBLE(record, position)[0]
                position += 8
            else:
                position = skip(record, position, tag)
        if position != end:
            raise Malformed("a field reaches beyond the end of its attribute's value")
    return value


_FRAMED: Final = frozenset({_STRING, _OCTETS, _LIST, _MAP})


def _framed_value(record: bytes, tag: int, start: int, end: int, depth: int) -> Value:
    if tag == _STRING:
        return record[start:end]
    if tag == _OCTETS:
        return Octets(record[start:end])
    fields: dict[int, Any] = {}
    _read_into(fields, record, start, end)
    children = fields.get(_CHILD, [])
    if tag == _MAP:
        return _map_of(record, children, depth + 1)
    return [_decoded(record, [child], depth + 1) for child in children]
