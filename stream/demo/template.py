"""Requests of the shop as OTLP bytes with holes: what differs from trace to trace is filled in.

Most of a span is the same in every trace of its kind, so names, kinds and attributes are serialised
once. A trace is then a few joins. Field numbers are those of
opentelemetry-proto `opentelemetry/proto/trace/v1/trace.proto`, written in ascending order as the
SDKs do.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from stream.demo.shop_shape import INSTANCES, LANGUAGES, SLOW_MS, Operation, Request, Scope, Value
from stream.otlp.wire import framed

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"

NS_PER_MS = 1_000_000
JITTER_MIN, JITTER_MAX = 0.5, 2.0
STALL_MIN_MS, STALL_MAX_MS = SLOW_MS + 20, 2 * SLOW_MS + 500
SHARE_BEFORE_CALLS = 0.4
SAMPLED_FLAG, HAS_REMOTE_FLAG = 0x001, 0x100

_TIMES = struct.Struct("<BQBQ")
_START_TAG, _END_TAG = 0x39, 0x41  # start_time_unix_nano = 7, end_time_unix_nano = 8, both fixed64
_EVENT_TIME = struct.Struct("<BQ")
_EVENT_TIME_TAG = 0x09


@dataclass(frozen=True, slots=True)
class SpanTemplate:
    """One span: `parent` is its caller's index (-1: root), `variants` its attributes' choices."""

    parent: int
    scope: Scope
    self_ns: float
    head: bytes
    variants: tuple[bytes, ...]
    exception: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class TraceTemplate:
    """One kind of trace, callers before the calls they make.

    `stalls` are the spans that can be the slow one, `leaves` those that can come late: they call
    nothing, are not the root, and have no error.
    """

    spans: tuple[SpanTemplate, ...]
    stalls: tuple[int, ...]
    leaves: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """When each span of a trace starts, and how long it takes, in ns from the trace's start."""

    starts_ns: list[int]
    durations_ns: list[int]


def trace_templates(request: Request) -> tuple[TraceTemplate, list[TraceTemplate]]:
    """Return the template of a request that goes well, and one for each way in which it fails."""
    failing = [operation for operation in _walk(request.root) if operation.failure]
    return _template(request.root, None), [_template(request.root, each) for each in failing]


def pick_times(template: TraceTemplate, rng: Random, *, slow: bool) -> Times:
    """Draw the times of a trace: longer than `SLOW_MS` if slow, else shorter.

    A span lasts as long as its own work and its calls, which follow one another.
    """
    spans = template.spans
    own = [span.self_ns * _jitter(rng) for span in spans]
    if slow:
        own[rng.choice(template.stalls)] += rng.uniform(STALL_MIN_MS, STALL_MAX_MS) * NS_PER_MS
    durations = [int(each) for each in own]
    for index in range(len(spans) - 1, 0, -1):
        durations[spans[index].parent] += durations[index]
    starts = [0] * len(spans)
    free = [int(own[0] * SHARE_BEFORE_CALLS)] * len(spans)
    for index in range(1, len(spans)):
        parent = spans[index].parent
        starts[index] = free[parent]
        free[parent] += durations[index]
        free[index] = starts[index] + int(own[index] * SHARE_BEFORE_CALLS)
    return Times(starts, durations)


def span_bytes(
    span: SpanTemplate,
    trace_id: bytes,
    span_id: bytes,
    parent_id: bytes,
    start_ns: int,
    end_ns: int,
) -> bytes:
    """Return an OTLP `Span`. A root has an empty `parent_id`; `span_id` picks a variant."""
    variants = span.variants
    parts = [b"\x0a\x10", trace_id, b"\x12\x08", span_id]
    if parent_id:
        parts += (b"\x22\x08", parent_id)
    parts += (
        span.head,
        _TIMES.pack(_START_TAG, start_ns, _END_TAG, end_ns),
        variants[span_id[0] % len(variants)],
    )
    if span.exception:
        body = _EVENT_TIME.pack(_EVENT_TIME_TAG, end_ns) + span.exception
        parts.append(framed(0x5A, body))
    parts.append(span.tail)
    return b"".join(parts)


