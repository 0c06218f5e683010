"""The values of OTTL and how they compare.

A text is its UTF-8 bytes, as on the wire, because the language counts, cuts and orders bytes.
Numbers are int (64 bits, signed) and float. nil is None. Comparison rules: contrib,
pkg/ottl/LANGUAGE.md, "Comparison Rules" and compare.go.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

INT64_MAX: Final = 2**63 - 1
_UINT64: Final = 2**64


class Octets(bytes):
    """A byte slice, which is not a text."""

    __slots__ = ()


class TraceId(bytes):
    """A trace id, 16 bytes."""

    __slots__ = ()


class SpanId(bytes):
    """A span id, 8 bytes."""

    __slots__ = ()


class Texts(list[Any]):
    """What `Split` returns: can be indexed and counted, and is equal to nothing."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Time:
    """An instant, Unix nanoseconds."""

    ns: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time in nanoseconds, of either sign."""

    ns: int


@dataclass(frozen=True, slots=True)
class Part:
    """A span's events, links or status as a whole, which can be counted and asked for equality.

    `content` is the last of them as bytes.
    """

    name: str
    count: int
    content: bytes


Value: TypeAlias = (
    "bytes | bool | int | float | Octets | TraceId | SpanId | list[Any] | dict[bytes, Any]"
    " | Time | Duration | Part | None"
)
Compare: TypeAlias = Callable[[Value, Value], bool]

NAMES: Final[MappingProxyType[type, str]] = MappingProxyType(
    {
        bytes: "a text",
        bool: "a boolean",
        int: "an int",
        float: "a double",
        type(None): "nil",
        Octets: "a byte slice",
        TraceId: "a trace id",
        SpanId: "a span id",
        list: "a list",
        Texts: "a list",
        dict: "a map",
        Time: "a time",
        Duration: "a duration",
        Part: "a part of the span",
    }
)
"""What the types are called in errors."""

_ORDERED: Final = frozenset({bytes, bool, int, float, Octets, Time, Duration})
_LISTS_AND_MAPS: Final = frozenset({list, dict})
_OPERATORS: Final[MappingProxyType[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }
)
OPERATORS: Final = tuple(_OPERATORS)


def int64(number: int) -> int:
    """Return the number as 64 bits hold it: what is beyond wraps around, as in Go."""
    number %= _UINT64
    return number - _UINT64 if number > INT64_MAX else number


def comparing(symbol: str) -> Compare:
    """Return the function that compares two values by this operator.

    Ints and doubles compare as doubles. Values of other types that differ, and nil and anything
    else, are unequal, and no operator but `!=` is true of them. Two nils are equal.
    """
    compare = _OPERATORS[symbol]
    unequal = symbol == "!="
    equal = symbol in ("==", "<=", ">=")

    def compared(left: Value, right: Value) -> bool:
        kind, other = type(left), type(right)
        if kind is other and kind in _ORDERED:
            if kind is Octets and not (left and right):
                # An empty byte slice is nil.
                return equal if not (left or right) else unequal
            return compare(left, right)
        if (kind is int and other is float) or (kind is float and other is int):
            return compare(float(left), float(right))  # type: ignore[arg-type]  # seen above
        if _is_nil(left) and _is_nil(right):
            return equal
        if symbol in ("==", "!=") and _same(left, right):
            return not unequal
        return unequal

    return compared


def equal_to(left: Value, right: Value) -> bool:
    """Return whether `==` holds."""
    return _EQUAL(left, right)


def _is_nil(value: Value) -> bool:
    return value is None or (type(value) is Octets and not value)


def _same(left: Value, right: Value) -> bool:
    """Return whether two ids, lists or maps are equal: to any depth, and of the same types."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind in _LISTS_AND_MAPS:
        return _deeply_equal(left, right)
    return kind in (TraceId, SpanId, Part) and left == right


def _deeply_equal(left: Any, right: Any) -> bool:
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is list:
        return len(left) == len(right) and all(map(_deeply_equal, left, right))
    if kind is dict:
        return left.keys() == right.keys() and all(
            _deeply_equal(value, right[key]) for key, value in left.items()
        )
    return bool(left == right)


_EQUAL: Final = comparing("==")
