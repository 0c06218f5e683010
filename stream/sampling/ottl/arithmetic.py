"""`+`, `-`, `*` and `/`: contrib, pkg/ottl/math.go. Ints wrap at 64 bits and divide towards 0."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

from stream.sampling.ottl.errors import Failed, WrongType
from stream.sampling.ottl.values import INT64_MAX, NAMES, Duration, Time, Value, int64

_NUMBERS: Final = (int, float)


def negated(value: Value) -> Value:
    """Return the number with the other sign. Raises WrongType."""
    if type(value) is int:
        return int64(-value)
    if type(value) is float:
        return -value
    raise WrongType(f"{NAMES[type(value)]} has no sign")


def added(left: Value, right: Value) -> Value:
    """Return the sum of numbers, of durations, or of a time and a duration."""
    match left, right:
        case Time(), Duration():
            return Time(left.ns + right.ns)
        case Duration(), Time():
            return Time(left.ns + right.ns)
        case Duration(), Duration():
            return Duration(int64(left.ns + right.ns))
    return _number(left, right, "+")


def subtracted(left: Value, right: Value) -> Value:
    """Return the difference; of two times it is a duration, as long as one can be (Go's `Sub`)."""
    match left, right:
        case Time(), Time():
            return Duration(max(-INT64_MAX - 1, min(left.ns - right.ns, INT64_MAX)))
        case Time(), Duration():
            return Time(left.ns - right.ns)
        case Duration(), Duration():
            return Duration(int64(left.ns - right.ns))
    return _number(left, right, "-")


def multiplied(left: Value, right: Value) -> Value:
    """Return the product of two numbers."""
    return _number(left, right, "*")


def divided(left: Value, right: Value) -> Value:
    """Return the quotient of two numbers; by 0 raises Failed."""
    return _number(left, right, "/")


OPERATIONS: Final[Mapping[str, Callable[[Value, Value], Value]]] = MappingProxyType(
    {"+": added, "-": subtracted, "*": multiplied, "/": divided}
)
"""By their operators."""


def _number(left: Any, right: Any, symbol: str) -> Value:
    if type(left) not in _NUMBERS or type(right) not in _NUMBERS:
        _refuse(left, right, symbol)
    if type(left) is not type(right):
        left, right = float(left), float(right)
    if symbol == "/" and not right:
        raise Failed("a division by 0")
    if symbol == "/" and type(left) is int:
        quotient = abs(left) // abs(right)
        return int64(quotient if (left < 0) == (right < 0) else -quotient)
    result = _PLAIN[symbol](left, right)
    return int64(result) if type(result) is int else result


def _refuse(left: Value, right: Value, symbol: str) -> NoReturn:
    raise WrongType(f"no {symbol} of {NAMES[type(left)]} and {NAMES[type(right)]}")


_PLAIN: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
}
