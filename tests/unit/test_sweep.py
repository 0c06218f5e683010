"""A pass over a partition's log for its promotions, and how fast it may go."""

import pytest

from stream.kafka.sweep import Sweep, Tokens
from stream.sampling.kept_offsets import KeptOffsets, both_offsets, kept_offsets
from stream.sampling.promotions import Wanted
from stream.testing.core import a_record, an_ordinary
from stream.testing.spans import trace_id_of

LOG = {
    offset: a_record(offset, 1, *(an_ordinary(trace) for trace in traces))
    for offset, traces in {3: [1], 4: [2], 5: [1, 3], 9: [3], 12: [1]}.items()
}


def wanted(trace: int, offsets: KeptOffsets) -> Wanted:
    return Wanted(trace_id_of(trace), 100, offsets)


def swept(sweep: Sweep, start: int = 0) -> dict[bytes, tuple[list[int], bool]]:
    """Read the log as far as it is wanted."""
    position = start
    while (at := sweep.next(position)) is not None:
        sweep.take([LOG[at]] if at in LOG else [])
        position = at + 1
    sweep.gone_below(start)
    return {one.trace_id: ([at for at, *_ in one.fragments], one.partial) for one in sweep.end()}


def test_one_pass_serves_everybody() -> None:
    sweep = Sweep([wanted(1, b"\x03\x02\x07"), wanted(3, b"\x05\x04")], bytes_max=1 << 20)
    assert swept(sweep) == {trace_id_of(1): ([3, 5, 12], False), trace_id_of(3): ([5, 9], False)}


def test_a_range_is_looked_through_for_its_trace() -> None:
    assert swept(Sweep([wanted(1, (3, 12))], bytes_max=1 << 20)) == {
        trace_id_of(1): ([3, 5, 12], False)
    }


@pytest.mark.parametrize("offsets", [b"\x03\x02\x07", (3, 12)])
def test_what_the_log_no_longer_holds_makes_it_partial(offsets: KeptOffsets) -> None:
    sweep = Sweep([wanted(1, offsets)], bytes_max=1 << 20)
    assert swept(sweep, start=4) == {trace_id_of(1): ([5, 12], True)}


def test_a_record_that_holds_the_trace_no_more_makes_it_partial() -> None:
    sweep = Sweep([wanted(2, b"\x03")], bytes_max=1 << 20)
    assert swept(sweep) == {trace_id_of(2): ([], True)}


def test_above_its_bytes_a_pass_defers_who_lies_highest_but_one() -> None:
    wants = [wanted(1, b"\x03\x02\x07"), wanted(2, b"\x04"), wanted(3, b"\x05\x04")]
    sweep = Sweep(wants, bytes_max=1)
    found = swept(sweep)
    assert found == {trace_id_of(2): ([4], False)}
    assert {one.trace_id for one in sweep.deferred} == {trace_id_of(1), trace_id_of(3)}


def test_tokens_let_a_second_pass_at_most_at_once_and_then_by_rate() -> None:
    tokens = Tokens(10, 1_000, 0.0)
    assert tokens.wait_s(0.0) == 0
    tokens.charge(30, 100, 0.0)
    assert tokens.wait_s(0.0) == 2
    assert tokens.wait_s(1.0) == 1
    tokens.charge(0, 4_000, 5.0)
    assert tokens.wait_s(5.0) == 3
    assert tokens.wait_s(1_000.0) == 0


def test_offsets_of_two_records_are_one_list_or_a_range() -> None:
    one, other = kept_offsets([1, 5]), kept_offsets([3, 900])
    assert both_offsets(one, other) == kept_offsets([1, 3, 5, 900])
    assert both_offsets(one, (3, 7)) == (1, 7)
    assert both_offsets(b"", other) == other
    giant = kept_offsets(list(range(10, 5_000)))
    assert giant == (10, 4_999)


@pytest.mark.parametrize("offsets", [b"\x03\x02\x07", (3, 12)])
def test_a_trace_that_never_ends_is_read_up_to_a_limit_and_partial(offsets: KeptOffsets) -> None:
    sweep = Sweep(
        [wanted(1, offsets), wanted(3, b"\x05\x04")], bytes_max=1 << 20, trace_bytes_max=1
    )
    sweep.take([LOG[3], LOG[4], LOG[5]])
    assert sweep.next(6) is None
    found = {one.trace_id: ([at for at, *_ in one.fragments], one.partial) for one in sweep.end()}
    assert found == {trace_id_of(1): ([3], True), trace_id_of(3): ([5], True)}


def test_what_a_deferred_trace_held_is_let_go_of_and_not_read_again() -> None:
    sweep = Sweep([wanted(2, b"\x04"), wanted(1, (3, 12))], bytes_max=1)
    sweep.take([LOG[3], LOG[4], LOG[5]])
    assert sweep.next(5) is None
    assert [one.trace_id for one in sweep.deferred] == [trace_id_of(1)]
