"""Whose turn it is to be read again: rounds, in which no promotion waits for a long one to end.

A round has two turns. The first one is the shortest ones', as many as it can read whole: so what
takes little to read comes soon, whatever else is wanted. The second is that of whoever waits
longest: so everybody comes to an end, however many shorter ones follow. A promotion that a turn
does not read whole goes on from there in a later one.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest

from stream.kafka.sweep import Stretch, Sweep, Turn, Want, cost_of, joined
from stream.sampling.promotions import Found, Wanted

PASS_PROMOTIONS_MAX = 1_000
"""A pass lays out where all records lie that it looks for: for so many promotions at most."""


class Rereading:
    """What the promotions of a worker want read again, and how far that has come.

    A trace of `trace_bytes_max` is whole with what there is: see `Sweep`.
    """

    def __init__(self, *, trace_bytes_max: int = 1 << 62) -> None:
        self._trace_bytes_max = trace_bytes_max
        # Who waits longest comes first.
        self._wants: dict[tuple[int, bytes], Want] = {}

    def __iter__(self) -> Iterator[Want]:
        """Yield those that wait, who waits longest first."""
        yield from self._wants.values()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._wants)

    def add(self, wanted: Mapping[int, Iterable[Wanted]]) -> None:
        """These are wanted, too, by partition."""
        wants = [Want(number, one) for number, of_it in wanted.items() for one in of_it]
        # Of those that come together the lowest is the oldest: who lies above it shares its turn.
        for want in sorted(wants, key=lambda one: one.next):
            self._wants[want.number, want.wanted.trace_id] = want

    def forget(self, number: int) -> None:
        """The partition was given up."""
        self._wants = {of: want for of, want in self._wants.items() if want.number != number}

    def passes(self, turn: Turn) -> Iterator[tuple[int, Sweep]]:
        """Yield the passes of a round and their partitions, each turn a half of the round.

        A pass is to be ended before the next one is asked for.
        """
        first, second = replace(turn), replace(turn)
        for wants in self._shortest(turn.records):
            if first.is_over:
                break
            yield self._pass(wants, first)
        oldest = next(self._going_on(), None)
        if oldest is not None:
            yield self._pass(self._from(oldest), second)

    def whole(self, held_bytes_max: int) -> dict[int, list[Found]]:
        """Take out those of which nothing more is to be read, by partition.

        Where the bodies of those that are left have more than `held_bytes_max`, the ones that came
        last begin anew when it is their turn; not so who waits longest.
        """
        found: defaultdict[int, list[Found]] = defaultdict(list)
        for of, want in list(self._wants.items()):
            if want.is_whole:
                del self._wants[of]
                found[want.number].append(want.whole())
        holders = [want for want in self if want.held_bytes]
        held_bytes = sum(want.held_bytes for want in holders)
        for want in reversed(holders[1:]):
            if held_bytes <= held_bytes_max:
                break
            held_bytes -= want.held_bytes
            want.begin_anew()
        return found

    def _pass(self, wants: Sequence[Want], turn: Turn) -> tuple[int, Sweep]:
        return wants[0].number, Sweep(wants, turn, trace_bytes_max=self._trace_bytes_max)

    def _shortest(self, records_max: float) -> Iterable[Sequence[Want]]:
        """Return the shortest of them, as many as can be read whole, those of a partition together.

        Where none can, the shortest one goes on.
        """
        shortest = nsmallest(PASS_PROMOTIONS_MAX, self._going_on(), key=_length)
        counts = range(1, sum(want.cost <= records_max for want in shortest) + 1)
        count = bisect_right(counts, records_max, key=lambda n: _cost_together(shortest[:n]))
        if shortest and not count:
            return [self._from(shortest[0])]
        by_partition: defaultdict[int, list[Want]] = defaultdict(list)
        for want in shortest[:count]:
            by_partition[want.number].append(want)
        return by_partition.values()

    def _from(self, lowest: Want) -> list[Want]:
        """Return those that are read on by a pass that begins where this one goes on."""
        others = (want for want in self._going_on() if want.number == lowest.number)
        above = (want for want in others if want is not lowest and want.next >= lowest.next)
        return [lowest, *nsmallest(PASS_PROMOTIONS_MAX - 1, above, key=lambda want: want.next)]

    def _going_on(self) -> Iterator[Want]:
        return (want for want in self if not want.is_whole)


def _length(want: Want) -> tuple[int, int, int]:
    """Order by length; those of about one length by their place, for neighbours share a pass."""
    return want.cost.bit_length(), want.number, want.next


def _cost_together(wants: Sequence[Want]) -> int:
    by_partition: defaultdict[int, list[Stretch]] = defaultdict(list)
    for want in wants:
        by_partition[want.number] += want.stretches()
    return sum(cost_of(joined(stretches)) for stretches in by_partition.values())
