"""The shop's samplers: what is kept at a trace's head, and what its tracestate says of it."""

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from stream.demo.shop.samplers import (
    AsItsMessage,
    ConsistentProbability,
    EachSpanAnew,
    head_sampler,
)
from stream.propagation import W3CTraceState

HALF = 1 << 55
TRACE_ID = 0xC0FFEE << 64
SAMPLED, NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags()


def span(
    state: str = "", flags: TraceFlags = SAMPLED, *, trace_id: int = TRACE_ID | 1
) -> SpanContext:
    return SpanContext(trace_id, 5, True, flags, W3CTraceState.from_header([state]))


def parent(state: str = "", flags: TraceFlags = SAMPLED) -> Context:
    return set_span_in_context(NonRecordingSpan(span(state, flags)), Context())


def told(result: SamplingResult) -> tuple[bool, str]:
    state = "" if result.trace_state is None else result.trace_state.to_header()
    return result.decision is Decision.RECORD_AND_SAMPLE, state


@pytest.mark.parametrize(
    ("randomness", "kept"), [(HALF - 1, False), (HALF, True), (0, False), (2**56 - 1, True)]
)
def test_a_trace_is_kept_where_its_randomness_reaches_the_threshold(
    randomness: int, *, kept: bool
) -> None:
    result = ConsistentProbability(0.5).should_sample(None, TRACE_ID | randomness, "root")
    assert told(result) == ((True, "ot=th:8") if kept else (False, ""))


def test_the_leading_zeros_of_a_threshold_are_said() -> None:
    sampler = ConsistentProbability(1 - 0x08 / 256)
    assert told(sampler.should_sample(None, 2**56 - 1, "root")) == (True, "ot=th:08")


def test_who_keeps_all_says_that_the_threshold_is_zero() -> None:
    assert told(ConsistentProbability(1.0).should_sample(None, TRACE_ID, "root")) == (
        True,
        "ot=th:0",
    )


def test_explicit_randomness_is_what_decides_and_is_kept() -> None:
    sampler = ConsistentProbability(0.5)
    low = parent("ot=rv:00000000000001,other=1")
    high = parent("ot=rv:ffffffffffffff,other=1")
    assert told(sampler.should_sample(low, 2**56 - 1, "x")) == (
        False,
        "ot=rv:00000000000001,other=1",
    )
    assert told(sampler.should_sample(high, TRACE_ID, "x")) == (
        True,
        "ot=th:8;rv:ffffffffffffff,other=1",
    )


def test_who_drops_a_trace_takes_back_what_a_threshold_said() -> None:
    result = ConsistentProbability(0.5).should_sample(parent("other=1,ot=th:4"), TRACE_ID, "x")
    assert told(result) == (False, "other=1")


def test_a_head_sampler_leaves_the_traces_of_others_as_they_are() -> None:
    sampler = head_sampler(0.5)
    kept = sampler.should_sample(parent("ot=th:c"), TRACE_ID, "x")
    dropped = sampler.should_sample(parent("", NOT_SAMPLED), 2**56 - 1, "x")
    assert told(kept) == (True, "ot=th:c")
    assert told(dropped) == (False, "")


@pytest.mark.parametrize("share", [0, -0.1, 1.1, 2**-57])
def test_a_share_that_has_no_threshold_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"share is {share}"):
        ConsistentProbability(share)


def test_what_a_span_said_at_its_start_survives_the_sampler() -> None:
    for sampler in (ConsistentProbability(1.0), AsItsMessage(ALWAYS_ON)):
        result = sampler.should_sample(None, 1, "x", attributes={"k": "v"}, links=[Link(span())])
        assert dict(result.attributes or {}) == {"k": "v"}


@pytest.mark.parametrize("threshold", ["8", "08", "0", "e6666666666666"])
def test_a_consumer_keeps_what_its_message_s_trace_was_kept_for_with_its_randomness(
    threshold: str,
) -> None:
    message = span(f"ot=th:{threshold},other=1", trace_id=TRACE_ID | 0xFBCDEF00112233)
    result = AsItsMessage(ALWAYS_ON).should_sample(None, 1, "process", links=[Link(message)])
    assert told(result) == (True, f"ot=th:{threshold};rv:fbcdef00112233")


def test_a_consumer_drops_what_its_message_s_trace_was_dropped_for() -> None:
    message = span("", NOT_SAMPLED)
    result = AsItsMessage(ALWAYS_ON).should_sample(None, 1, "process", links=[Link(message)])
    assert told(result) == (False, "")


def test_of_a_message_without_a_threshold_nothing_is_claimed() -> None:
    result = AsItsMessage(ALWAYS_ON).should_sample(None, 1, "process", links=[Link(span())])
    assert told(result) == (True, "")


def test_a_message_without_a_context_is_sampled_otherwise() -> None:
    sampler = AsItsMessage(ConsistentProbability(0.5))
    assert told(sampler.should_sample(None, 0, "process")) == (False, "")
    assert told(sampler.should_sample(None, HALF, "process")) == (True, "ot=th:8")


def test_the_broken_sampler_ignores_the_flag_that_came_in() -> None:
    sampler = EachSpanAnew()
    for flags in (SAMPLED, NOT_SAMPLED):
        for trace_id, server, client in ((0, 0, 0), (1, 1, 0), (2, 0, 1), (3, 1, 1)):
            for kind, kept in ((SpanKind.SERVER, server), (SpanKind.CLIENT, client)):
                result = sampler.should_sample(parent("", flags), trace_id, "x", kind)
                assert told(result) == (bool(kept), "")
