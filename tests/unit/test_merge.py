import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.fragment import BadSpans, DeadLetterReason
from stream.otlp.frames import Row, frames, render
from stream.otlp.merge import Merged, merge
from stream.otlp.pack import pack
from stream.otlp.span_key import span_key
from stream.otlp.stamp import Stamp
from stream.otlp.wire import framed
from stream.testing.spans import (
    a_span,
    a_trace,
    key_values,
    resource_spans,
    span_id_of,
    spans_in_context,
    spans_of,
    traces_data,
)
from stream.testing.strategies import SPAN_KEYS, TRACE_IDS, records, spans

UNSTAMPED = Stamp("none", "errors", "decision_wait", 1 << 55)
STAMPS = {"tailstream.policy": "errors", "tailstream.trigger": "decision_wait"}
NO_LIMIT = 10**9
UNKNOWN = b"\xf2\x3f\x04rest"  # field 1022

Context = tuple[bytes, bytes, bytes]
fragments = st.lists(records(spans(TRACE_IDS[:1])), max_size=4)


def key_of_server(number: int) -> bytes:
    return span_key(span_id_of(number), Span.SPAN_KIND_SERVER)


def key_of(context: Context) -> bytes:
    span = Span.FromString(context[2])
    return span_key(span.span_id, span.kind)


def first_of_each_key(bodies: list[bytes], seen: set[bytes]) -> list[Context]:
    taken = set(seen)
    found = []
    for context in (context for body in bodies for context in spans_in_context(body)):
        if key_of(context) not in taken:
            taken.add(key_of(context))
            found.append(context)
    return found


def stamped(context: Context) -> Context:
    span = Span.FromString(context[2])
    kept = [each for each in span.attributes if each.key not in STAMPS]
    del span.attributes[:]
    span.attributes.extend([*kept, *key_values(STAMPS)])
    return (*context[:2], span.SerializeToString())


@given(fragments, st.sets(st.sampled_from(SPAN_KEYS), max_size=3))
def test_a_delivery_is_the_first_span_of_each_key_with_every_field(
    bodies: list[bytes], seen: set[bytes]
) -> None:
    merged = merge(bodies, UNSTAMPED, NO_LIMIT, b"".join(seen))
    expected = first_of_each_key(bodies, seen)
    assert [each for part in merged.parts for each in spans_in_context(part)] == expected
    assert len(merged.parts) == bool(expected)
    assert merged.span_ids == b"".join(map(key_of, expected))
    assert merged.spans == len(expected)
    assert merged.spans + merged.duplicates == sum(map(len, map(spans_of, bodies)))
    assert merged.bad == []


@given(fragments)
def test_a_stamped_delivery_differs_by_the_stamps_alone(bodies: list[bytes]) -> None:
    merged = merge(bodies, Stamp("spans", "errors", "decision_wait"), NO_LIMIT)
    expected = list(map(stamped, first_of_each_key(bodies, set())))
    after = [each for part in merged.parts for each in spans_in_context(part)]
    # Through protobuf once more, so that both sides have their fields in one order.
    again = [(*each[:2], Span.FromString(each[2]).SerializeToString()) for each in after]
    assert [each[:2] for each in again] == [each[:2] for each in expected]
    for got, wanted in zip(again, expected, strict=True):
        assert Span.FromString(got[2]) == Span.FromString(wanted[2])


@given(fragments, st.integers(1, 600), st.sampled_from(["spans", "none"]))
def test_parts_obey_the_limit_and_lose_no_span(bodies: list[bytes], limit: int, mode: str) -> None:
    stamp = Stamp("spans" if mode == "spans" else "none", "errors", "decision_wait")
    whole = merge(bodies, stamp, NO_LIMIT)
    merged = merge(bodies, stamp, limit)
    assert all(len(part) <= limit for part in merged.parts)
    delivered = [each for part in merged.parts for each in spans_in_context(part)]
    wanted = [each for part in whole.parts for each in spans_in_context(part)]
    too_large = {key_of(each) for bad in merged.bad for each in spans_in_context(bad.body)}
    assert delivered == [each for each in wanted if key_of(each) not in too_large]
    assert merged.span_ids == b"".join(map(key_of, delivered))
    assert merged.spans == len(delivered)
    assert merged.spans + len(merged.bad) == whole.spans
    assert merged.duplicates == whole.duplicates


def rendered_greedily(rows: list[Row], limit: int) -> tuple[list[bytes], list[int]]:
    """What packing must give, by rendering every attempt."""
    parts: list[list[Row]] = [[]]
    oversized = []
    for index, row in enumerate(rows):
        if len(render([*parts[-1], row])) <= limit:
            parts[-1].append(row)
        elif len(render([row])) > limit:
            oversized.append(index)
        else:
            parts.append([row])
    return [render(part) for part in parts if part], oversized


@given(fragments, st.integers(1, 600))
def test_a_part_is_cut_only_where_the_next_span_would_exceed_the_limit(
    bodies: list[bytes], limit: int
) -> None:
    rows = [
        (scope, body[field_start:end])
        for body in bodies
        for scope, found in frames(body)
        for field_start, _, end in found
    ]
    assert pack(rows, limit) == rendered_greedily(rows, limit)


