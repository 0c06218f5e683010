"""How a value is come by: a function of a view, or known from the start; and how it is indexed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stream.otlp.trace_state_value import trace_state_value
from stream.sampling.ottl.errors import Failed
from stream.sampling.ottl.message import Message
from stream.sampling.ottl.paths import Attributes, Read
from stream.sampling.ottl.values import NAMES, Value
from stream.sampling.ottl.view import View

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Reading:
    """A value to come. `constant`: it is `value` for every view; `literal`: it is written so.

    `within` finds the message in whose bytes every text that is read lies, None if there is none
    such; it is given only where reading cannot fail.
    """

    read: Read
    constant: bool = False
    literal: bool = False
    value: Value = None
    within: Callable[[View], Message] | None = None


def constant(value: Value, *, literal: bool = False) -> Reading:
    """Return the reading of what is known from the start."""
    return Reading(lambda _: value, constant=True, literal=literal, value=value)


def attribute(attributes: Attributes, keys: Sequence[Reading]) -> Read:
    """Return the read of an entry, to any depth: nil where a map has no such key."""
    locate, tag = attributes.locate, attributes.tag
    first, deeper = keys[0], keys[1:]
    if not first.constant:
        return _computed(attributes, keys)
    key = first.value
    assert type(key) is bytes, "checked when it was compiled"
    if not deeper:
        return lambda view: locate(view).attribute(tag, key)
    step = _stepping(deeper)
    return lambda view: step(view, locate(view).attribute(tag, key, _ABSENT))


def _computed(attributes: Attributes, keys: Sequence[Reading]) -> Read:
    step = _stepping(keys[1:])

    def read(view: View) -> Any:
        key = keys[0].read(view)
        if type(key) is not bytes:
            raise Failed(f"attributes are indexed by a text, not by {NAMES[type(key)]}")
        return step(view, attributes.locate(view).attribute(attributes.tag, key, _ABSENT))

    return read


def _stepping(keys: Sequence[Reading]) -> Callable[[View, Any], Any]:
    def step(view: View, value: Any) -> Any:
        if value is _ABSENT:
            return None
        for key in keys:
            found = key.read(view)
            if type(value) is dict and type(found) is bytes:
                if found not in value:
                    return None
                value = value[found]
            elif type(value) is list and type(found) is int:
                value = _element(value, found)
            else:
                raise Failed(f"{NAMES[type(value)]} is not indexed by {NAMES[type(found)]}")
        return value

    return step


def member(read: Read, key: bytes) -> Read:
    """Return the read of a tracestate's member: empty without one, nil where it is malformed."""

    def of_member(view: View) -> Value:
        trace_state = read(view)
        assert type(trace_state) is bytes
        return trace_state_value(trace_state, key)

    return of_member


def indexed(read: Read, keys: Sequence[Reading]) -> Read:
    """Return the read of what a function returned, indexed: a missing key fails."""

    def entry(view: View) -> Value:
        value = read(view)
        for key in keys:
            found = key.read(view)
            if type(value) is dict and type(found) is bytes:
                if found not in value:
                    raise Failed("a map has no such key")
                value = value[found]
            elif isinstance(value, list) and type(found) is int:
                value = _element(value, found)
            else:
                raise Failed(f"{NAMES[type(value)]} is not indexed by {NAMES[type(found)]}")
        return value

    return entry


def _element(values: list[Value], index: int) -> Value:
    if 0 <= index < len(values):
        return values[index]
    raise Failed(f"no element {index} in a list of {len(values)}")
