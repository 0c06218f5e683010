"""What the library's encoder leaves out of a span, and OTLP asks for."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, TraceFlags, get_current_span

from stream.propagation import extract
from stream.propagation.encoded_spans import encoded_spans


def encoded(span: ReadableSpan) -> OtlpSpan:
    (resource,) = TracesData.FromString(encoded_spans([span])).resource_spans
    return resource.scope_spans[0].spans[0]


@pytest.mark.parametrize(("flags", "kept_flags"), [(0x00, 0), (0x01, 1), (0x02, 2), (0x03, 3)])
@pytest.mark.parametrize("is_remote", [False, True])
def test_w3cs_flags_stand_beside_otlps_own_on_a_span_and_on_its_links(
    flags: int, kept_flags: int, *, is_remote: bool
) -> None:
    context = SpanContext(7, 8, is_remote=is_remote, trace_flags=TraceFlags(flags))
    remote = 0x100 | (0x200 if is_remote else 0)
    linking = encoded(
        ReadableSpan("a", context=SpanContext(7, 9, False), parent=context, links=[Link(context)])
    )
    assert (linking.flags, linking.links[0].flags) == (remote, remote | kept_flags)
    assert encoded(ReadableSpan("b", context=context)).flags == 0x100 | kept_flags


def test_a_link_keeps_its_tracestate_of_either_level() -> None:
    state = "1st@a@b=x,ot=th:8"
    linked = extract({"traceparent": f"00-{'4b' * 16}-{'5a' * 8}-03", "tracestate": state})
    link = Link(get_current_span(linked).get_span_context())
    bare = Link(SpanContext(7, 8, is_remote=False))
    span = ReadableSpan("a", context=SpanContext(7, 9, is_remote=False), links=[bare, link])
    assert [each.trace_state for each in encoded(span).links] == ["", state]


def test_each_span_has_its_own_flags_whatever_the_order_of_scopes() -> None:
    scopes = [InstrumentationScope("one"), InstrumentationScope("two")]
    spans = [
        ReadableSpan(
            "a",
            context=SpanContext(7, at + 1, is_remote=False, trace_flags=TraceFlags(at % 3)),
            instrumentation_scope=scopes[at % 2],
        )
        for at in range(6)
    ]
    (resource,) = TracesData.FromString(encoded_spans(spans)).resource_spans
    flags = {span.span_id[-1] - 1: span.flags for s in resource.scope_spans for span in s.spans}
    assert flags == {at: 0x100 | at % 3 for at in range(6)}
