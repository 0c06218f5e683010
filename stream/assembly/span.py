"""A span as it is read for people: the fields that a tree of spans needs, out of OTLP."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from stream.otlp.tracestate import sampling_of

# By what a machine is told from another; see `Span.host`.
_MACHINE_KEYS: Final = ("host.id", "k8s.node.name", "host.name")
# The names of an exception's event and attributes, as the semantic conventions have them.
_EXCEPTION: Final = "exception"
_EXCEPTION_TYPE: Final = "exception.type"
_EXCEPTION_MESSAGE: Final = "exception.message"


class Kind(StrEnum):
    """A span's kind, `Span.SpanKind` of OTLP in its order; one that OTLP does not know is 0."""

    UNSPECIFIED = "unspecified"
    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


_KINDS: Final = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Link:
    """What a span links to."""

    trace_id: bytes
    span_id: bytes


@dataclass(frozen=True, slots=True)
class Thrown:
    """An exception that was recorded on a span."""

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Span:
    """A span. Times are Unix nanoseconds; `end_ns` is never before `start_ns`; 0: not known.

    `parent_span_id` is empty for a root. `host` says whose clock told the times: spans with an
    equal one share a clock. `threshold` is the `th` of its tracestate, 56 bits, None without one.
    `delivery` is the place of the delivery that brought it, from 0.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    service: str
    host: str
    kind: Kind
    start_ns: int
    end_ns: int
    failed: bool
    status_message: str
    exceptions: tuple[Thrown, ...]
    links: tuple[Link, ...]
    threshold: int | None
    delivery: int

    @property
    def duration_ns(self) -> int:
        """How long it took by its own clock."""
        return self.end_ns - self.start_ns


def spans_of(value: bytes, *, delivery: int = 0) -> Iterator[Span]:
    """Yield the spans of an OTLP `TracesData`, in its order.

    Raises:
        google.protobuf.message.DecodeError: it is none.
    """
    for resource_spans in TracesData.FromString(value).resource_spans:
        service, host = _origin(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _span(span, service, host, delivery)


def _origin(resource: Resource) -> tuple[str, str]:
    """Return the service's name, and whose clock it has.

    That is the machine where the resource names it, else the instance of the service, else the
    service: what is called alike cannot be told apart, and keeps its times.
    """
    texts = {each.key: each.value.string_value for each in resource.attributes}
    service = texts.get("service.name", "")
    for key in _MACHINE_KEYS:
        if texts.get(key):
            return service, f"{key}={texts[key]}"
    return service, f"{service}/{texts.get('service.instance.id', '')}"


def _span(span: OtlpSpan, service: str, host: str, delivery: int) -> Span:
    # A span without an end has none yet, one without a start is an instant.
    start_ns = span.start_time_unix_nano or span.end_time_unix_nano
    parent_span_id = span.parent_span_id
    return Span(
        span.trace_id,
        span.span_id,
        # All zeros is how some exporters write "no parent".
        parent_span_id if any(parent_span_id) else b"",
        span.name,
        service,
        host,
        _KINDS[span.kind] if span.kind < len(_KINDS) and span.kind >= 0 else Kind.UNSPECIFIED,
        start_ns,
        max(start_ns, span.end_time_unix_nano),
        span.status.code == Status.STATUS_CODE_ERROR,
        span.status.message,
        tuple(_exceptions(span)),
        tuple(Link(link.trace_id, link.span_id) for link in span.links),
        sampling_of(span.trace_state.encode())[0] if span.trace_state else None,
        delivery,
    )


def _exceptions(span: OtlpSpan) -> Iterator[Thrown]:
    for told in span.events:
        if told.name == _EXCEPTION:
            texts = {each.key: each.value.string_value for each in told.attributes}
            yield Thrown(texts.get(_EXCEPTION_TYPE, ""), texts.get(_EXCEPTION_MESSAGE, ""))