def test_fragments_become_one_record_with_a_resource_each() -> None:
    first = traces_data(resource_spans(a_trace(1), service="gateway"))
    second = traces_data(resource_spans(a_trace(1, first_span=9), service="payment"))
    assert merge([first, second], UNSTAMPED, NO_LIMIT).parts == [first + second]


def test_a_resent_span_is_left_out_and_so_is_an_envelope_that_it_leaves_empty() -> None:
    first = traces_data(resource_spans(a_trace(1), service="gateway"))
    resent = traces_data(resource_spans(a_trace(1)[:2], service="gateway"))
    merged = merge([first, resent], UNSTAMPED, NO_LIMIT)
    assert (merged.parts, merged.spans, merged.duplicates) == ([first], 3, 2)


def test_the_first_of_two_spans_with_one_id_stands() -> None:
    merged = merge(
        [traces_data(a_span(name="first")), traces_data(a_span(name="second"))], UNSTAMPED, NO_LIMIT
    )
    assert [span.name for part in merged.parts for span in spans_of(part)] == ["first"]


def test_a_late_delivery_holds_only_what_was_not_delivered_before() -> None:
    before = merge([traces_data(a_trace(1)[:2])], UNSTAMPED, NO_LIMIT)
    late = merge([traces_data(a_trace(1))], UNSTAMPED, NO_LIMIT, before.span_ids)
    assert (late.spans, late.duplicates, late.span_ids) == (1, 2, key_of_server(3))
    nothing_new = merge([traces_data(a_trace(1)[:2])], UNSTAMPED, NO_LIMIT, before.span_ids)
    assert (nothing_new.parts, nothing_new.duplicates) == ([], 2)


def test_every_part_repeats_the_envelopes_of_what_it_holds() -> None:
    def record(*spans: Span) -> bytes:
        fields = b"".join(framed(0x12, span.SerializeToString()) for span in spans)
        scope = framed(0x12, UNKNOWN + fields + b"\x1a\x01s" + UNKNOWN)
        return framed(0x0A, UNKNOWN + scope + b"\x1a\x01r" + UNKNOWN) + UNKNOWN

    one, two, three = a_trace(1)
    limit = len(record(one, two))
    merged = merge([record(one, two, three)], UNSTAMPED, limit)
    assert merged.parts == [record(one, two), record(three)]
    assert merge([record(one, two, three)], UNSTAMPED, limit - 1).parts == [
        record(one),
        record(two),
        record(three),
    ]


def test_a_part_is_full_to_the_byte() -> None:
    traces = a_trace(1), a_trace(1, first_span=9)
    bodies = [UNKNOWN + traces_data(trace) + UNKNOWN for trace in traces]
    size = sum(map(len, bodies))
    assert len(merge(bodies, UNSTAMPED, size).parts) == 1
    assert len(merge(bodies, UNSTAMPED, size - 1).parts) == 2


def test_a_span_that_fits_in_no_part_is_set_aside_as_it_came() -> None:
    huge = a_span(span_id=span_id_of(2), attributes={"payload": "x" * 1_000})
    bodies = [traces_data([a_span(), huge, a_span(span_id=span_id_of(3))]), traces_data(huge)]
    merged = merge(bodies, Stamp("spans", "errors", "decision_wait"), 500)
    assert merged.bad == [BadSpans(DeadLetterReason.SPAN_TOO_LARGE, 1, traces_data(huge))]
    assert (merged.spans, merged.duplicates) == (2, 1)
    assert merged.span_ids == key_of_server(1) + key_of_server(3)
    assert len(merged.parts) == 1, "the spans around it share a part"


def test_a_span_counts_for_the_limit_with_its_stamps() -> None:
    body = traces_data(a_span())
    assert merge([body], UNSTAMPED, len(body)).bad == []
    with_stamps = merge([body], Stamp("spans", "errors", "decision_wait"), len(body))
    assert with_stamps.bad == [BadSpans(DeadLetterReason.SPAN_TOO_LARGE, 1, body)]
    assert with_stamps.parts == []


@pytest.mark.parametrize(
    ("mode", "stamped_names"),
    [("spans", ["GET /checkout", "step 1", "step 2"]), ("root", ["GET /checkout"]), ("none", [])],
)
def test_the_mode_says_which_spans_are_stamped(mode: str, stamped_names: list[str]) -> None:
    stamp = {"spans": "spans", "root": "root"}.get(mode, "none")
    merged = merge(
        [traces_data(a_trace(1))],
        Stamp(stamp, "errors", "late"),  # type: ignore[arg-type]  # one of the three
        NO_LIMIT,
    )
    (part,) = merged.parts
    assert [span.name for span in spans_of(part) if span.attributes] == stamped_names


def test_nothing_merged_is_nothing() -> None:
    for bodies in ([], [traces_data([])]):
        merged = merge(bodies, UNSTAMPED, 1)
        assert merged == Merged([], 0, 0, b"", [])
