"""A span of the shop as it lies in Kafka: what tells who called whom, and what was on the wire."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status, TracesData


class Kind(IntEnum):
    """`Span.SpanKind` of OTLP."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


@dataclass(frozen=True, slots=True)
class SpanId:
    """Which span: both ids in hex."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A span. Ids are in hex, `parent_id` is empty for a root.

    `remote`: its parent was in another process, as its own SDK says. `address`: `host:port` that a
    SERVER span was called at, or a CLIENT span called. `traceparents`, `trace_states`: the headers
    as they came to a SERVER span.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    remote: bool = False
    service: str
    name: str
    kind: Kind
    trace_state: str = ""
    links: tuple[SpanId, ...] = ()
    failed: bool = False
    address: str = ""
    traceparents: tuple[str, ...] = ()
    trace_states: tuple[str, ...] = ()

    @property
    def id(self) -> SpanId:
        """Which span this is."""
        return SpanId(self.trace_id, self.span_id)

    def __str__(self) -> str:
        """Return whose span it is, and its name."""
        return f"{self.service}'s {self.name}"


def seen_in(value: bytes) -> Iterator[Seen]:
    """Yield the spans of an OTLP `TracesData`.

    Raises:
        google.protobuf.message.DecodeError: it is none.
    """
    for resource_spans in TracesData.FromString(value).resource_spans:
        service = _texts(resource_spans.resource.attributes).get("service.name", "")
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _seen(span, service)


def _seen(span: Span, service: str) -> Seen:
    texts = _texts(span.attributes)
    address = texts.get("server.address", "")
    return Seen(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        remote=bool(span.flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK),
        service=service,
        name=span.name,
        kind=Kind(span.kind),
        trace_state=span.trace_state,
        links=tuple(SpanId(link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        address=f"{address}:{texts.get('server.port', '')}" if address else "",
        traceparents=_several(span, "http.request.header.traceparent"),
        trace_states=_several(span, "http.request.header.tracestate"),
    )


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """Return the attributes that are texts or whole numbers, as texts."""
    found = {}
    for each in attributes:
        kind = each.value.WhichOneof("value")
        if kind in {"string_value", "int_value"}:
            found[each.key] = str(getattr(each.value, kind))
    return found


def _several(span: Span, key: str) -> tuple[str, ...]:
    for each in span.attributes:
        if each.key == key:
            return tuple(one.string_value for one in each.value.array_value.values)
    return ()
