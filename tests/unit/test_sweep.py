"""A pass over a partition's log for its promotions, and how fast it may go."""

import pytest

from stream.kafka.sweep import SKIP_OFFSETS_MIN, Sweep, Tokens, Turn, Want
from stream.sampling.kept_offsets import KeptOffsets, both_offsets, kept_offsets
from stream.sampling.promotions import Wanted
from stream.testing.core import a_record, an_ordinary
from stream.testing.spans import trace_id_of

LOG = {
    offset: a_record(offset, 1, *(an_ordinary(trace) for trace in traces))
    for offset, traces in {3: [1], 4: [2], 5: [1, 3], 9: [3], 12: [1]}.items()
}


MUCH = 1 << 20


def want(trace: int, offsets: KeptOffsets) -> Want:
    return Want(0, Wanted(trace_id_of(trace), 100, offsets))


def a_turn(records: float = MUCH) -> Turn:
    return Turn(records, MUCH, MUCH)


def swept(
    wants: list[Want], turn: Turn | None = None, *, start: int = 0, **limits: int
) -> dict[bytes, tuple[list[int], bool]]:
    """Read the log, which begins at `start`, as far as it is wanted; return what is whole."""
    sweep = Sweep(wants, turn or a_turn(), **limits)
    sweep.gone_below(start)
    while (at := sweep.next()) is not None:
        at = max(at, start)
        sweep.take([LOG[at]] if at in LOG else [], size=0, position=at + 1)
    sweep.gone_below(start)
    sweep.end()
    whole = [one.whole() for one in wants if one.is_whole]
    return {one.trace_id: ([at for at, *_ in one.fragments], one.partial) for one in whole}


def test_one_pass_serves_everybody() -> None:
    wants = [want(1, b"\x03\x02\x07"), want(3, b"\x05\x04")]
    assert swept(wants) == {trace_id_of(1): ([3, 5, 12], False), trace_id_of(3): ([5, 9], False)}


def test_a_range_is_looked_through_for_its_trace() -> None:
    assert swept([want(1, (3, 12))]) == {trace_id_of(1): ([3, 5, 12], False)}


@pytest.mark.parametrize("offsets", [b"\x03\x02\x07", (3, 12)])
def test_what_the_log_no_longer_holds_makes_it_partial(offsets: KeptOffsets) -> None:
    assert swept([want(1, offsets)], start=4) == {trace_id_of(1): ([5, 12], True)}


def test_a_record_that_holds_the_trace_no_more_makes_it_partial() -> None:
    assert swept([want(2, b"\x03")]) == {trace_id_of(2): ([], True)}


def test_what_lies_far_apart_is_not_read_through() -> None:
    far = SKIP_OFFSETS_MIN + 3
    sweep = Sweep([want(1, kept_offsets([3, 5, far + 2]))], a_turn())
    assert sweep.next() == 3
    sweep.take([LOG[3], LOG[4]], size=0, position=5)
    assert sweep.next() == 5
    sweep.take([LOG[5]], size=0, position=6)
    assert sweep.next() == far + 2


@pytest.mark.parametrize("offsets", [b"\x03\x02\x07", (3, 12)])
def test_what_one_turn_has_not_whole_goes_on_from_there_in_the_next(offsets: KeptOffsets) -> None:
    one = want(1, offsets)
    assert swept([one], a_turn(records=2)) == {}
    assert one.next > 4
    # What was read may go meanwhile.
    assert swept([one], start=5) == {trace_id_of(1): ([3, 5, 12], False)}


@pytest.mark.parametrize("turn", [Turn(1, MUCH, MUCH), Turn(MUCH, 1, MUCH), Turn(MUCH, MUCH, 1)])
def test_a_turn_ends_by_its_records_its_bytes_or_its_bodies(turn: Turn) -> None:
    sweep = Sweep([want(1, (3, 12))], turn)
    assert sweep.next() == 3
    sweep.take([LOG[3]], size=1, position=4)
    assert sweep.next() is None


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
    wants = [want(1, offsets), want(3, b"\x05\x04")]
    sweep = Sweep(wants, a_turn(), trace_bytes_max=1)
    sweep.take([LOG[3], LOG[4], LOG[5]], size=0, position=6)
    assert sweep.next() is None
    sweep.end()
    found = [one.whole() for one in wants if one.is_whole]
    assert {one.trace_id: ([at for at, *_ in one.fragments], one.partial) for one in found} == {
        trace_id_of(1): ([3], True),
        trace_id_of(3): ([5], True),
    }
