"""What conditions ask of an attribute's value: told as what they are, so that each core can do it.

The compiled core tests values in C, its pure-Python twin with what `in_python` returns. Only a
search (a regular expression) is a call of Python in both.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is a string, and one of these in UTF-8."""

    values: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Within:
    """The value is an int or a double, not below `low`, not above `high`; None is no bound.

    Ints and doubles compare by value, exactly: neither is rounded. NaN is within no bounds.
    """

    low: int | None
    high: int | None

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        assert bounds, "a number without any bound"
        assert all(INT64_MIN <= bound <= INT64_MAX for bound in bounds), bounds


@dataclass(frozen=True, slots=True)
class Is:
    """The value is a boolean, and this one."""

    wanted: bool


Search: TypeAlias = Callable[[bytes], bool]
"""The value is a string, of which the call with its UTF-8 bytes says yes. It never raises."""

ValueTest: TypeAlias = OneOf | Within | Is | Search
"""A test of an attribute's value."""


def in_python(test: ValueTest) -> Iterator[tuple[type, Callable[[Any], bool]]]:
    """Yield (type of value, test) for each type that can meet it: bytes, bool, int and float."""
    match test:
        case OneOf(values=values):
            yield bytes, values.__contains__
        case Is(wanted=wanted):
            yield bool, wanted.__eq__
        case Within(low=low, high=high):
            within = _within(low, high)
            yield int, within
            yield float, within
        case _:
            yield bytes, test


def _within(low: int | None, high: int | None) -> Callable[[float], bool]:
    # Python compares an int with a double exactly, without rounding either.
    if low is None:
        return lambda number: high is not None and number <= high
    if high is None:
        return lambda number: number >= low
    return lambda number: low <= number <= high
