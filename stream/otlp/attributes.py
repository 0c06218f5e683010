"""Look at the attributes that conditions name: a bit for each condition that a value meets.

An attribute (`opentelemetry.proto.common.v1.KeyValue`) is looked at if its first key is one that a
condition names; any other is skipped by its length, or at most by its key. One that is looked at is
read as protobuf reads it: the last key and the last value win. Strings, booleans, integers and
doubles are values here; bytes, lists and maps stay opaque and meet no condition.
"""

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final, TypeAlias

from stream.otlp.value_tests import ValueTest, in_python
from stream.otlp.wire import (
    FIXED64,
    LENGTH,
    VARINT,
    Malformed,
    children,
    encode_varint,
    read_uint32,
    read_varint,
    skip,
)

# A string is its UTF-8 bytes, as on the wire. None: no value, or one that stays opaque.
Value: TypeAlias = bytes | bool | int | float | None

KEY: Final = 1 << 3 | LENGTH
_VALUE: Final = 2 << 3 | LENGTH
_STRING: Final = 1 << 3 | LENGTH
_BOOL: Final = 2 << 3 | VARINT
_INT: Final = 3 << 3 | VARINT
_DOUBLE: Final = 4 << 3 | FIXED64
_OPAQUE: Final = frozenset({5 << 3 | LENGTH, 6 << 3 | LENGTH, 7 << 3 | LENGTH})
# `ResourceSpans.resource`, and `Resource.attributes` in it.
_RESOURCE: Final = 1 << 3 | LENGTH
_RESOURCE_ATTRIBUTE: Final = 1 << 3 | LENGTH

_CONTINUES: Final = 0x80
_INT64_LIMIT: Final = 1 << 63
_READ_DOUBLE: Final = Struct("<d").unpack_from


class AttributeTests:
    """What to test of which attributes, compiled.

    `tests`, as in the constructor: (key, mask of the condition, test of the key's value).
    `key_starts` holds the bytes with which the length of a wanted key may begin, for a quick no.
    """

    __slots__ = ("_tests", "key_starts", "tests")

    def __init__(self, tests: Iterable[tuple[str, int, ValueTest]]) -> None:
        self.tests = tuple(tests)
        self._tests: dict[bytes, dict[type, list[tuple[int, Callable[[Any], bool]]]]] = {}
        for key, mask, test in self.tests:
            by_type = self._tests.setdefault(key.encode(), {})
            for kind, asked in in_python(test):
                by_type.setdefault(kind, []).append((mask, asked))
        lengths = {encode_varint(len(key))[0] for key in self._tests}
        # A length of several bytes may be a short one in a long form: such a key is read.
        self.key_starts = frozenset(lengths | set(range(_CONTINUES, 256)))

    def bits(self, buffer: bytes, position: int, end: int) -> int:
        """Return the masks of the conditions that the attribute in `buffer[position:end]` meets.

        `end - position` is at least 2. Raises Malformed.
        """
        length = buffer[position + 1]
        if buffer[position] == KEY and length < _CONTINUES:
            position_after = position + 2 + length
            if buffer[position + 2 : position_after] not in self._tests and position_after <= end:
                return 0
        key, value = _key_value(buffer, position, end)
        bits = 0
        for mask, test in self._tests.get(key, {}).get(type(value), ()):
            if test(value):
                bits |= mask
        return bits

    def resource_bits(self, buffer: bytes, position: int, end: int) -> int:
        """Return those that an attribute of this `ResourceSpans`' resource meets."""
        bits = 0
        for _, start, stop in children(buffer, position, end, _RESOURCE):
            for _, first, last in children(buffer, start, stop, _RESOURCE_ATTRIBUTE):
                if last - first > 1:
                    bits |= self.bits(buffer, first, last)
        return bits


def _key_value(buffer: bytes, position: int, end: int) -> tuple[bytes, Value]:
    key = b""
    value: Value = None
    while position < end:
        tag, position = read_uint32(buffer, position)
        if tag in (KEY, _VALUE):
            length, position = read_uint32(buffer, position)
            if tag == KEY:
                key = buffer[position : position + length]
            else:
                value = _any_value(buffer, position, position + length, value)
            position += length
        else:
            position = skip(buffer, position, tag)
    if position != end:
        raise Malformed("a field reaches beyond the end of its attribute")
    return key, value


def _any_value(buffer: bytes, position: int, end: int, value: Value) -> Value:
    """Return the value of this `AnyValue`, or the one before it if it holds none: both merge."""
    while position < end:
        tag, position = read_uint32(buffer, position)
        if tag == _STRING:
            length, position = read_uint32(buffer, position)
            value = buffer[position : position + length]
            position += length
        elif tag == _BOOL:
            number, position = read_varint(buffer, position)
            value = number != 0
        elif tag == _INT:
            number, position = read_varint(buffer, position)
            value = number - 2 * _INT64_LIMIT if number >= _INT64_LIMIT else number
        elif tag == _DOUBLE:
            position += 8
            if position <= len(buffer):  # if not, it lies beyond `end`, too
                value = _READ_DOUBLE(buffer, position - 8)[0]
        else:
            position = skip(buffer, position, tag)
            if tag in _OPAQUE:
                value = None
    if position != end:
        raise Malformed("a field reaches beyond the end of its attribute's value")
    return value
