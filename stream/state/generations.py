"""Decisions are forgotten in generations: runs of partition time, whole and oldest first.

Forgetting one by one would cost a search or a delete for each; a generation costs one operation.
Oldest first even where a newer one is due already: a trace whose decision was replaced is in two
generations, and forgetting the newer one would bring the replaced decision back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import TypeVar

Known = TypeVar("Known")

GENERATIONS_MAX = 8
"""How many generations are alive at most: a lane each in the byte of a `GenerationFilter` slot."""

_GENERATIONS_PER_RETENTION = 6
"""Leaves room below `GENERATIONS_MAX` for the one that is filled and the one that is due."""


@dataclass(slots=True)
class Generation:
    """One run of decisions. Times are partition time in milliseconds."""

    number: int
    newest_ms: int
    highest_upto: int = 0
    decisions: int = 0
    held_bytes: int = 0

    @property
    def lane(self) -> int:
        """Its bit in the filter; unique among the living, whose numbers are that close."""
        return self.number % GENERATIONS_MAX

    def add(self, time_ms: int, upto: int) -> None:
        """Count one decision of this time that covers its trace below `upto`."""
        self.newest_ms = max(self.newest_ms, time_ms)
        self.highest_upto = max(self.highest_upto, upto)
        self.decisions += 1


class Generations:
    """The living generations of one partition, oldest first.

    `retention_ms` is how long decisions are wanted: a generation takes a sixth of it, and its
    number is its time in units of that. Where they have to live for longer (a low resume offset),
    the newest one goes on growing instead.
    """

    def __init__(self, retention_ms: int) -> None:
        assert retention_ms > 0, retention_ms
        self.width_ms = max(1, retention_ms // _GENERATIONS_PER_RETENTION)
        self._alive: list[Generation] = []

    def __iter__(self) -> Iterator[Generation]:
        return iter(self._alive)

    def __reversed__(self) -> Iterator[Generation]:
        return reversed(self._alive)

    @property
    def newest(self) -> Generation:
        """The one of the latest time; there must be one."""
        return self._alive[-1]

    def is_past(self, time_ms: int) -> bool:
        """Return whether this time is that of an older generation than the newest."""
        return bool(self._alive) and time_ms // self.width_ms < self._alive[-1].number

    def of(self, time_ms: int) -> Generation:
        """Return the generation of this time, a new one where there is none yet.

        A restore may come to old decisions after young ones: in the youngest generation they would
        live for twice the retention. What is too old, or too young, for a lane of its own goes into
        the nearest that may have one.
        """
        alive = self._alive
        number = time_ms // self.width_ms
        if alive:
            newest = alive[-1].number
            if number > newest:
                number = min(number, alive[0].number + GENERATIONS_MAX - 1)
            else:
                number = max(number, newest - GENERATIONS_MAX + 1)
            for generation in reversed(alive):
                if generation.number == number:
                    return generation
        generation = Generation(number, time_ms)
        alive.append(generation)
        alive.sort(key=attrgetter("number"))
        return generation

    def expire(self, before_ms: int, resume_offset: int) -> list[Generation]:
        """Take out the oldest generations that hold only what `DecisionStore.expire` may forget."""
        due = 0
        for generation in self._alive:
            if generation.newest_ms >= before_ms or generation.highest_upto > resume_offset:
                break
            due += 1
        expired, self._alive = self._alive[:due], self._alive[due:]
        return expired

    def clear(self) -> None:
        """Forget all of them."""
        self._alive = []


def known_in(by_number: dict[int, dict[bytes, Known]], number: int) -> dict[bytes, Known]:
    """Return what a generation knows, nothing if it is new; `by_number` stays in its order."""
    known = by_number.get(number)
    if known is None:
        known = by_number[number] = {}
        if number < max(by_number):
            ascending = sorted(by_number.items(), key=itemgetter(0))
            by_number.clear()
            by_number.update(ascending)
    return known
