"""The order of cuts."""

from hypothesis import given
from hypothesis import strategies as st

from stream.sampling.deadlines import STALE_ENTRIES_MIN, Deadlines
from stream.sampling.trace import OpenTrace

MOVES = st.lists(st.tuples(st.integers(0, 7), st.integers(1, 30)), max_size=20)


def a_trace(number: int, deadline_ms: int) -> OpenTrace:
    return OpenTrace(bytes([number]), number, 0, deadline_ms)


def popped(deadlines: Deadlines, open_traces: dict[bytes, OpenTrace], time_ms: int) -> list[int]:
    found = []
    while (trace := deadlines.pop_due(open_traces, time_ms)) is not None:
        del open_traces[trace.trace_id]
        found.append(trace.first_offset)
    return found


@given(due=st.lists(st.integers(0, 30), max_size=8), moves=MOVES, time_ms=st.integers(0, 40))
def test_due_traces_come_once_each_by_their_latest_deadline_then_first_offset(
    due: list[int], moves: list[tuple[int, int]], time_ms: int
) -> None:
    traces = [a_trace(number, deadline_ms) for number, deadline_ms in enumerate(sorted(due))]
    deadlines = Deadlines()
    for trace in traces:
        deadlines.schedule(trace)
    for number, earlier_ms in moves:
        if number < len(traces):
            traces[number].deadline_ms -= earlier_ms
            deadlines.hasten(traces[number])
    expected = sorted((t.deadline_ms, t.first_offset) for t in traces if t.deadline_ms <= time_ms)
    found = popped(deadlines, {t.trace_id: t for t in traces}, time_ms)
    assert found == [first_offset for _, first_offset in expected]


def test_an_entry_of_a_trace_that_was_cut_and_opened_again_is_stale() -> None:
    deadlines = Deadlines()
    deadlines.schedule(a_trace(1, 10))
    again = OpenTrace(bytes([1]), 5, 0, 10)
    assert deadlines.pop_due({again.trace_id: again}, 100) is None


def test_the_next_deadline_is_never_overestimated() -> None:
    deadlines = Deadlines()
    assert deadlines.next_ms() is None
    trace = a_trace(1, 20)
    deadlines.schedule(trace)
    trace.deadline_ms = 10
    deadlines.hasten(trace)
    assert deadlines.next_ms() == 10


def test_entries_of_traces_that_were_cut_early_do_not_pile_up() -> None:
    deadlines = Deadlines()
    for number in range(STALE_ENTRIES_MIN + 3):
        trace = OpenTrace(number.to_bytes(4), number, 0, 50)
        deadlines.schedule(trace)
        trace.deadline_ms = 5
        deadlines.hasten(trace)
    stays = a_trace(1, 1_000_000)
    deadlines.schedule(stays)

    deadlines.forget_stale({stays.trace_id: stays})

    assert (len(deadlines._opened), len(deadlines._hastened)) == (1, 0)
    assert popped(deadlines, {stays.trace_id: stays}, 1_000_000) == [1]
