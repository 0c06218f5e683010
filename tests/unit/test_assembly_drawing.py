"""A trace as it is drawn, and as JSON."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from rich.cells import cell_len
from rich.text import Text

from stream.assembly.as_json import as_json
from stream.assembly.drawing import headline, ms, tree_lines
from stream.assembly.layout import Layout, layout_for
from stream.assembly.selection import drawn
from stream.assembly.span import Span, spans_of
from stream.assembly.trace import Trace, assemble
from stream.testing.spans import (
    MS,
    START_NS,
    TRACE_ID,
    a_span,
    key_values,
    resource_spans,
    span_id_of,
    trace_id_of,
    traces_data,
)

SERVER, CLIENT = OtlpSpan.SPAN_KIND_SERVER, OtlpSpan.SPAN_KIND_CLIENT
PRODUCER, CONSUMER = OtlpSpan.SPAN_KIND_PRODUCER, OtlpSpan.SPAN_KIND_CONSUMER


def read(
    service: str,
    number: int,
    parent: int,
    name: str,
    from_ms: float,
    to_ms: float,
    *,
    kind: int = SERVER,
    error: str = "",
    links: Iterable[tuple[int, int]] = (),
    delivery: int = 0,
) -> Span:
    """Return a span by way of OTLP; `links` are (trace, span)."""
    thrown = OtlpSpan.Event(name="exception", attributes=key_values({"exception.message": error}))
    sent = a_span(
        trace_id=TRACE_ID,
        span_id=span_id_of(number),
        parent_span_id=span_id_of(parent) if parent else b"",
        name=name,
        kind=kind,
        start_ns=START_NS + round(from_ms * MS),
        end_ns=START_NS + round(to_ms * MS),
        status=2 if error else 0,
        events=[thrown] if error else [],
        links=[
            OtlpSpan.Link(trace_id=trace_id_of(trace), span_id=span_id_of(span))
            for trace, span in links
        ],
    )
    return next(spans_of(traces_data(resource_spans([sent], service=service)), delivery=delivery))


def a_checkout() -> Trace:
    """Clocks that differ, an error, a queue, links in both directions, an orphan, a late span."""
    return assemble(
        [
            read("gateway", 1, 0, "POST /checkout", 0, 400),
            read("gateway", 2, 1, "POST", 10, 300, kind=CLIENT),
            read("payment", 3, 2, "charge", -2, 278),
            read("psp", 4, 3, "authorise", 20, 270, error="card\x1b[2J refused"),
            read("gateway", 5, 1, "orders send", 310, 312.5, kind=PRODUCER),
            read("shipping", 6, 5, "orders process", 390, 520, kind=CONSUMER, delivery=1),
            read("ledger", 7, 0, "book", 350, 380, kind=CONSUMER, links=[(1, 5), (9, 4)]),
            read("psp", 8, 99, "audit", 100, 101),
        ]
    )


def drawing(trace: Trace, layout: Layout) -> str:
    lines = tree_lines(trace, layout, deliveries=["decision_wait", "late"])
    return "\n".join(line.plain.rstrip() for line in lines) + "\n"


def a_wide_trace(spans: int) -> Trace:
    calls = [read("db", n, 1, f"SELECT {n % 2}", n / 10, n / 10 + 1) for n in range(2, spans + 1)]
    return assemble([read("gateway", 1, 0, "GET /", 0, 2_000), *calls])


def a_deep_trace(spans: int) -> Trace:
    return assemble([read("s", n, n - 1, "step", 0, 100) for n in range(1, spans + 1)])


FULL = """\
span                 service  kind                           duration      self  critical
POST /checkout       gateway  server   ░░░░░░░░░░░░███▍        400 ms    108 ms    108 ms
├─ POST              gateway  client   ░░░░░░░░░░░▌            290 ms     10 ms     10 ms
│  └─ charge         payment  server   █░░░░░░░░░█▏            280 ms     30 ms     30 ms \
clock +12 ms
│     └─ authorise   psp      server    █████████▍             250 ms    250 ms    250 ms ERROR
│           ! card\\u001b[2J refused
└─ orders send       gateway  producer             ▏             2 ms      2 ms      2 ms
   │  linked from book in ledger, span 5a00000000000007
   └─ orders process shipping consumer                ░░░░░    130 ms    130 ms           async late
book                 ledger   consumer              ░░          30 ms     30 ms
   links to span 5a00000000000005 in gateway
   links to span 5a00000000000004 of trace 4b000000000000000000000000000009
audit                psp      server       ░                     1 ms      1 ms
   its parent 5a00000000000063 is not here
"""

NARROW = """\
POST /check… ░░░░░░█▊      400 ms
├─ POST      ░░░░░░        290 ms
┊ 2 └─ char… ░░░░░▋        280 ms clock +12 ms
┊ 3 └─ auth… █████▎        250 ms ERROR
│     ! card\\u001b[2J refused
└─ orders s…       ▏         2 ms
   │  linked from book in ledger, span…
┊ 2 └─ orde…         ░░    130 ms async late
book                ░       30 ms
   links to span 5a00000000000005 in ga…
   links to span 5a00000000000004 of tr…
audit          ░             1 ms
   its parent 5a00000000000063 is not h…
"""


def test_a_trace_of_every_kind_of_trouble_reads_like_this() -> None:
    assert drawing(a_checkout(), layout_for(None, full=True)) == FULL


def test_on_a_narrow_terminal_it_reads_like_this() -> None:
    assert drawing(a_checkout(), layout_for(40, full=True)) == NARROW


def test_the_headline_names_the_root_and_the_whole_time() -> None:
    line = headline(a_checkout(), Text("t")).plain
    assert line == "t   POST /checkout 520 ms   █ critical path"


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 130, 200])
def test_a_row_fits_the_terminal(width: int, full: bool) -> None:  # noqa: FBT001 - a parameter
    calls = [
        read("a service with quite a long name", n, 1, "語" * 90, 0, 10**7, error="x" * 999)
        for n in range(2, 9)
    ]
    trace = assemble([read("s", 1, 0, "r", 0, 10**7), *calls])

    lines = drawing(trace, layout_for(width, full=full)).splitlines()

    assert max(map(cell_len, lines)) <= width
    assert len(lines) >= 15


def test_of_a_wide_trace_what_is_left_out_is_counted_where_it_would_stand() -> None:
    trace = a_wide_trace(1_000)

    lines = drawing(trace, Layout()).splitlines()

    assert len(lines) == 201
    assert lines[-1] == "└─ … 800 spans more: 444 SELECT 1, 356 SELECT 0"


def test_of_many_names_left_out_the_most_frequent_are_told_and_how_many_failed() -> None:
    calls = [
        read("db", n, 1, f"q{n // 10}", 0, 1, error="x" if n == 30 else "") for n in range(2, 62)
    ]
    trace = assemble([read("s", 1, 0, "GET /", 0, 9), *calls])

    lines = list(tree_lines(trace, Layout(), {trace.main}))

    assert [line.plain for line in lines[1:]] == [
        "└─ … 60 spans more, 1 with an error: 10 q1, 10 q2, 10 q3 and 4 other names"
    ]


def test_a_deep_trace_is_drawn_with_numbers_for_levels_and_does_not_grow_to_the_right() -> None:
    trace = a_deep_trace(5_000)

    lines = drawing(trace, Layout()).splitlines()

    assert max(map(len, lines)) < 80
    assert [line.split("└")[0].strip() for line in lines[8:11]] == ["", "┊ 9", "┊ 10"]
    assert lines[-1].strip().startswith("┊ 200 └─ … 4,800 spans more: 4,800 step")


@given(st.integers(1, 60), st.integers(1, 60))
def test_every_span_is_drawn_or_counted(spans: int, spans_max: int) -> None:
    trace = a_wide_trace(spans)

    lines = drawing(trace, Layout()).splitlines()
    some = list(tree_lines(trace, Layout(), drawn(trace, spans_max, None)))

    assert len(lines) == spans
    assert len(some) == min(spans, spans_max) + (spans_max < spans)


def test_of_many_links_some_are_told_and_how_many_more() -> None:
    batch = read("s", 1, 0, "batch", 0, 9, links=[(9, n) for n in range(1, 500)])

    lines = drawing(assemble([batch]), Layout()).splitlines()

    assert len(lines) == 7
    assert lines[-1] == "   and 494 links more"


def test_a_circle_of_parents_is_said() -> None:
    trace = assemble([read("s", 1, 2, "one", 0, 9), read("s", 2, 1, "two", 1, 9)])

    assert drawing(trace, Layout()).splitlines()[1].strip(" │") == (
        "its parent 5a00000000000002 is itself, or lies below it"
    )


@pytest.mark.parametrize(
    ("duration_ns", "told"),
    [
        (0, "0 ms"),
        (1, "1 µs"),
        (340_400, "340 µs"),
        (MS, "1 ms"),
        (2_585 * MS, "2,585 ms"),
        (10**7 * MS, "10,000 s"),
    ],
)
def test_a_time_is_told_in_a_unit_that_shows_it(duration_ns: int, told: str) -> None:
    assert ms(duration_ns) == told


# JSON.


def test_json_tells_the_tree_flat_so_that_a_deep_trace_is_no_deep_document() -> None:
    told = json.loads(json.dumps(as_json(a_deep_trace(3_000))))

    assert [each["depth"] for each in told["spans"]] == list(range(3_000))
    assert [each["under"] for each in told["spans"]] == [None, *range(2_999)]


def test_json_has_all_that_the_drawing_has() -> None:
    told = json.loads(json.dumps(as_json(a_checkout())))

    assert {key: told[key] for key in ("name", "duration_ms", "errors", "duplicates")} == {
        "name": "POST /checkout",
        "duration_ms": 520.0,
        "errors": 1,
        "duplicates": 0,
    }
    assert [each["name"] for each in told["spans"] if each["async"]] == ["orders process"]
    charge = told["spans"][2]
    assert charge["start_time_unix_nano"] == str(START_NS - 2 * MS)
    assert {key: charge[key] for key in ("under", "start_ms", "clock_ms", "critical_ms")} == {
        "under": 1,
        "start_ms": 10.0,
        "clock_ms": 12.0,
        "critical_ms": 30.0,
    }
    assert told["spans"][3]["exceptions"] == [{"type": "", "message": "card\x1b[2J refused"}]
    assert [each["top"] for each in told["spans"] if each["depth"] == 0] == [
        "root",
        "root",
        "orphan",
    ]
    assert [each["service"] for each in told["spans"][6]["links"]] == ["gateway", None]
    (linked,) = told["spans"][4]["linked_from"]
    assert (linked["span_id"], linked["name"]) == (span_id_of(7).hex(), "book")
    path = [(each["span"], each["start_ms"], each["end_ms"]) for each in told["critical_path"]]
    assert path[:3] == [(0, 0.0, 10.0), (2, 10.0, 20.0), (3, 20.0, 270.0)]
    assert sum(end - start for _, start, end in path) == 400.0


def test_json_tells_how_many_a_span_stands_for() -> None:
    shared = a_span(trace_state="ot=th:c")
    one, none = (
        as_json(assemble(list(spans_of(traces_data(each)))))["spans"][0]["adjusted_count"]
        for each in (shared, a_span())
    )
    assert (one, none) == (4.0, None)
