"""Two kept topics are compared trace by trace, by their span ids."""

from base64 import b64encode
from collections.abc import Iterable

from google.protobuf.json_format import MessageToJson
from hypothesis import given
from hypothesis import strategies as st

from stream.compare import EXAMPLES_MAX, Difference, Side, TwoTopics
from stream.testing.spans import a_span, decoded, span_id_of, trace_id_of, traces_data

EDGE_MS = 1_000
MIDDLE_MS = 50_000
FIRST_MS, LAST_MS = 0, 100_000


def record(trace: int, spans: Iterable[int] = (1, 2)) -> bytes:
    id_ = trace_id_of(trace)
    return traces_data([a_span(trace_id=id_, span_id=span_id_of(span)) for span in spans])


def two_topics(spans_max: int = 1_000_000) -> TwoTopics:
    """Return two topics that both cover the time from FIRST_MS to LAST_MS."""
    two = TwoTopics(spans_max)
    for side in (two.ours, two.other):
        for time_ms in (FIRST_MS, LAST_MS):
            two.take(side, traces_data(), time_ms)
    return two


def take(
    two: TwoTopics,
    side: Side,
    trace: int,
    *spans: int,
    time_ms: int = MIDDLE_MS,
    policy: str = "errors",
) -> None:
    two.take(side, record(trace, spans or (1, 2)), time_ms, policy)


def test_a_trace_is_the_same_whatever_records_its_spans_lie_in() -> None:
    two = two_topics()
    take(two, two.ours, 1, 1, 2, 3)
    take(two, two.other, 1, 3)
    both = traces_data(
        [
            a_span(trace_id=trace_id_of(trace), span_id=span_id_of(span))
            for trace, span in ((1, 2), (2, 7), (1, 1))
        ]
    )
    two.take(two.other, both, MIDDLE_MS)
    take(two, two.ours, 2, 7, policy="slow")

    found = two.compare(EDGE_MS)

    assert (dict(found.same), found.different) == ({"errors": 1, "slow": 1}, 0)


def test_a_trace_that_one_topic_lacks_is_counted_and_shown() -> None:
    two = two_topics()
    take(two, two.ours, 1, policy="slow")
    take(two, two.other, 2)

    found = two.compare(EDGE_MS)

    assert (dict(found.only_ours), found.only_other, found.different) == ({"slow": 1}, 1, 2)
    assert found.only_ours_examples == [(trace_id_of(1).hex(), "slow")]
    assert found.only_other_examples == [trace_id_of(2).hex()]


def test_spans_that_one_topic_lacks_are_counted_for_each_trace() -> None:
    two = two_topics()
    take(two, two.ours, 1, 1, 2, 3)
    take(two, two.other, 1, 3, 4, 5)

    found = two.compare(EDGE_MS)

    assert dict(found.differing) == {"errors": 1}
    assert found.differing_examples == [Difference(trace_id_of(1).hex(), "errors", 2, 2)]


def test_a_span_that_came_twice_is_told_and_is_no_difference() -> None:
    two = two_topics()
    take(two, two.ours, 1, 1, 2)
    take(two, two.other, 1, 1, 2, 2)
    take(two, two.other, 1, 1)

    found = two.compare(EDGE_MS)

    assert (found.different, found.twice_ours, found.twice_other) == (0, 0, 2)


def test_a_trace_with_a_record_nearer_than_the_edge_to_an_end_is_not_compared() -> None:
    two = two_topics()
    take(two, two.ours, 1, time_ms=FIRST_MS + EDGE_MS - 1)
    take(two, two.other, 2, time_ms=LAST_MS - EDGE_MS + 1)
    take(two, two.ours, 3, 1)
    take(two, two.other, 3, 2, time_ms=LAST_MS)
    take(two, two.ours, 4, time_ms=FIRST_MS + EDGE_MS)
    take(two, two.ours, 5, time_ms=LAST_MS - EDGE_MS)

    found = two.compare(EDGE_MS)

    assert (found.at_the_edges, found.compared) == (3, 2)
    assert [id_ for id_, _ in found.only_ours_examples] == [
        trace_id_of(trace).hex() for trace in (4, 5)
    ]


def test_the_window_is_what_both_topics_cover() -> None:
    two = TwoTopics()
    for side, times_ms in ((two.ours, (0, 60_000)), (two.other, (40_000, 100_000))):
        for time_ms in times_ms:
            two.take(side, traces_data(), time_ms)

    assert two.compare(EDGE_MS).window_ms == (41_000, 59_000)
    assert two.compare(10_001).window_ms is None


def test_with_one_topic_empty_nothing_is_compared() -> None:
    two = TwoTopics()
    take(two, two.ours, 1)

    found = two.compare(EDGE_MS)

    assert (found.window_ms, found.compared, found.at_the_edges) == (None, 0, 1)


def test_otlp_json_is_read_and_what_is_no_otlp_is_counted() -> None:
    two = two_topics()
    take(two, two.ours, 1)
    as_message = decoded(record(1))
    text = MessageToJson(as_message)
    for each in as_message.resource_spans[0].scope_spans[0].spans:
        text = text.replace(_base64(each.trace_id), each.trace_id.hex())
        text = text.replace(_base64(each.span_id), each.span_id.hex())
    two.take(two.other, text.encode(), MIDDLE_MS)
    two.take(two.other, b"\xff\xff", MIDDLE_MS)

    found = two.compare(EDGE_MS)

    assert (found.same.total(), found.different, two.other.unreadable) == (1, 0, 1)


def test_examples_are_few() -> None:
    two = two_topics()
    for trace in range(1, 30):
        take(two, two.ours, trace)

    found = two.compare(EDGE_MS)

    assert (found.only_ours.total(), len(found.only_ours_examples)) == (29, EXAMPLES_MAX)


def test_above_the_limit_a_share_of_the_traces_is_held_and_it_is_the_same_in_both() -> None:
    two = two_topics(spans_max=100)
    for trace in range(1, 401):
        take(two, two.ours, trace)
    for trace in range(400, 0, -1):
        take(two, two.other, trace)

    found = two.compare(EDGE_MS)

    assert found.one_of > 1
    assert 0 < found.same.total() <= 50
    assert found.different == 0


@given(
    ours=st.sets(st.tuples(st.integers(1, 20), st.integers(1, 3))),
    other=st.sets(st.tuples(st.integers(1, 20), st.integers(1, 3))),
)
def test_every_trace_is_in_one_count(
    ours: set[tuple[int, int]], other: set[tuple[int, int]]
) -> None:
    two = two_topics()
    for side, spans in ((two.ours, ours), (two.other, other)):
        for trace, span in spans:
            take(two, side, trace, span)

    found = two.compare(EDGE_MS)

    assert found.compared == len({trace for trace, _ in ours | other})
    assert found.only_ours.total() == len({t for t, _ in ours} - {t for t, _ in other})
    assert found.only_other == len({t for t, _ in other} - {t for t, _ in ours})
    assert (found.different == 0) == (ours == other)


def _base64(id_: bytes) -> str:
    return b64encode(id_).decode()
