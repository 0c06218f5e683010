from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp import split as split_module
from stream.otlp.fragment import BadSpans, DeadLetterReason
from stream.otlp.split import split
from stream.otlp.wire import Malformed, framed
from stream.testing.spans import (
    a_span,
    a_trace,
    decoded,
    resource_spans,
    span_id_of,
    spans_in_context,
    trace_id_of,
    traces_data,
)
from stream.testing.strategies import records

Context = tuple[bytes, bytes, bytes]
UNKNOWN = b"\xf2\x3f\x04rest"  # field 1022


def trace_of(context: Context) -> bytes:
    return Span.FromString(context[2]).trace_id


def all_contexts(bodies: Iterable[bytes]) -> list[Context]:
    return [context for body in bodies for context in spans_in_context(body)]


@given(records())
def test_every_span_is_in_one_body_with_its_resource_and_scope(value: bytes) -> None:
    bodies, bad = split(value)
    after = all_contexts([body for _, body in bodies] + [each.body for each in bad])
    assert sorted(after) == sorted(spans_in_context(value))


@given(records())
def test_a_body_holds_the_spans_of_its_trace_in_their_order(value: bytes) -> None:
    bodies, bad = split(value)
    contexts = spans_in_context(value)
    unsampled = {context for each in bad for context in spans_in_context(each.body)}
    good = [context for context in contexts if context not in unsampled]
    assert [trace_id for trace_id, _ in bodies] == list(dict.fromkeys(map(trace_of, good)))
    for trace_id, body in bodies:
        assert spans_in_context(body) == [each for each in good if trace_of(each) == trace_id]


@given(records())
def test_bad_spans_are_counted_and_carried_by_reason(value: bytes) -> None:
    _, bad = split(value)
    assert len({each.reason for each in bad}) == len(bad)
    for each in bad:
        assert each.spans == len(spans_in_context(each.body)) > 0


def test_the_bytes_of_a_span_are_not_touched() -> None:
    # Legal and odd: fields backwards, a length in two bytes, a group, an unknown field.
    odd = b"\x2a\x83\x00abc\x12\x08" + span_id_of(1) + b"\x0a\x10" + trace_id_of(1)
    odd += b"\xf3\x3f\x08\x01\xf4\x3f" + UNKNOWN
    other = a_span(trace_id=trace_id_of(2)).SerializeToString()
    value = framed(0x0A, framed(0x12, framed(0x12, odd) + framed(0x12, other)))
    assert split(value)[0] == [
        (trace_id_of(1), framed(0x0A, framed(0x12, framed(0x12, odd)))),
        (trace_id_of(2), framed(0x0A, framed(0x12, framed(0x12, other)))),
    ]


def test_unknown_fields_of_every_envelope_come_along() -> None:
    def scope(*spans: Span) -> bytes:
        fields = [framed(0x12, span.SerializeToString()) for span in spans]
        return framed(0x12, UNKNOWN + b"".join(fields) + b"\x1a\x01s" + UNKNOWN)

    def record(*spans: Span) -> bytes:
        return framed(0x0A, UNKNOWN + scope(*spans) + b"\x1a\x01r" + UNKNOWN) + UNKNOWN

    one, two = a_span(trace_id=trace_id_of(1)), a_span(trace_id=trace_id_of(2))
    assert split(record(one, two)) == (
        [(trace_id_of(1), record(one)), (trace_id_of(2), record(two))],
        [],
    )


def test_a_field_between_the_spans_comes_along_behind_them() -> None:
    one, two = (framed(0x12, a_span(trace_id=trace_id_of(i)).SerializeToString()) for i in (1, 2))
    value = framed(0x0A, framed(0x12, one + UNKNOWN + two))
    assert [body for _, body in split(value)[0]] == [
        framed(0x0A, framed(0x12, each + UNKNOWN)) for each in (one, two)
    ]


def test_envelopes_without_a_span_of_the_trace_are_left_out() -> None:
    value = traces_data(
        resource_spans(a_trace(1), service="a"),
        resource_spans([], service="nobody's"),
        resource_spans(a_trace(2), service="b"),
    )
    (_, first), (_, second) = split(value)[0]
    assert first == traces_data(resource_spans(a_trace(1), service="a"))
    assert second == traces_data(resource_spans(a_trace(2), service="b"))


def test_a_trace_in_two_resources_keeps_both() -> None:
    mine = [resource_spans([a_span(span_id=span_id_of(i))], service=f"s{i}") for i in range(2)]
    other = resource_spans([a_span(trace_id=trace_id_of(2))], service="other")
    (_, body), _ = split(traces_data(mine[0], other, mine[1]))[0]
    assert body == traces_data(*mine)


def test_one_dead_letter_a_reason_holds_all_its_spans() -> None:
    no_trace = [a_span(trace_id=b"", span_id=span_id_of(i)) for i in range(2)]
    no_span = a_span(span_id=bytes(8))
    good = a_span()
    bodies, bad = split(traces_data([no_trace[0], no_span, good], no_trace[1]))
    assert bodies == [(good.trace_id, traces_data(good))]
    assert bad == [
        BadSpans(DeadLetterReason.INVALID_TRACE_ID, 2, traces_data(no_trace[0], no_trace[1])),
        BadSpans(DeadLetterReason.INVALID_SPAN_ID, 1, traces_data(no_span)),
    ]


def test_a_record_that_would_grow_beyond_measure_is_bad_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(split_module, "SPLIT_BYTES_MAX", 100_000)
    huge = {"payload": "x" * 10_000}
    spans = [a_span(trace_id=trace_id_of(i)) for i in range(20)]
    value = traces_data(resource_spans([*spans, a_span(trace_id=b"")], resource=huge))
    assert split(value) == ([], [BadSpans(DeadLetterReason.RECORD_TOO_LARGE, 21, value)])
    few = traces_data(resource_spans(spans[:5], resource=huge))
    assert len(split(few)[0]) == 5


@given(records(), st.data())
def test_a_cut_record_raises_malformed_or_splits(value: bytes, data: st.DataObject) -> None:
    cut = value[: data.draw(st.integers(0, len(value)))]
    try:
        bodies, bad = split(cut)
    except Malformed:
        return
    after = all_contexts([body for _, body in bodies] + [each.body for each in bad])
    assert len(after) == sum(
        len(scope.spans) for each in decoded(cut).resource_spans for scope in each.scope_spans
    )
