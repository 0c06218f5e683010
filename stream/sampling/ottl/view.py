"""What a condition sees: one span, or one of its span events, with what surrounds it."""

from typing import Final

from stream.otlp.wire import FIXED32, FIXED64, LENGTH, VARINT
from stream.sampling.ottl.message import Message

# Tags of opentelemetry.proto.trace.v1, resource.v1 and common.v1.
RESOURCE_SCHEMA_URL: Final = 3 << 3 | LENGTH
RESOURCE_ATTRIBUTES: Final = 1 << 3 | LENGTH
RESOURCE_DROPPED_ATTRIBUTES: Final = 2 << 3 | VARINT
SCOPE_SCHEMA_URL: Final = 3 << 3 | LENGTH
SCOPE_NAME: Final = 1 << 3 | LENGTH
SCOPE_VERSION: Final = 2 << 3 | LENGTH
SCOPE_ATTRIBUTES: Final = 3 << 3 | LENGTH
SCOPE_DROPPED_ATTRIBUTES: Final = 4 << 3 | VARINT
TRACE_ID: Final = 1 << 3 | LENGTH
SPAN_ID: Final = 2 << 3 | LENGTH
TRACE_STATE: Final = 3 << 3 | LENGTH
PARENT_SPAN_ID: Final = 4 << 3 | LENGTH
SPAN_NAME: Final = 5 << 3 | LENGTH
KIND: Final = 6 << 3 | VARINT
START_TIME: Final = 7 << 3 | FIXED64
END_TIME: Final = 8 << 3 | FIXED64
SPAN_ATTRIBUTES: Final = 9 << 3 | LENGTH
SPAN_DROPPED_ATTRIBUTES: Final = 10 << 3 | VARINT
EVENTS: Final = 11 << 3 | LENGTH
DROPPED_EVENTS: Final = 12 << 3 | VARINT
LINKS: Final = 13 << 3 | LENGTH
DROPPED_LINKS: Final = 14 << 3 | VARINT
STATUS: Final = 15 << 3 | LENGTH
STATUS_MESSAGE: Final = 2 << 3 | LENGTH
STATUS_CODE: Final = 3 << 3 | VARINT
FLAGS: Final = 16 << 3 | FIXED32
EVENT_TIME: Final = 1 << 3 | FIXED64
EVENT_NAME: Final = 2 << 3 | LENGTH
EVENT_ATTRIBUTES: Final = 3 << 3 | LENGTH
EVENT_DROPPED_ATTRIBUTES: Final = 4 << 3 | VARINT

_INNER: Final = 1 << 3 | LENGTH  # the resource of ResourceSpans, the scope of ScopeSpans
_NO_EVENT: Final = Message(b"", [])


class Envelope:
    """A `ResourceSpans` with its resource, or a `ScopeSpans` with its scope, read when asked."""

    __slots__ = ("_inner", "whole")

    def __init__(self, record: bytes, start: int, end: int) -> None:
        self.whole = Message(record, [(start, end)])
        self._inner: Message | None = None

    @property
    def inner(self) -> Message:
        """The resource or the scope; an empty one if there is none."""
        if self._inner is None:
            self._inner = self.whole.child(_INNER)
        return self._inner


class View:
    """One span in its envelopes; `event` is one of its span events, or empty."""

    __slots__ = ("event", "record", "resource", "scope", "span")

    def __init__(
        self, record: bytes, resource: Envelope, scope: Envelope, start: int, end: int
    ) -> None:
        self.record = record
        self.resource = resource
        self.scope = scope
        self.span = Message(record, [(start, end)])
        self.event = _NO_EVENT
