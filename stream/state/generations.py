"""Decisions are forgotten in generations: runs in the order they came, whole and oldest first.

Forgetting one by one would cost a search or a delete for each; a generation costs one operation.
Oldest first even where a newer one is due already: a trace whose decision was replaced is in two
generations, and forgetting the newer one would bring the replaced decision back.
"""

from collections.abc import Iterator
from dataclasses import dataclass

GENERATIONS_MAX = 8
"""How many generations are alive at most: a lane each in the byte of a `GenerationFilter` slot."""

_GENERATIONS_PER_RETENTION = 6
"""Leaves room below `GENERATIONS_MAX` for the one that is filled and the one that is due."""


@dataclass(slots=True)
class Generation:
    """One run of decisions. Times are partition time in milliseconds."""

    number: int
    started_ms: int
    newest_ms: int
    highest_upto: int = 0
    decisions: int = 0
    held_bytes: int = 0

    @property
    def lane(self) -> int:
        """Its bit in the filter; unique among the living, whose numbers are consecutive."""
        return self.number % GENERATIONS_MAX

    def add(self, time_ms: int, upto: int) -> None:
        """Count one decision of this time that covers its trace below `upto`."""
        self.newest_ms = max(self.newest_ms, time_ms)
        self.highest_upto = max(self.highest_upto, upto)
        self.decisions += 1


class Generations:
    """The living generations of one partition, oldest first.

    `retention_ms` is how long decisions are wanted: a generation takes a sixth of it. Where they
    have to live for longer (a low resume offset), the newest one goes on growing instead.
    """

    def __init__(self, retention_ms: int) -> None:
        assert retention_ms > 0, retention_ms
        self._width_ms = max(1, retention_ms // _GENERATIONS_PER_RETENTION)
        self._alive: list[Generation] = []
        self._next_number = 0

    def __iter__(self) -> Iterator[Generation]:
        return iter(self._alive)

    def __reversed__(self) -> Iterator[Generation]:
        return reversed(self._alive)

    def current(self, time_ms: int) -> Generation:
        """Return the generation for a decision of this time, a new one where it is time for it."""
        alive = self._alive
        if alive:
            newest = alive[-1]
            full = time_ms >= newest.started_ms + self._width_ms
            if not full or len(alive) == GENERATIONS_MAX:
                return newest
        generation = Generation(self._next_number, time_ms, time_ms)
        self._next_number += 1
        alive.append(generation)
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
