"""Templates of spans, resources and scopes: together they use every field that OTLP has."""

from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

# Fields that no OTLP has yet, as a newer exporter would send them: number 900, a varint and bytes.
FIELDS_OF_THE_FUTURE = b"\xa0\x38\x2a" + b"\xa2\x38\x06future"


def span_templates() -> list[Span]:
    """Return kinds of spans, from one with nothing but what it must have to one with all."""
    plain = Span(name="GET /cart", kind=Span.SPAN_KIND_SERVER)
    plain.attributes.extend([_text("http.request.method", "GET"), _text("url.path", "/cart")])
    query = Span(name="SELECT shop.carts", kind=Span.SPAN_KIND_CLIENT, flags=0x101)
    query.attributes.extend([_text("db.system.name", "postgresql"), _number("db.rows", -3)])
    query.status.message = "fine"
    query.status.code = Status.STATUS_CODE_OK
    bare = Span(name="internal")
    future = Span(name="agent.step", kind=Span.SPAN_KIND_INTERNAL)
    future.MergeFromString(FIELDS_OF_THE_FUTURE)
    return [plain, plain, query, bare, future, _rich_span()]


def resource_templates() -> list[ResourceSpans]:
    """Return resources of several services."""
    found = []
    for service in ("gateway", "payment", "ledger"):
        resource = ResourceSpans(schema_url="https://opentelemetry.io/schemas/1.30.0")
        resource.resource.attributes.extend(
            [_text("service.name", service), _text("host.name", f"{service}-0")]
        )
        resource.resource.dropped_attributes_count = 2
        found.append(resource)
    found[0].MergeFromString(FIELDS_OF_THE_FUTURE)
    found[1].resource.MergeFromString(FIELDS_OF_THE_FUTURE)
    return [*found, ResourceSpans()]


def scope_templates() -> list[ScopeSpans]:
    """Return instrumentation scopes."""
    full = ScopeSpans(schema_url="https://opentelemetry.io/schemas/1.21.0")
    full.scope.name = "instrumentation.http"
    full.scope.version = "0.66b1"
    full.scope.attributes.append(_text("library", "äöü ☃"))
    full.scope.dropped_attributes_count = 1
    full.MergeFromString(FIELDS_OF_THE_FUTURE)
    named = ScopeSpans()
    named.scope.name = "shop"
    return [full, named, ScopeSpans()]


def without_children(message: Message, children: str) -> bytes:
    """Return the bytes of a resource or scope itself, without the spans below it."""
    shell = type(message)()
    shell.CopyFrom(message)
    shell.ClearField(children)
    return shell.SerializeToString(deterministic=True)


def _rich_span() -> Span:
    span = Span(
        name="charge ☃",
        kind=Span.SPAN_KIND_PRODUCER,
        trace_state="congo=t61rcWkgMzE,rojo=00f067aa0ba902b7",
        flags=0x301,
        dropped_attributes_count=1,
        dropped_events_count=2,
        dropped_links_count=3,
    )
    span.attributes.extend(_all_kinds_of_values())
    moment = span.events.add(name="exception", time_unix_nano=1, dropped_attributes_count=4)
    moment.attributes.append(_text("exception.type", "TimeoutError"))
    link = span.links.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, trace_state="a=b", flags=1)
    link.attributes.append(_text("why", "batch"))
    link.dropped_attributes_count = 5
    return span


def _all_kinds_of_values() -> list[KeyValue]:
    values = [
        AnyValue(string_value=""),
        AnyValue(bool_value=False),
        AnyValue(int_value=-(1 << 63)),
        AnyValue(double_value=0.1),
        AnyValue(bytes_value=b"\x00\xff"),
        AnyValue(),
    ]
    array = AnyValue()
    array.array_value.values.extend(values)
    tree = AnyValue()
    tree.kvlist_value.values.append(_text("tailstream.policy", "not a stamp: not at the top"))
    return [
        KeyValue(key=f"value.{index}", value=value)
        for index, value in enumerate([*values, array, tree])
    ]


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _number(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=value))
