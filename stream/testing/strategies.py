"""Hypothesis strategies for OTLP records, as bytes. Needs the development extra (hypothesis)."""

from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from stream.otlp.span_key import KIND_SERVER, span_key
from stream.otlp.wire import encode_varint, framed
from stream.testing.spans import a_span, resource_spans, span_id_of, trace_id_of

TRACE_IDS = tuple(map(trace_id_of, range(3)))
SPAN_IDS = tuple(map(span_id_of, range(6)))
SPAN_KEYS = (*SPAN_IDS, *(span_key(each, KIND_SERVER) for each in SPAN_IDS))
INVALID_TRACE_IDS = (b"", bytes(16), b"\x01", b"\x4b" * 15, b"\x4b" * 17, b"\x4b" * 200)
INVALID_SPAN_IDS = (b"", bytes(8), b"\x01", b"\x5a" * 7, b"\x5a" * 9, b"\x5a" * 200)

_UINT64 = st.integers(0, 2**64 - 1)
_TEXTS = st.text(max_size=20)
_TIMES_NS = st.sampled_from([0, 1, 2**63, 2**64 - 1]) | st.integers(1_000, 2_000)
_CODES = st.sampled_from([0, 1, 2, 3, 7, -1, 2**31 - 1])
_VALUES = _TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=300)
_ATTRIBUTES = st.dictionaries(_TEXTS, _VALUES, max_size=4)
_EVENTS = st.builds(Span.Event, name=_TEXTS, time_unix_nano=_UINT64)
_LINKS = st.builds(Span.Link, trace_id=st.sampled_from(TRACE_IDS), span_id=st.binary(max_size=8))


def spans(
    trace_ids: tuple[bytes, ...] = TRACE_IDS, span_ids: tuple[bytes, ...] = SPAN_IDS
) -> st.SearchStrategy[Span]:
    """Return spans with ids out of these few, and anything in their other fields."""
    return st.builds(
        a_span,
        trace_id=st.sampled_from(trace_ids),
        span_id=st.sampled_from(span_ids),
        parent_span_id=st.sampled_from([b"", *SPAN_IDS]),
        name=_TEXTS,
        kind=st.integers(0, 5) | st.sampled_from([KIND_SERVER, 6, 130, -1, 2**31 - 1]),
        start_ns=_TIMES_NS,
        end_ns=_TIMES_NS,
        status=_CODES,
        status_message=_TEXTS,
        attributes=_ATTRIBUTES,
        trace_state=st.sampled_from(["", "a=1", "ot=th:8", "rojo=00f067aa0ba902b7,congo=t61"]),
        flags=st.integers(0, 2**32 - 1),
        events=st.lists(_EVENTS, max_size=2),
        links=st.lists(_LINKS, max_size=2),
    )


def any_spans() -> st.SearchStrategy[Span]:
    """Return spans of which some have invalid ids."""
    return spans((*TRACE_IDS, *INVALID_TRACE_IDS), (*SPAN_IDS, *INVALID_SPAN_IDS)) | spans()


def unknown_fields() -> st.SearchStrategy[bytes]:
    """Return one field that no OTLP message knows, of any wire type; groups nest."""
    numbers = st.integers(1_000, 2**29 - 1)
    flat = st.one_of(
        st.builds(_tagged, numbers, st.just(0), _UINT64.map(encode_varint)),
        st.builds(_tagged, numbers, st.just(1), st.binary(min_size=8, max_size=8)),
        st.builds(_tagged, numbers, st.just(2), st.binary(max_size=200).map(_with_length)),
        st.builds(_tagged, numbers, st.just(5), st.binary(min_size=4, max_size=4)),
    )
    return st.recursive(flat, lambda inner: st.builds(_group, numbers, st.lists(inner, max_size=2)))


def records(of: st.SearchStrategy[Span] | None = None) -> st.SearchStrategy[bytes]:
    """Return `TracesData` of these spans (any), in any envelopes, unknown fields at each level."""
    span_fields = st.builds(_message_field, st.just(2), any_spans() if of is None else of, _NOISE)
    scopes = st.builds(_with_children, _SCOPES, st.lists(span_fields, max_size=4), _NOISE)
    scope_fields = st.builds(framed, st.just(0x12), scopes)
    resources = st.builds(_with_children, _RESOURCES, st.lists(scope_fields, max_size=2), _NOISE)
    resource_fields = st.builds(framed, st.just(0x0A), resources)
    return st.builds(_with_children, st.just(b""), st.lists(resource_fields, max_size=3), _NOISE)


def _tagged(number: int, wire_type: int, content: bytes) -> bytes:
    return encode_varint(number << 3 | wire_type) + content


def _with_length(content: bytes) -> bytes:
    return encode_varint(len(content)) + content


def _group(number: int, fields: list[bytes]) -> bytes:
    return _tagged(number, 3, b"".join(fields)) + _tagged(number, 4, b"")


def _message_field(number: int, span: Span, noise: list[bytes]) -> bytes:
    return framed(number << 3 | 2, span.SerializeToString() + b"".join(noise))


def _with_children(own: bytes, fields: list[bytes], noise: list[bytes]) -> bytes:
    """Put unknown fields between and after the children."""
    mixed = [field for pair in zip(noise, fields, strict=False) for field in pair]
    used = len(mixed) // 2
    return b"".join((own, *mixed, *fields[used:], *noise[used:]))


_NOISE: st.SearchStrategy[list[bytes]] = st.just([]) | st.lists(unknown_fields(), max_size=2)
_SCOPES = st.builds(ScopeSpans, schema_url=_TEXTS).map(ScopeSpans.SerializeToString) | st.just(b"")
_RESOURCES = st.builds(resource_spans, st.just(()), service=_TEXTS, resource_schema_url=_TEXTS).map(
    lambda each: ResourceSpans(
        resource=each.resource, schema_url=each.schema_url
    ).SerializeToString()
)
