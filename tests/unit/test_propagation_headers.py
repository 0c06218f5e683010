"""Context into Kafka's headers and out of them, whatever stood there before."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from stream.propagation import TraceContextPropagator, W3CTraceState, extract, inject, inject_http
from stream.propagation.headers import KafkaHeaders

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def context_of(**headers: str) -> Context:
    return extract(headers)


def test_the_callers_headers_are_never_touched() -> None:
    theirs = [("traceparent", OTHER.encode()), ("id", b"7")]

    ours = inject(theirs, context_of(traceparent=TRACEPARENT))

    assert theirs == [("traceparent", OTHER.encode()), ("id", b"7")]
    assert ours == [("id", b"7"), ("traceparent", TRACEPARENT.encode())]


def test_a_message_that_is_sent_again_has_one_traceparent() -> None:
    context = context_of(traceparent=TRACEPARENT, tracestate="foo=1", baggage="a=b")

    once = inject([("id", b"7")], context)

    assert inject(inject(once, context), context) == once
    assert sorted(name for name, _ in once) == ["baggage", "id", "traceparent", "tracestate"]


def test_what_stood_there_goes_in_whatever_case_its_name_was() -> None:
    stale = [("TraceParent", b"x"), ("TRACESTATE", b"foo=1"), ("Baggage", b"a=b"), ("Id", b"7")]

    assert inject(stale, context_of(traceparent=TRACEPARENT)) == [
        ("Id", b"7"),
        ("traceparent", TRACEPARENT.encode()),
    ]
    assert inject(stale, Context()) == [("Id", b"7")], "no span: no stale one either"


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", TRACEPARENT.encode()), ("id", b"7")],
        (("traceparent", TRACEPARENT), ("id", "7")),
        {"traceparent": TRACEPARENT.encode(), "id": b"7"},
        {"traceparent": TRACEPARENT, "id": "7"},
        {"traceparent": [TRACEPARENT], "id": ["7"]},
        [(b"traceparent", TRACEPARENT.encode()), (b"id", b"7")],
        [("traceparent", bytearray(TRACEPARENT.encode())), ("id", memoryview(b"7"))],
        CIMultiDict([("Traceparent", TRACEPARENT), ("id", "7")]),
    ],
    ids=["pairs", "text", "dict", "dict of text", "dict of lists", "ASGI", "buffers", "multidict"],
)
def test_headers_come_in_many_shapes(headers: Any) -> None:
    assert inject(headers, extract(headers)) == [
        ("id", b"7"),
        ("traceparent", TRACEPARENT.encode()),
    ]
    assert inject_http(headers, extract(headers)) == {"id": "7", "traceparent": TRACEPARENT}


def test_a_null_value_stays_null() -> None:
    assert inject([("id", None)], Context()) == [("id", None)]


def test_no_headers_carry_nothing_and_take_anything() -> None:
    context = context_of(traceparent=TRACEPARENT)

    assert extract(None) == Context()
    assert inject(None, context) == [("traceparent", TRACEPARENT.encode())]
    assert inject_http(context=context) == {"traceparent": TRACEPARENT}


def test_headers_that_carry_nothing_good_leave_the_context_as_it_was() -> None:
    before = context_of(traceparent=TRACEPARENT, baggage="a=b")

    assert extract([("traceparent", b"broken"), ("baggage", b"\xff")], before) == before


def test_a_span_without_ids_is_not_injected() -> None:
    half = SpanContext(trace_id=1, span_id=0, is_remote=False)

    assert inject(None, trace.set_span_in_context(NonRecordingSpan(half), Context())) == []


def test_flags_that_w3c_does_not_know_are_neither_read_nor_written() -> None:
    came = trace.get_current_span(extract({"traceparent": f"{TRACEPARENT[:-2]}ff"}))
    ours = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0xFF))
    sent = inject(None, trace.set_span_in_context(NonRecordingSpan(ours), Context()))

    assert came.get_span_context().trace_flags == 0x03
    assert [value[-2:] for _, value in sent if value] == [b"03"]


def test_several_baggage_headers_are_one_list() -> None:
    context = extract([("baggage", b"a=1,b=2"), ("Baggage", b"c=%20x%20")])

    assert dict(baggage.get_all(context)) == {"a": "1", "b": "2", "c": "x"}


def test_baggage_beyond_its_limit_costs_the_baggage_alone() -> None:
    headers = [("traceparent", TRACEPARENT.encode()), ("baggage", b"a=" + b"v" * 8_192)]

    assert inject(None, extract(headers)) == headers[:1]


def test_the_fields_are_those_that_inject_sets() -> None:
    context = context_of(traceparent=TRACEPARENT, tracestate="foo=1")

    assert {name for name, _ in inject(None, context)} == TraceContextPropagator().fields


def test_an_application_imports_it_without_faust_rocksdb_or_a_kafka_client() -> None:
    heavy = {"faust", "rocksdict", "confluent_kafka", "aiokafka", "opentelemetry.sdk", "aiohttp"}
    program = f"import sys, stream.propagation; sys.exit(repr({heavy} & set(sys.modules)))"

    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=False)

    assert said.stderr.strip() == "set()"


keys = st.from_regex(r"[a-z0-9][a-z0-9_\-*/@]{0,20}", fullmatch=True)
values = st.from_regex(
    r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,20}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", fullmatch=True
)
states = st.lists(st.tuples(keys, values), max_size=32).map(W3CTraceState)
spans = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    is_remote=st.just(True),
    trace_flags=st.integers(0, 3).map(TraceFlags),
    trace_state=states,
)
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
hostile = st.binary(max_size=80) | st.sampled_from(
    [TRACEPARENT.encode(), b"\xff", b"foo=1,", b"00-" + b"\xff" * 52, b"a" * 20_000, b"=" * 9_000]
)
names = st.sampled_from(["traceparent", "Traceparent", "tracestate", "TRACESTATE", "baggage", "id"])


@given(spans, st.dictionaries(words, words, max_size=5))
def test_what_is_injected_is_extracted(span: SpanContext, carried: dict[str, str]) -> None:
    context = trace.set_span_in_context(NonRecordingSpan(span), Context())
    for key, value in carried.items():
        context = baggage.set_baggage(key, value, context)

    back = extract(inject([("id", b"7")], context))

    assert trace.get_current_span(back).get_span_context() == span
    assert dict(baggage.get_all(back)) == carried


@given(spans, keys, values)
def test_a_foreign_tracestate_survives_whatever_we_set(
    span: SpanContext, key: str, value: str
) -> None:
    header = span.trace_state.to_header()
    others = [entry for entry in header.split(",") if entry and not entry.startswith(f"{key}=")]

    assert W3CTraceState.from_header([header]).to_header() == header
    set_ = W3CTraceState.from_header([header]).update(key, value).to_header()
    assert set_.split(",") == [f"{key}={value}", *others][:32]


@given(st.lists(st.tuples(names, hostile | hostile.map(lambda b: b.decode("latin-1")))))
def test_hostile_headers_never_raise_and_what_goes_on_is_well_formed(headers: Any) -> None:
    sent = inject(headers, extract(headers))

    assert only_once(sent)
    assert trace_fields(inject(None, extract(sent))) == trace_fields(sent)


@given(st.lists(st.tuples(st.text(max_size=20), st.text(st.characters(), max_size=60))))
def test_any_text_never_raises(headers: list[tuple[str, str]]) -> None:
    """HTTP servers hand out lone surrogates for bytes that are not UTF-8."""
    extract(headers)
    assert only_once(inject(headers, context_of(traceparent=TRACEPARENT)))
    inject_http([*headers, ("baggage", "\udcff=1")], extract([("baggage", "\udcff=1")]))


def only_once(headers: KafkaHeaders) -> bool:
    ours = [name for name, _ in headers if name.lower() in {"traceparent", "tracestate", "baggage"}]
    return len(ours) == len(set(ours)) and all(name.islower() for name in ours)


def trace_fields(headers: KafkaHeaders) -> KafkaHeaders:
    return [(name, value) for name, value in headers if name in {"traceparent", "tracestate"}]
