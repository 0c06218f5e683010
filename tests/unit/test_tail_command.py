"""Kept traces as `tailstream tail` sees them."""

from rich.text import Text

from stream.assembly.drawing import SPANS_MAX, render_trace
from stream.cli.tail import Filters, kept_of
from stream.kafka.topic_reader import ReadRecord
from stream.testing.spans import (
    a_span,
    a_trace,
    resource_spans,
    span_id_of,
    trace_id_of,
    traces_data,
)

MS = 1_000_000
HEADERS = [("tailstream.policy", b"slow"), ("tailstream.trigger", b"decision_wait")]
ALL = Filters((), (), 0)


def a_record(value: bytes) -> ReadRecord:
    return ReadRecord("out", 0, 0, trace_id_of(1).hex().encode(), value, HEADERS)


def test_a_record_tells_its_trace_why_it_was_kept_and_whom_it_went_through() -> None:
    span = a_span(trace_id=trace_id_of(1), start_ns=5 * MS, end_ns=25 * MS)

    kept = kept_of(a_record(traces_data(resource_spans([span], service="psp"))))

    assert kept is not None
    assert (kept.policy, kept.trigger, set(kept.services)) == ("slow", "decision_wait", {"psp"})
    assert (kept.duration_ms, kept.spans) == (20, 1)


def test_filters_pass_what_meets_all_of_them() -> None:
    span = a_span(trace_id=trace_id_of(1), start_ns=MS, end_ns=21 * MS)
    kept = kept_of(a_record(traces_data(resource_spans([span], service="psp"))))
    assert kept is not None

    assert ALL.show(kept)
    assert Filters(("psp", "x"), ("slow",), 20).show(kept)
    assert not Filters(("x",), (), 0).show(kept)
    assert not Filters((), ("errors",), 0).show(kept)
    assert not Filters((), (), 20.5).show(kept)


def test_a_record_that_is_no_trace_is_passed_by() -> None:
    assert kept_of(a_record(b"\xff")) is None
    assert kept_of(a_record(b"")) is None


def test_spans_that_are_each_other_s_parents_are_drawn_once_each() -> None:
    first = a_span(span_id=span_id_of(1), parent_span_id=span_id_of(2), name="one")
    second = a_span(span_id=span_id_of(2), parent_span_id=span_id_of(1), name="two")
    own = a_span(span_id=span_id_of(3), parent_span_id=span_id_of(3), name="three")

    lines = render_trace(traces_data(first, second, own), Text("t"))

    drawn = [name for line in lines[2:] for name in ("one", "two", "three") if name in line.plain]
    assert sorted([*drawn, lines[1].plain.split()[0]]) == ["one", "three", "two"]


def test_of_a_trace_as_deep_as_it_has_spans_the_top_is_drawn_and_the_rest_counted() -> None:
    spans = [
        a_span(span_id=span_id_of(n + 1), parent_span_id=span_id_of(n) if n else b"")
        for n in range(3_000)
    ]

    lines = render_trace(traces_data(*spans), Text("t"))

    assert len(lines) == 1 + SPANS_MAX + 1
    assert f"… {3_000 - SPANS_MAX:,} spans more: " in lines[-1].plain


def test_the_tree_hangs_calls_below_their_parents_in_the_order_they_began() -> None:
    root, child, *_ = a_trace(1, spans=2)

    lines = render_trace(traces_data(child, root), Text("t"))

    assert lines[2].plain.startswith("└─ ")


def test_names_of_spans_and_services_are_drawn_and_not_obeyed() -> None:
    span = a_span(trace_id=trace_id_of(1), name="a\x1b[2J\n[red]b")
    value = traces_data(resource_spans([span], service="c\x07\u202e"))

    whole, line = render_trace(value, Text("t"))

    assert whole.plain.startswith(r"t   a\u001b[2J\n[red]b ")
    assert line.plain.startswith(r"a\u001b[2J\n[red]b c\u0007\u202e ")
