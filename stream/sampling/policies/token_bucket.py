"""A partition's share of a token bucket, in whole numbers.

The Collector's is golang.org/x/time/rate's: it starts full, holds `burst` tokens at most, fills
continuously, and what is refused takes none. This is the same wherever there is one partition.
"""

from collections.abc import Sequence

from stream.sampling.policies.limit import LEVEL_MIN

PER_TOKEN = 1_000


class TokenBucket:
    """So many tokens a second, and at most `burst` at once, for all partitions together.

    What is in it is counted so that no share has a remainder: `PER_TOKEN` times the partitions are
    a token, so a millisecond brings `per_second`, and it holds `burst * PER_TOKEN` whatever the
    number of partitions.

    Shares of small limits may be smaller than a trace, and a limit that nothing passes is none. So
    a full bucket lets pass what the fleet's would, and is in debt until that has been paid: the
    rate is kept, a burst may be exceeded by one trace in each partition.
    """

    __slots__ = ("_capacity", "_filled", "_per_second", "_time_ms")

    def __init__(self, per_second: int, burst: int) -> None:
        self._per_second = per_second
        self._capacity = burst * PER_TOKEN
        self._filled = self._capacity
        self._time_ms = 0

    def allows(self, tokens: int, *, time_ms: int, partitions: int) -> bool:
        """Take so many tokens at this partition time, if they are there. Time never goes back."""
        if time_ms > self._time_ms:
            gained = (time_ms - self._time_ms) * self._per_second
            self._filled = min(self._capacity, self._filled + gained)
            self._time_ms = time_ms
        cost = tokens * PER_TOKEN * partitions
        full = self._filled == self._capacity
        if cost > self._filled and not (full and tokens * PER_TOKEN <= self._capacity):
            return False
        self._filled = max(LEVEL_MIN, self._filled - cost)
        return True

    @property
    def levels(self) -> tuple[int, int]:
        """What is in it, and the partition time as of which."""
        return self._filled, self._time_ms

    def restore(self, levels: Sequence[int]) -> None:
        """Go on from there."""
        filled, self._time_ms = levels
        self._filled = min(filled, self._capacity)
