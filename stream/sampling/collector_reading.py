"""Spans as the Collector v0.158 reads them, with its known traps (`compatibility: collector`).

contrib, tailsamplingprocessor/internal/sampling: `Value.Int()`, `.Bool()` and `.Str()` read a value
of another type as 0, false and "". Of attributes with one key the first one counts. A status code
that OTLP does not define is none of those that it does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from stream.sampling.ottl.view import (
    RESOURCE_ATTRIBUTES,
    SPAN_ATTRIBUTES,
    STATUS,
    STATUS_CODE,
    View,
)

_ABSENT: Final = object()
_UINT32: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ReadAsNumber:
    """Some span or resource has an attribute of this key that reads as a number in the bounds."""

    key: str
    min_value: int | None
    max_value: int | None


@dataclass(frozen=True, slots=True)
class ReadAsBoolean:
    """Some span or resource has an attribute of this key that reads as this boolean."""

    key: str
    value: bool


@dataclass(frozen=True, slots=True)
class ReadAsString:
    """Some resource has an attribute of this key that reads as one of the values, or some span.

    There it must not be empty. An empty value is none; `regex` as in `StringIs`.
    """

    key: str
    values: frozenset[str]
    regex: bool = False


@dataclass(frozen=True, slots=True)
class ReadAsUnset:
    """Some span has the status code 0 or none; an unknown one is not 0."""


AsCollector = ReadAsNumber | ReadAsBoolean | ReadAsString


@dataclass(frozen=True, slots=True)
class ReadAttribute:
    """Asks one attribute of each span and its resource."""

    met: int
    key: bytes
    resource: Callable[[Any], bool]
    span: Callable[[Any], bool]

    def bits(self, view: View) -> int:
        """Return `met` or 0."""
        value = view.resource.inner.attribute(RESOURCE_ATTRIBUTES, self.key, _ABSENT)
        if value is not _ABSENT and self.resource(value):
            return self.met
        value = view.span.attribute(SPAN_ATTRIBUTES, self.key, _ABSENT)
        return self.met if value is not _ABSENT and self.span(value) else 0


@dataclass(frozen=True, slots=True)
class UnsetTest:
    """Asks each span whether it has a status code."""

    met: int

    def bits(self, view: View) -> int:
        """Return `met` or 0."""
        return 0 if view.span.child(STATUS).number(STATUS_CODE) & _UINT32 else self.met


def read_attribute(
    condition: AsCollector, met: int, search: Callable[[bytes], bool]
) -> ReadAttribute:
    """Compile a condition. `search` tells of a text whether it is one of the values."""
    test: Callable[[Any], bool]
    key = condition.key.encode()
    match condition:
        case ReadAsNumber(min_value=low, max_value=high):

            def test(value: Any) -> bool:
                number = value if type(value) is int else 0
                return (low is None or number >= low) and (high is None or number <= high)

            return ReadAttribute(met, key, test, test)
        case ReadAsBoolean(value=wanted):

            def test(value: Any) -> bool:
                return (value is True) is wanted

            return ReadAttribute(met, key, test, test)
        case ReadAsString():

            def of_resource(value: Any) -> bool:
                return search(value if type(value) is bytes else b"")

            def of_span(value: Any) -> bool:
                return type(value) is bytes and value != b"" and search(value)

            return ReadAttribute(met, key, of_resource, of_span)
