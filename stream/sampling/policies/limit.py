"""What a policy is that keeps a level: how much of its share of a limit a partition has used.

A limit is the fleet's. Each partition has an equal share of it and a level of its own, in partition
time; the level after every cut is part of that cut's decision record, so a successor goes on from
the last decision that committed (`worker/decision_log.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Self

from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import Vote
from stream.sampling.policies.ballot import Compound
from stream.sampling.policies.policy import Policy, TraceSummary

Levels = tuple[tuple[int, ...], ...]
"""The levels of all limits of a partition, in the order in which `limits_of` finds them."""

LEVEL_MIN: Final = -(2**62)
LEVEL_MAX: Final = 2**62


class Fleet:
    """Over how many partitions the limits are spread. All partitions' policies share one."""

    def __init__(self) -> None:
        self._count: Callable[[], int] = lambda: 1

    def spread_over(self, count: Callable[[], int]) -> None:
        """Ask for the number of partitions from now on; below 1 it is not known, and 1."""
        self._count = count

    @property
    def partitions(self) -> int:
        """How many partitions share each limit."""
        return max(1, self._count())

    def __deepcopy__(self, memo: Any) -> Self:
        """There is one fleet, however many partitions have a copy of the policies."""
        return self


class Limit(ABC):
    """A policy with a level. Its vote depends on the traces that it was asked of before.

    `Policies` gives all of its limits one fleet, and tells them of which trace they are asked.
    """

    __slots__ = ("body_bytes", "due_ms", "fleet", "name")

    threshold: Final = UNKNOWN_THRESHOLD
    """What a limit lets through is no share that a threshold could tell."""

    source: Final = ("limit", 0)
    """No other choice is like it (`shares.py`)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fleet = Fleet()
        self.due_ms = 0
        self.body_bytes = 0

    def judging(self, *, due_ms: int, body_bytes: int) -> None:
        """The trace that is asked of next was due then, in partition time, and has such a size.

        Its deadline, not the time of its cut: that depends on which record came next, or on the
        wall clock where none came.
        """
        self.due_ms = due_ms
        self.body_bytes = body_bytes

    @abstractmethod
    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace, and use of the limit what it takes, if it passes."""

    @property
    @abstractmethod
    def levels(self) -> tuple[int, ...]:
        """The level, as whole numbers of at most 63 bits and a sign."""

    @abstractmethod
    def restore(self, levels: Sequence[int]) -> None:
        """Go on from a level that was told by one of the same settings."""


def limits_of(policies: Iterable[Policy]) -> Iterator[Limit]:
    """Yield the limits among policies and, to any depth, their sub-policies, in their order."""
    for policy in policies:
        if isinstance(policy, Limit):
            yield policy
        if isinstance(policy, Compound):
            yield from limits_of(policy.parts())


def sound(levels: object) -> bool:
    """Tell whether this may be `Levels`, by its types and sizes."""
    return isinstance(levels, Sequence) and all(
        isinstance(of_one, Sequence)
        and all(type(n) is int and LEVEL_MIN <= n <= LEVEL_MAX for n in of_one)
        for of_one in levels
    )
