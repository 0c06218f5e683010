"""Builders of OTLP spans, traces and records: every field has a default, a test names what matters.

All times are Unix nanoseconds. Ids are derived from small integers, so a failure reads well.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
    TracesData,
)

Attribute: TypeAlias = "str | bool | int | float | bytes | list[str]"

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def trace_id_of(number: int) -> bytes:
    """Return a valid trace id, 16 bytes, for a number from 0."""
    return b"\x4b" + number.to_bytes(15, "big")


def span_id_of(number: int) -> bytes:
    """Return a valid span id, 8 bytes, for a number from 0."""
    return b"\x5a" + number.to_bytes(7, "big")


TRACE_ID = trace_id_of(1)
SPAN_ID = span_id_of(1)


def a_span(
    *,
    trace_id: bytes = TRACE_ID,
    span_id: bytes = SPAN_ID,
    parent_span_id: bytes = b"",
    name: str = "GET /checkout",
    kind: int = Span.SPAN_KIND_SERVER,
    start_ns: int = START_NS,
    end_ns: int = START_NS + 100 * MS,
    status: int = Status.STATUS_CODE_UNSET,
    status_message: str = "",
    attributes: Mapping[str, Attribute] | None = None,
    trace_state: str = "",
    flags: int = 0,
    events: Iterable[Span.Event] = (),
    links: Iterable[Span.Link] = (),
) -> Span:
    """Return a root span of 100 ms without a status. A status code of 0 is not written at all."""
    span = Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_span_id,
        name=name,
        kind=kind,  # type: ignore[arg-type]  # any integer: unknown kinds are legal on the wire
        start_time_unix_nano=start_ns,
        end_time_unix_nano=end_ns,
        attributes=key_values(attributes or {}),
        trace_state=trace_state,
        flags=flags,
        events=events,
        links=links,
    )
    if status or status_message:
        span.status.code = status  # type: ignore[assignment]  # unknown codes are legal too
        span.status.message = status_message
    return span


def a_trace(
    number: int = 1,
    *,
    spans: int = 3,
    first_span: int = 1,
    start_ns: int = START_NS,
    duration_ms: int = 100,
    error: bool = False,
    attributes: Mapping[str, Attribute] | None = None,
) -> list[Span]:
    """Return the spans of trace `number`: a root and its children, the last one in error if asked.

    The root starts at `start_ns` and lasts the whole `duration_ms`; each child starts a
    millisecond later than the one before it and ends with the root.
    """
    root_id = span_id_of(first_span)
    end_ns = start_ns + duration_ms * MS
    return [
        a_span(
            trace_id=trace_id_of(number),
            span_id=span_id_of(first_span + i),
            parent_span_id=root_id if i else b"",
            name="GET /checkout" if i == 0 else f"step {i}",
            start_ns=min(start_ns + i * MS, end_ns),
            end_ns=end_ns,
            status=Status.STATUS_CODE_ERROR if error and i == spans - 1 else 0,
            attributes=attributes,
        )
        for i in range(spans)
    ]


def resource_spans(
    spans: Iterable[Span],
    *,
    service: str = "gateway",
    resource: Mapping[str, Attribute] | None = None,
    scope: str = "tests",
    resource_schema_url: str = "",
    scope_schema_url: str = "",
) -> ResourceSpans:
    """Return spans under one resource (`service.name` and `resource`) and one scope."""
    attributes = {"service.name": service, **(resource or {})}
    return ResourceSpans(
        resource=Resource(attributes=key_values(attributes)),
        scope_spans=[
            ScopeSpans(
                scope=InstrumentationScope(name=scope, version="1.0"),
                spans=spans,
                schema_url=scope_schema_url,
            )
        ],
        schema_url=resource_schema_url,
    )


def traces_data(*groups: ResourceSpans | Span | Iterable[Span]) -> bytes:
    """Return one record's value: OTLP `TracesData` protobuf.

    Each group is a `ResourceSpans` as it is, or a span or spans, put under a default resource.
    """
    return bytes(TracesData(resource_spans=map(_as_resource_spans, groups)).SerializeToString())


def decoded(value: bytes) -> TracesData:
    """Return a record's value, decoded by opentelemetry-proto. Raises DecodeError."""
    message = TracesData()
    message.ParseFromString(value)
    return message


def spans_of(value: bytes) -> list[Span]:
    """Return every span of a record's value, decoded, in its order. Raises DecodeError."""
    return [
        span
        for resource in decoded(value).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def spans_in_context(value: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return (resource, scope, span) of every span of a record's value, in its order.

    Each is serialised anew, unknown fields included: the resource is its `ResourceSpans` without
    the scopes, the scope its `ScopeSpans` without the spans. Raises DecodeError.
    """
    found = []
    for resource in decoded(value).resource_spans:
        of_resource = ResourceSpans.FromString(resource.SerializeToString())
        of_resource.ClearField("scope_spans")
        for scope in resource.scope_spans:
            of_scope = ScopeSpans.FromString(scope.SerializeToString())
            of_scope.ClearField("spans")
            envelopes = (of_resource.SerializeToString(), of_scope.SerializeToString())
            found += [(*envelopes, span.SerializeToString()) for span in scope.spans]
    return found


def key_values(attributes: Mapping[str, Attribute]) -> list[KeyValue]:
    """Return OTLP attributes in the mapping's order."""
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _as_resource_spans(group: ResourceSpans | Span | Iterable[Span]) -> ResourceSpans:
    if isinstance(group, ResourceSpans):
        return group
    return resource_spans([group] if isinstance(group, Span) else group)


def _any_value(value: Attribute) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(_any_value, value)))
        case _:
            return AnyValue(string_value=value)
