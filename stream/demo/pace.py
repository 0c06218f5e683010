"""Records at the time at which they are due."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from stream.clock import monotonic_s

WAIT_MAX_S = 0.1


class Timed(Protocol):
    """What is due `at_s` seconds after the start."""

    @property
    def at_s(self) -> float:
        """When it is due."""


T = TypeVar("T", bound=Timed)


def pace(
    records: Iterable[T],
    wait: Callable[[float], object],
    now_s: Callable[[], float] = monotonic_s,
) -> Iterator[T]:
    """Yield each record when `at_s` has passed since the first was asked for; late if it must.

    `wait(seconds)` does something useful for at most that long, such as a producer's `poll`.
    """
    started_s = now_s()
    for record in records:
        while (ahead_s := record.at_s - (now_s() - started_s)) > 0:
            wait(min(ahead_s, WAIT_MAX_S))
        yield record
