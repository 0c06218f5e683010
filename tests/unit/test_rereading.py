"""Whose turn it is to be read again: rounds over logs of which only offsets matter."""

import pytest

from stream.kafka.rereading import Rereading
from stream.kafka.sweep import Turn
from stream.sampling.kept_offsets import KeptOffsets, kept_offsets
from stream.sampling.promotions import Wanted
from stream.testing.core import a_record, an_ordinary
from stream.testing.spans import trace_id_of

TURN_RECORDS = 1_000
LONG = (0, 1_000_000)  # of a trace that a range of offsets stands for
ROOM = 1 << 40


class Rounds:
    """Rounds over partitions whose records hold the traces that `lie` at their offsets, no more."""

    def __init__(self) -> None:
        self.rereading = Rereading()
        self.read: list[tuple[int, int]] = []
        self._lie: dict[tuple[int, int], list[int]] = {}

    def ask(self, trace: int, offsets: KeptOffsets, *lie: int, number: int = 0) -> None:
        self.lie(trace, *lie, number=number)
        self.rereading.add({number: [Wanted(trace_id_of(trace), trace, offsets)]})

    def lie(self, trace: int, *offsets: int, number: int = 0) -> None:
        for offset in offsets:
            self._lie.setdefault((number, offset), []).append(trace)

    def near(self, trace: int, offset: int, *, number: int = 0) -> None:
        """Ask for a trace of two records that lie near each other."""
        self.ask(trace, kept_offsets([offset, offset + 2]), offset, offset + 2, number=number)

    def round(self, *, bodies_bytes: float = ROOM, held_bytes_max: int = 1 << 40) -> dict[int, int]:
        """Run one; return the traces that are whole, each with the number of its records."""
        for number, sweep in self.rereading.passes(Turn(TURN_RECORDS, ROOM, bodies_bytes)):
            while (at := sweep.next()) is not None:
                ids = self._lie.get((number, at), [])
                record = a_record(at, 1, *(an_ordinary(trace) for trace in ids))
                self.read.append((number, at))
                sweep.take([record], size=100, position=at + 1)
            sweep.end()
        found = self.rereading.whole(held_bytes_max)
        assert not any(one.partial for of_one in found.values() for one in of_one)
        return {one.first_offset: len(one.fragments) for of_one in found.values() for one in of_one}


@pytest.fixture
def rounds() -> Rounds:
    return Rounds()


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("place", [10, 500_000, 2_000_000])
def test_a_long_sparse_range_does_not_keep_a_short_one_waiting(
    rounds: Rounds, place: int, number: int
) -> None:
    rounds.ask(1, LONG, *LONG)
    rounds.near(2, place, number=number)
    assert rounds.round() == {2: 2}
    # Nor one that is asked for while it is read.
    rounds.near(3, place + 50_000, number=number)
    assert rounds.round() == {3: 2}
    assert len(rounds.read) <= 4 * TURN_RECORDS


def test_a_long_one_comes_to_its_end_however_many_short_ones_follow(rounds: Rounds) -> None:
    rounds.ask(1, (0, 20_000), 0, 7_000, 20_000)
    found: dict[int, int] = {}
    for short in range(1, 2 + 20_000 // TURN_RECORDS):
        for nth in range(100):
            rounds.near(100 * short + nth, 30_000 + 10_000 * short + 90 * nth)
        found |= rounds.round()
    assert found[1] == 3


def test_what_is_whole_in_a_round_costs_no_longer_one_its_progress(rounds: Rounds) -> None:
    rounds.ask(1, (0, 5_000), 0, 3_000, 5_000)
    rounds.near(2, 6_000)
    found = [rounds.round() for _ in range(6)]
    assert [one for one in found if one] == [{2: 2}, {1: 3}]
    assert len(rounds.read) == len(set(rounds.read))


def test_short_neighbours_share_a_pass(rounds: Rounds) -> None:
    for nth in range(300):
        rounds.near(1 + nth, 2 * nth)
    assert len(rounds.round()) == 300
    assert len(rounds.read) <= TURN_RECORDS


def test_a_range_that_takes_several_turns_does_not_wait_for_a_longer_one(rounds: Rounds) -> None:
    rounds.ask(1, LONG, *LONG)
    rounds.round()
    rounds.ask(2, (3_000, 5_500), 3_000, 5_500)
    assert [rounds.round() for _ in range(3)] == [{}, {}, {2: 2}]


def test_ranges_over_one_another_share_their_passes(rounds: Rounds) -> None:
    ranges = [(trace, 9_000 + trace) for trace in range(20, 0, -1)]
    for ends in ranges:
        rounds.lie(ends[0], *ends)
    rounds.rereading.add({0: [Wanted(trace_id_of(ends[0]), ends[0], ends) for ends in ranges]})
    while len(rounds.rereading):
        rounds.round()
    assert len(rounds.read) < 2 * 9_020


def test_what_is_held_for_unfinished_ones_is_bounded_and_who_waits_longest_goes_on(
    rounds: Rounds,
) -> None:
    for trace, records in ((1, 900), (2, 600), (3, 300)):
        of_it = range(10_000 * trace, 10_000 * trace + 10 * records, 10)
        rounds.ask(trace, (of_it[0], of_it[-1]), *of_it)
    found: list[int] = []
    holders = []
    for _ in range(100):
        found += rounds.round(held_bytes_max=1)
        holders.append([want.wanted.first_offset for want in rounds.rereading if want.held_bytes])
    # Who waits longest keeps what was found; who comes after it begins anew.
    assert found == [1, 2, 3]
    assert max(map(len, holders)) == 1


def test_of_a_partition_that_was_given_up_nothing_more_is_read(rounds: Rounds) -> None:
    rounds.ask(1, LONG, *LONG)
    rounds.near(2, 5, number=1)
    rounds.rereading.forget(0)
    assert rounds.round() == {2: 2}
    assert {number for number, _ in rounds.read} == {1}
    assert len(rounds.rereading) == 0
