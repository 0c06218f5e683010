"""The paths of the span and spanevent contexts: contrib, pkg/ottl/contexts.

A path reads a field of a `View`. The first name is its context; without one it is that of the
condition: `name` in a condition on span events is `spanevent.name`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from stream.sampling.ottl import view as tags
from stream.sampling.ottl.message import Message
from stream.sampling.ottl.values import Part, SpanId, Time, TraceId, Value, int64
from stream.sampling.ottl.view import View

Read: TypeAlias = Callable[[View], Value]
Kind: TypeAlias = Literal["span", "spanevent"]
_Locate: TypeAlias = Callable[[View], Message]


@dataclass(frozen=True, slots=True)
class Field:
    """A field that has one value; where that is a text, it lies in the message `within`."""

    read: Read
    within: _Locate | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """A map whose entries can be read alone: the attributes of a message, in this field of it."""

    locate: _Locate
    tag: int


@dataclass(frozen=True, slots=True)
class Members:
    """The tracestate, of which a key reads a member."""

    read: Read


Readable: TypeAlias = Field | Attributes | Members

ENUMS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "SPAN_KIND_UNSPECIFIED": 0,
        "SPAN_KIND_INTERNAL": 1,
        "SPAN_KIND_SERVER": 2,
        "SPAN_KIND_CLIENT": 3,
        "SPAN_KIND_PRODUCER": 4,
        "SPAN_KIND_CONSUMER": 5,
        "STATUS_CODE_UNSET": 0,
        "STATUS_CODE_OK": 1,
        "STATUS_CODE_ERROR": 2,
    }
)
"""What the names in capitals stand for (OTLP `Span.SpanKind`, `Status.StatusCode`)."""

_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_INT32: Final = 2**32
_INT32_MAX: Final = 2**31 - 1
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8


def readable(kind: Kind, names: tuple[str, ...]) -> Readable | None:
    """Return what a path of these names reads in a condition of this kind; None if nothing."""
    fields = FIELDS[kind]
    if len(names) > 1 and names[0] in _CONTEXTS[kind]:
        return fields.get(names)
    return fields.get((kind, *names))


def _span(view: View) -> Message:
    return view.span


def _event(view: View) -> Message:
    return view.event


def _resource(view: View) -> Message:
    return view.resource.inner


def _scope(view: View) -> Message:
    return view.scope.inner


def _text(locate: _Locate, tag: int) -> Field:
    return Field(lambda view: locate(view).text(tag), locate)


def _number(locate: _Locate, tag: int) -> Field:
    return Field(lambda view: locate(view).number(tag))


def _int32(locate: _Locate, tag: int) -> Read:
    def read(view: View) -> Value:
        number = locate(view).number(tag) % _INT32
        return number - _INT32 if number > _INT32_MAX else number

    return read


def _time(locate: _Locate, tag: int) -> Field:
    return Field(lambda view: Time(int64(locate(view).number(tag))))


def _unix_nano(locate: _Locate, tag: int) -> Field:
    return Field(lambda view: int64(locate(view).number(tag)))


def _part(name: str, tag: int) -> Field:
    return Field(lambda view: Part(name, len(view.span.ranges(tag)), view.span.text(tag)))


def _trace_id(view: View) -> TraceId:
    return TraceId(view.span.text(tags.TRACE_ID).rjust(_TRACE_ID_BYTES, b"\0"))


def _span_id(tag: int) -> Callable[[View], SpanId]:
    return lambda view: SpanId(view.span.text(tag).rjust(_SPAN_ID_BYTES, b"\0"))


def _hexadecimal(read: Callable[[View], bytes]) -> Field:
    return Field(lambda view: read(view).hex().encode())


def _kind_name(prefix: str, names: tuple[str, ...]) -> Field:
    read = _int32(_span, tags.KIND)
    known = {number: (prefix + name).encode() for number, name in enumerate(names)}
    return Field(lambda view: known.get(read(view), b""))  # type: ignore[arg-type]  # an int


def _status(view: View) -> Message:
    return view.span.child(tags.STATUS)


_OF_SPANS: Final[dict[tuple[str, ...], Readable]] = {
    ("span", "trace_id"): Field(_trace_id),
    ("span", "trace_id", "string"): _hexadecimal(_trace_id),
    ("span", "span_id"): Field(_span_id(tags.SPAN_ID)),
    ("span", "span_id", "string"): _hexadecimal(_span_id(tags.SPAN_ID)),
    ("span", "parent_span_id"): Field(_span_id(tags.PARENT_SPAN_ID)),
    ("span", "parent_span_id", "string"): _hexadecimal(_span_id(tags.PARENT_SPAN_ID)),
    ("span", "trace_state"): Members(_text(_span, tags.TRACE_STATE).read),
    ("span", "name"): _text(_span, tags.SPAN_NAME),
    ("span", "kind"): Field(_int32(_span, tags.KIND)),
    ("span", "kind", "string"): _kind_name("", _KINDS),
    ("span", "kind", "deprecated_string"): _kind_name(
        "SPAN_KIND_", tuple(name.upper() for name in _KINDS)
    ),
    ("span", "start_time"): _time(_span, tags.START_TIME),
    ("span", "start_time_unix_nano"): _unix_nano(_span, tags.START_TIME),
    ("span", "end_time"): _time(_span, tags.END_TIME),
    ("span", "end_time_unix_nano"): _unix_nano(_span, tags.END_TIME),
    ("span", "attributes"): Attributes(_span, tags.SPAN_ATTRIBUTES),
    ("span", "dropped_attributes_count"): _number(_span, tags.SPAN_DROPPED_ATTRIBUTES),
    ("span", "events"): _part("events", tags.EVENTS),
    ("span", "dropped_events_count"): _number(_span, tags.DROPPED_EVENTS),
    ("span", "links"): _part("links", tags.LINKS),
    ("span", "dropped_links_count"): _number(_span, tags.DROPPED_LINKS),
    ("span", "status"): _part("status", tags.STATUS),
    ("span", "status", "code"): Field(_int32(_status, tags.STATUS_CODE)),
    ("span", "status", "message"): _text(_status, tags.STATUS_MESSAGE),
    ("span", "flags"): _number(_span, tags.FLAGS),
    ("resource", "attributes"): Attributes(_resource, tags.RESOURCE_ATTRIBUTES),
    ("resource", "dropped_attributes_count"): _number(_resource, tags.RESOURCE_DROPPED_ATTRIBUTES),
    ("resource", "schema_url"): Field(
        lambda view: view.resource.whole.text(tags.RESOURCE_SCHEMA_URL)
    ),
}
_OF_SCOPES: Final[dict[str, Readable]] = {
    "name": _text(_scope, tags.SCOPE_NAME),
    "version": _text(_scope, tags.SCOPE_VERSION),
    "attributes": Attributes(_scope, tags.SCOPE_ATTRIBUTES),
    "dropped_attributes_count": _number(_scope, tags.SCOPE_DROPPED_ATTRIBUTES),
    "schema_url": Field(lambda view: view.scope.whole.text(tags.SCOPE_SCHEMA_URL)),
}
for _name, _field in _OF_SCOPES.items():
    _OF_SPANS["scope", _name] = _OF_SPANS["instrumentation_scope", _name] = _field
_OF_EVENTS: Final[dict[tuple[str, ...], Readable]] = {
    ("spanevent", "time"): _time(_event, tags.EVENT_TIME),
    ("spanevent", "time_unix_nano"): _unix_nano(_event, tags.EVENT_TIME),
    ("spanevent", "name"): _text(_event, tags.EVENT_NAME),
    ("spanevent", "attributes"): Attributes(_event, tags.EVENT_ATTRIBUTES),
    ("spanevent", "dropped_attributes_count"): _number(_event, tags.EVENT_DROPPED_ATTRIBUTES),
}

FIELDS: Final[Mapping[Kind, Mapping[tuple[str, ...], Readable]]] = MappingProxyType(
    {"span": _OF_SPANS, "spanevent": _OF_SPANS | _OF_EVENTS}
)
"""Every path of each kind of condition, with its context."""

_CONTEXTS: Final = {kind: {names[0] for names in fields} for kind, fields in FIELDS.items()}
