"""A trace is assembled from its spans, whatever their parents and clocks say."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from stream.assembly.node import Node, Top, is_waited_for, preorder
from stream.assembly.selection import drawn, omitted_below
from stream.assembly.span import Kind, Link, Span, Thrown, spans_of
from stream.assembly.trace import Trace, assemble
from stream.otlp.merge import merge
from stream.otlp.stamp import Stamp
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

START = 1_000


def span(
    number: int,
    parent: int = 0,
    from_: int = 0,
    to: int = 100,
    *,
    host: str = "a",
    kind: Kind = Kind.INTERNAL,
    links: Iterable[Link] = (),
    **changes: Any,
) -> Span:
    """Return a span that ran from `from_` to `to`, in ns after `START`."""
    fields: dict[str, Any] = {
        "trace_id": TRACE_ID,
        "span_id": span_id_of(number),
        "parent_span_id": span_id_of(parent) if parent else b"",
        "name": f"step {number}",
        "service": host,
        "host": host,
        "kind": kind,
        "start_ns": START + from_,
        "end_ns": START + to,
        "failed": False,
        "status_message": "",
        "exceptions": (),
        "links": tuple(links),
        "threshold": None,
        "delivery": 0,
    }
    return Span(**{**fields, **changes})


def link_to(number: int, trace: int = 1) -> Link:
    return Link(trace_id_of(trace), span_id_of(number))


def by_name(trace: Trace) -> dict[str, Node]:
    return {node.span.name.removeprefix("step "): node for node in trace.nodes}


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """Spans of any parents: missing ones, several with one id, circles; on two hosts."""
    made = []
    for _ in range(draw(st.integers(1, 12))):
        from_ = draw(st.integers(0, 40))
        made.append(
            span(
                draw(st.integers(1, 9)),
                draw(st.integers(0, 10)),
                from_,
                from_ + draw(st.integers(0, 40)),
                host=draw(st.sampled_from("ab")),
                kind=draw(st.sampled_from(Kind)),
                links=draw(st.lists(st.builds(link_to, st.integers(1, 10)), max_size=1)),
            )
        )
    return made


@st.composite
def calls_in_turn(draw: st.DrawFn) -> list[Span]:
    """A tree of one host in which each caller waits for its calls, one after the other."""
    made = [span(1, 0, 0, draw(st.integers(1, 1_000)))]
    for each in made:
        at = each.start_ns
        while len(made) < 30 and at < each.end_ns and draw(st.booleans()):
            start = draw(st.integers(at, each.end_ns - 1))
            end = draw(st.integers(start + 1, each.end_ns))
            parent = int.from_bytes(each.span_id[1:])
            made.append(span(len(made) + 1, parent, start - START, end - START))
            at = end
    return made


# The tree.


@given(spans())
def test_each_span_appears_exactly_once_whatever_the_parents(made: list[Span]) -> None:
    trace = assemble(made)

    drawn_spans = [id(node.span) for node in trace.nodes]
    assert len(drawn_spans) == len(set(drawn_spans))
    assert len(drawn_spans) + trace.duplicates == len(made)
    assert {node.span.span_id for node in trace.nodes} == {each.span_id for each in made}
    for node in trace.nodes:
        assert all(child.parent is node for child in node.children)
        assert (node.parent is None) == (node.top is not None) == (node in trace.tops)


@given(spans())
def test_children_stand_in_the_order_in_which_they_began(made: list[Span]) -> None:
    for node in assemble(made).nodes:
        assert all(one.start_ns <= next_.start_ns for one, next_ in pairwise(node.children))


def test_roots_stand_before_orphans_and_circles() -> None:
    trace = assemble([span(5, 6, 1), span(6, 5, 2), span(2, 9, 3), span(3, 0, 5), span(1, 0, 4)])

    tops = [(top.span.name, top.top) for top in trace.tops]
    assert tops == [
        ("step 1", Top.ROOT),
        ("step 3", Top.ROOT),
        ("step 5", Top.CYCLE),
        ("step 2", Top.ORPHAN),
    ]


def test_a_circle_is_cut_in_the_circle_and_not_in_what_hangs_from_it() -> None:
    trace = assemble([span(1, 2, 0), span(2, 3, 20), span(3, 2, 10)])

    assert [top.span.name for top in trace.tops] == ["step 3"]
    assert [node.depth for node in trace.nodes] == [0, 1, 2]


def test_a_trace_as_deep_as_it_has_spans_is_assembled() -> None:
    trace = assemble([span(n, n - 1) for n in range(5_000, 0, -1)])

    assert [node.depth for node in trace.nodes] == list(range(5_000))


def test_client_and_server_with_one_id_are_two_spans_one_below_the_other() -> None:
    server = span(2, 1, 30, 60, host="b", kind=Kind.SERVER)
    client = span(2, 1, 20, 70, host="a", kind=Kind.CLIENT)
    called = span(3, 2, 40, 50, host="b")
    beside = span(4, 2, 62, 65, host="a")

    trace = assemble([server, span(1), called, client, server, beside])

    below = {node.span: node.parent.span for node in trace.nodes if node.parent}
    assert below == {client: span(1), server: client, called: server, beside: client}
    assert trace.duplicates == 1


@given(st.permutations([Kind.CLIENT, Kind.SERVER, Kind.SERVER, Kind.CLIENT]))
def test_of_a_call_with_one_id_the_client_stands_above_the_server_whichever_came_first(
    kinds: list[Kind],
) -> None:
    trace = assemble([span(1), *(span(2, 1, kind=kind) for kind in kinds)])

    assert [node.span.kind for node in trace.nodes] == [Kind.INTERNAL, Kind.CLIENT, Kind.SERVER]
    assert [node.depth for node in trace.nodes] == [0, 1, 2]
    assert trace.duplicates == 2


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(Kind)), min_size=1, max_size=9))
def test_as_many_spans_are_drawn_as_the_worker_keeps(made: list[tuple[int, Kind]]) -> None:
    kinds = list(Kind)
    sent = [a_span(span_id=span_id_of(number), kind=kinds.index(kind)) for number, kind in made]
    merged = merge([traces_data(sent)], Stamp("none", "errors", "late"), 1_000_000)
    (kept,) = merged.parts
    trace = assemble(list(spans_of(kept)))
    assert (len(trace.nodes), trace.duplicates) == (merged.spans, 0)
    again = assemble(list(spans_of(traces_data(sent))))
    assert (len(again.nodes), again.duplicates) == (merged.spans, merged.duplicates)


def test_of_spans_with_one_id_the_first_stands() -> None:
    trace = assemble([span(1, name="first"), span(1, name="again")])

    assert ([node.span.name for node in trace.nodes], trace.duplicates) == (["first"], 1)


# Clocks.


@given(spans())
def test_a_call_to_another_host_lies_inside_its_caller(made: list[Span]) -> None:
    for node in assemble(made).nodes:
        parent = node.parent
        if parent is None or parent.span.host == node.span.host:
            continue
        assert node.start_ns >= parent.start_ns
        if is_waited_for(node, parent) and node.duration_ns <= parent.duration_ns:
            assert node.end_ns <= parent.end_ns


@given(spans())
def test_spans_of_one_clock_keep_their_places_and_every_span_its_duration(
    made: list[Span],
) -> None:
    for node in assemble(made).nodes:
        assert node.duration_ns == node.span.duration_ns
        assert node.start_ns == node.span.start_ns + node.clock_ns
        if node.parent is None:
            assert node.clock_ns == 0
        elif node.parent.span.host == node.span.host:
            assert node.clock_ns == node.parent.clock_ns


def test_a_clock_is_set_by_no_more_than_brings_the_call_into_its_caller() -> None:
    early = span(2, 1, -12, 8, host="b")
    below = span(4, 2, -10, 3, host="b")
    late = span(3, 1, 90, 103, host="c")
    within = span(5, 1, 10, 20, host="d")

    found = by_name(assemble([span(1), early, late, within, below]))

    clocks = {name: node.clock_ns for name, node in found.items()}
    assert clocks == {"1": 0, "2": 12, "4": 12, "3": -3, "5": 0}
    assert [name for name, node in found.items() if node.is_clock_set] == ["2", "3"]


def test_what_comes_out_of_a_queue_may_outlive_who_sent_it_and_may_not_begin_before() -> None:
    producer = span(1, kind=Kind.PRODUCER)
    later = span(2, 1, 150, 160, host="b", kind=Kind.CONSUMER)
    early = span(3, 1, -7, 3, host="b", kind=Kind.CONSUMER)
    follows = span(4, 1, 90, 120, host="b", kind=Kind.SERVER, links=[link_to(1)])

    found = by_name(assemble([producer, later, early, follows]))

    assert {name: node.clock_ns for name, node in found.items()} == {
        "1": 0,
        "2": 0,
        "3": 7,
        "4": 0,
    }


def test_what_links_to_its_parent_only_follows_from_it() -> None:
    follows = span(2, 1, 90, 120, host="b", links=[link_to(1)])
    called = span(3, 1, 90, 120, host="b", links=[link_to(2), link_to(1, trace=9)])

    found = by_name(assemble([span(1), follows, called]))

    assert (found["2"].clock_ns, found["3"].clock_ns) == (0, -20)


def test_a_call_that_lasts_longer_than_its_caller_is_only_kept_from_beginning_before_it() -> None:
    found = by_name(assemble([span(1, 0, 0, 50), span(2, 1, -5, 90, host="b")]))

    assert (found["2"].clock_ns, found["2"].end_ns) == (5, START + 95)


def test_a_span_without_times_is_not_moved_and_does_not_stretch_the_trace() -> None:
    trace = assemble([span(1), span(2, 1, -START, -START, host="b")])

    assert by_name(trace)["2"].clock_ns == 0
    assert (trace.start_ns, trace.end_ns) == (START, START + 100)


# The critical path.


@given(spans())
def test_the_critical_path_adds_up_to_the_time_of_the_longest_root(made: list[Span]) -> None:
    trace = assemble(made)

    roots = [top for top in trace.tops if top.top is Top.ROOT] or trace.tops
    assert trace.main.duration_ns == max(root.duration_ns for root in roots)
    sections = sorted(section for node in trace.nodes for section in node.path)
    assert sum(to - from_ for from_, to in sections) == trace.main.duration_ns
    assert all(one[1] <= next_[0] for one, next_ in pairwise(sections))
    for node in trace.nodes:
        assert all(node.start_ns <= from_ < to <= node.end_ns for from_, to in node.path)
        assert not node.path or node in set(preorder([trace.main]))


@given(calls_in_turn())
def test_where_calls_follow_one_another_all_self_times_are_the_critical_path(
    made: list[Span],
) -> None:
    trace = assemble(made)

    assert [node.self_ns for node in trace.nodes] == [node.path_ns for node in trace.nodes]
    assert sum(node.self_ns for node in trace.nodes) == trace.main.duration_ns


def test_of_calls_at_once_the_one_that_ended_last_is_the_critical_path() -> None:
    root = span(1)
    quick, slow, before = span(2, 1, 30, 60), span(3, 1, 20, 90), span(4, 1, 5, 18)
    overlaps = span(5, 1, 10, 25)

    found = by_name(assemble([root, quick, slow, before, overlaps]))

    assert {name: node.path_ns for name, node in found.items()} == {
        "1": 5 + 2 + 10,
        "2": 0,
        "3": 70,
        "4": 13,
        "5": 0,
    }
    assert found["1"].self_ns == 5 + 10


def test_what_nobody_waits_for_is_not_on_the_critical_path() -> None:
    producer = span(2, 1, 10, 20, kind=Kind.PRODUCER)
    consumer = span(3, 2, 12, 90, kind=Kind.CONSUMER)

    found = by_name(assemble([span(1), producer, consumer]))

    assert {name: node.path_ns for name, node in found.items()} == {"1": 90, "2": 10, "3": 0}


# Links.


def test_links_are_known_in_both_directions_and_from_other_traces() -> None:
    produces = span(1, service="shop")
    consumes = span(2, 0, links=[link_to(1), link_to(7, trace=9), link_to(8)])
    elsewhere = [
        span(5, trace_id=trace_id_of(9), service="ledger", links=[link_to(1)]),
        span(6, trace_id=trace_id_of(9), links=[link_to(1, trace=9), link_to(4)]),
    ]

    trace = assemble([produces, consumes], elsewhere)

    found = by_name(trace)
    assert [service for _, service in found["2"].links] == ["shop", None, None]
    linked = [(each.trace_id, each.service) for each in found["1"].linked_from]
    assert linked == [(TRACE_ID, "a"), (trace_id_of(9), "ledger")]
    absent = [(span_id, each.name) for span_id, each in trace.linked_absent]
    assert absent == [(span_id_of(8), "step 2"), (span_id_of(4), "step 6")]


# Which spans of a large trace are drawn.


@given(spans(), st.integers(1, 13), st.none() | st.integers(1, 4))
def test_no_more_than_asked_are_drawn_each_below_its_caller_and_the_rest_is_counted(
    made: list[Span], spans_max: int, depth_max: int | None
) -> None:
    trace = assemble(made)

    chosen = drawn(trace, spans_max, depth_max)

    assert 0 < len(chosen) <= spans_max
    assert all(node.parent is None or node.parent in chosen for node in chosen)
    assert all(depth_max is None or node.depth < depth_max for node in chosen)
    left_out = omitted_below(trace.tops, chosen).spans
    left_out += sum(omitted_below(node.children, chosen).spans for node in chosen)
    assert len(chosen) + left_out == len(trace.nodes)


def test_what_failed_and_the_critical_path_are_drawn_before_what_is_long() -> None:
    long_ones = [span(n, 1, 1, 90) for n in range(10, 60)]
    critical, failed = span(2, 1, 95, 99), span(3, 1, 50, 51, failed=True)

    trace = assemble([span(1), *long_ones, failed, critical])

    assert {node.span.name for node in drawn(trace, 4, None)} >= {"step 1", "step 2", "step 3"}


# Out of OTLP.


def test_a_span_of_otlp_is_read_with_its_service_its_errors_and_its_links() -> None:
    thrown = OtlpSpan.Event(
        name="exception",
        attributes=key_values({"exception.type": "IOError", "exception.message": "gone"}),
    )
    sent = a_span(
        parent_span_id=bytes(8),
        kind=OtlpSpan.SPAN_KIND_CONSUMER,
        status=2,
        status_message="failed",
        trace_state="ot=th:8",
        events=[OtlpSpan.Event(name="retry"), thrown],
        links=[OtlpSpan.Link(trace_id=trace_id_of(9), span_id=span_id_of(7))],
    )

    (read,) = spans_of(traces_data(resource_spans([sent], service="ledger")), delivery=3)

    assert (read.service, read.parent_span_id, read.kind) == ("ledger", b"", Kind.CONSUMER)
    assert (read.failed, read.status_message) == (True, "failed")
    assert read.exceptions == (Thrown("IOError", "gone"),)
    assert read.links == (link_to(7, trace=9),)
    assert (read.threshold, read.delivery) == (1 << 55, 3)


def test_a_clock_is_known_by_its_machine_else_by_the_instance_of_its_service() -> None:
    def host(**resource: str) -> str:
        named = {key.replace("_", "."): value for key, value in resource.items()}
        value = traces_data(resource_spans([a_span()], service="s", resource=named))
        return next(spans_of(value)).host

    assert host(host_id="7", host_name="x") == host(host_id="7", service_instance_id="1")
    assert host(host_name="x") != host(host_name="y")
    assert host(service_instance_id="1") != host(service_instance_id="2")
    assert host() == host()


def test_times_that_cannot_be_are_made_an_instant() -> None:
    def times(start_ns: int, end_ns: int) -> tuple[int, int]:
        (read,) = spans_of(traces_data(a_span(start_ns=start_ns, end_ns=end_ns)))
        return read.start_ns, read.end_ns

    assert times(START_NS, START_NS - MS) == (START_NS, START_NS)
    assert times(0, START_NS) == (START_NS, START_NS)
    assert times(START_NS, 0) == (START_NS, START_NS)


def test_a_kind_that_otlp_does_not_know_is_no_kind() -> None:
    for kind in (0, 6, -1, 2_000_000_000):
        (read,) = spans_of(traces_data(a_span(kind=kind)))
        assert read.kind is Kind.UNSPECIFIED