def record_bytes(scope: Scope, instance: int, spans: list[bytes]) -> bytes:
    """Return a `TracesData` of one resource and one scope, as the Collector makes them when keyed.

    `instance` chooses the replica of the service (`INSTANCES` of them).
    """
    resource, scope_head, scope_tail = _envelope(scope, instance % INSTANCES)
    scope_spans = b"".join([scope_head, *(framed(0x12, span) for span in spans), scope_tail])
    resource_spans = resource + framed(0x12, scope_spans) + scope_tail
    return framed(0x0A, resource_spans)


def _walk(operation: Operation) -> list[Operation]:
    return [operation, *(each for call in operation.calls for each in _walk(call))]


def _template(root: Operation, failing: Operation | None) -> TraceTemplate:
    spans: list[SpanTemplate] = []
    stalls: list[int] = []
    callers: set[int] = set()
    errors: set[int] = set()

    def add(operation: Operation, parent: int) -> bool:
        """Add an operation and its calls; say whether it failed: then its caller calls no more."""
        index = len(spans)
        fails = failing is not None and any(each is failing for each in _walk(operation))
        spans.append(_span_template(operation, parent, fails=fails, cause=operation is failing))
        callers.add(parent)
        if fails:
            errors.add(index)
        if operation.can_stall:
            stalls.append(index)
        for call in operation.calls:
            if add(call, index):
                break
        return fails

    add(root, -1)
    leaves = [each for each in range(1, len(spans)) if each not in callers | errors]
    return TraceTemplate(tuple(spans), tuple(stalls), tuple(leaves))


def _span_template(operation: Operation, parent: int, *, fails: bool, cause: bool) -> SpanTemplate:
    attributes = dict(operation.attributes)
    exception, status = b"", None
    if fails:
        failure = operation.failure if cause else None
        attributes |= failure.attributes if failure else operation.failed
        status = Status(code=Status.STATUS_CODE_ERROR, message=failure.message if failure else "")
        exception = _exception(failure.exception, failure.message) if failure else b""
    flags = SAMPLED_FLAG | (HAS_REMOTE_FLAG if parent >= 0 else 0)
    kind = Span.SpanKind.ValueType(operation.kind)
    return SpanTemplate(
        parent,
        operation.scope,
        operation.self_ms * NS_PER_MS,
        Span(name=operation.name, kind=kind).SerializeToString(),
        _variants(attributes, operation.choices),
        exception,
        Span(status=status, flags=flags).SerializeToString(),
    )


def _variants(
    attributes: Mapping[str, Value], choices: Mapping[str, tuple[Value, ...]]
) -> tuple[bytes, ...]:
    chosen = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
    return tuple(
        Span(attributes=_key_values({**attributes, **each})).SerializeToString() for each in chosen
    )


def _exception(kind: str, message: str) -> bytes:
    attributes = _key_values({"exception.type": kind, "exception.message": message})
    body: bytes = Span.Event(name="exception", attributes=attributes).SerializeToString()
    return body


@cache
def _envelope(scope: Scope, instance: int) -> tuple[bytes, bytes, bytes]:
    service = scope.service
    pod = f"{service}-7c9d8b64f5-{instance:05d}"
    resource = Resource(
        attributes=_key_values(
            {
                "service.name": service,
                "service.namespace": "shop",
                "service.version": "2.14.0",
                "service.instance.id": pod,
                "deployment.environment.name": "demo",
                "k8s.pod.name": pod,
                "telemetry.sdk.language": LANGUAGES[service],
                "telemetry.sdk.name": "opentelemetry",
            }
        )
    )
    named = InstrumentationScope(name=scope.name, version=scope.version)
    schema = ScopeSpans(schema_url=SCHEMA_URL).SerializeToString()  # field 3, as in ResourceSpans
    return (
        framed(0x0A, resource.SerializeToString()),
        framed(0x0A, named.SerializeToString()),
        schema,
    )


def _key_values(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in attributes.items()]


def _any_value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)


def _jitter(rng: Random) -> float:
    return JITTER_MIN + (JITTER_MAX - JITTER_MIN) * rng.random() ** 2
