"""A tracestate as W3C lets a vendor change it, and as OpenTelemetry carries it."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from stream.propagation import TraceContextPropagator, W3CTraceState, extract, inject

GOOD = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def state(header: str) -> W3CTraceState:
    return W3CTraceState.from_header([header])


def test_what_is_set_moves_to_the_left_and_what_others_set_keeps_its_order() -> None:
    before = state("foo=1,ot=th:8,0bar@=2")

    assert before.update("ot", "th:c").to_header() == "ot=th:c,foo=1,0bar@=2"
    assert before.update("new", "3").to_header() == "new=3,foo=1,ot=th:8,0bar@=2"
    assert before.to_header() == "foo=1,ot=th:8,0bar@=2", "a tracestate does not change"


def test_a_key_that_stood_there_twice_stands_there_once_after_it_was_set() -> None:
    assert state("a=1,b=2,a=3").update("a", "4").to_header() == "a=4,b=2"
    assert state("a=1,b=2,a=3").delete("a").to_header() == "b=2"
    assert state("a=1,b=2,b=3").update("a", "4").to_header() == "a=4,b=2,b=3"


def test_the_33rd_entry_costs_the_rightmost_one() -> None:
    full = state(",".join(f"k{number}=v" for number in range(32)))

    assert full.update("ot", "th:8").to_header() == "ot=th:8," + ",".join(
        f"k{number}=v" for number in range(31)
    )
    assert full.update("k31", "w").to_header().startswith("k31=w,k0=v,")
    assert len(full.update("k31", "w")) == 32


@pytest.mark.parametrize(
    ("key", "value"),
    [("Key", "v"), ("@key", "v"), ("", "v"), ("key", ""), ("key", "a,b"), ("a=b", "c")],
)
def test_what_w3c_does_not_allow_changes_nothing(key: str, value: str) -> None:
    before = state("foo=1")

    assert before.update(key, value) is before
    assert before.add(key, value) is before
    with pytest.raises(ValueError, match="no tracestate"):
        W3CTraceState([(key, value)])


def test_more_than_32_entries_are_no_tracestate() -> None:
    with pytest.raises(ValueError, match="33 entries"):
        W3CTraceState([(f"k{number}", "v") for number in range(33)])


def test_a_key_is_added_once() -> None:
    before = state("foo=1")

    assert before.add("foo", "2") is before
    assert before.add("bar", "2").to_header() == "bar=2,foo=1"


def test_as_a_mapping_it_shows_the_entry_that_was_set_last() -> None:
    mapping = state("a=1,b=2,a=3")

    assert dict(mapping) == {"a": "1", "b": "2"}
    assert list(mapping.items()) == [("a", "1"), ("b", "2")]
    assert (list(mapping.keys()), list(mapping.values())) == (["a", "b"], ["1", "2"])
    assert (mapping["a"], mapping.get("c"), "a" in mapping, "c" in mapping) == (
        "1",
        None,
        True,
        False,
    )
    assert mapping == TraceState([("a", "1"), ("b", "2")])
    assert "('a', '3')" in repr(mapping)


@pytest.mark.parametrize(
    ("rule", "before", "chars_max", "after"),
    [
        ("what fits stays", "a=1,b=2", 7, "a=1,b=2"),
        ("then from the right", "a=1,b=2", 6, "a=1"),
        ("down to nothing", "a=1,b=2", 2, ""),
        (
            "a long one first, wherever it stands",
            f"long={'v' * 124},a=1,b=2",
            100,
            "a=1,b=2",
        ),
        (
            "of 128 characters it is not yet long",
            f"long={'v' * 123},a=1,b=2",
            128,
            f"long={'v' * 123}",
        ),
        (
            "of several long ones the rightmost",
            f"x={'v' * 200},a=1,y={'v' * 200},b=2",
            210,
            f"x={'v' * 200},a=1,b=2",
        ),
        (
            "all the long ones, then from the right",
            f"x={'v' * 200},a=1,y={'v' * 200},b=2",
            3,
            "a=1",
        ),
    ],
)
def test_a_list_is_cut_by_whole_entries(rule: str, before: str, chars_max: int, after: str) -> None:
    assert state(before).truncated(chars_max).to_header() == after, rule


def test_a_propagator_may_be_told_to_pass_on_512_characters_and_no_fewer() -> None:
    carried = {"traceparent": GOOD, "tracestate": ",".join(f"k{n:02}={'v' * 60}" for n in range(9))}
    sent: dict[str, str] = {}
    propagator = TraceContextPropagator(trace_state_chars_max=512)
    propagator.inject(sent, propagator.extract(carried))

    assert sent["tracestate"] == ",".join(f"k{n:02}={'v' * 60}" for n in range(7))
    with pytest.raises(ValueError, match="at least 512"):
        TraceContextPropagator(trace_state_chars_max=511)


def test_a_sampler_of_the_sdk_sets_its_entry_in_the_list_that_came() -> None:
    """As the SDK's own composite samplers do: by TraceState.update."""

    class Head(Sampler):
        def should_sample(self, parent_context, *_, **__):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN002, ANN003, ANN202 - the SDK's signature
            came = trace.get_current_span(parent_context).get_span_context().trace_state
            return SamplingResult(Decision.RECORD_AND_SAMPLE, trace_state=came.update("ot", "th:8"))

        def get_description(self) -> str:
            return "head"

    context = extract([("traceparent", GOOD), ("tracestate", b"foo@=1,foo@=2,ot=th:0")])
    span = TracerProvider(sampler=Head()).get_tracer("a service").start_span("its own", context)
    sent = dict(inject((), trace.set_span_in_context(span)))

    assert sent["tracestate"] == b"ot=th:8,foo@=1,foo@=2"


def test_a_span_with_any_other_tracestate_is_injected_too() -> None:
    plain = SpanContext(
        1, 2, is_remote=False, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "1")])
    )
    context = trace.set_span_in_context(trace.NonRecordingSpan(plain))

    assert dict(inject((), context))["tracestate"] == b"a=1"
