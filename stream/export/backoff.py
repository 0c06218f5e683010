"""How long to wait before a request is tried again: exponential, with jitter."""

import zlib
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.5
MAX_S: Final = 30.0
_UINT32_RANGE: Final = 1 << 32


class Backoff:
    """The waits of one request. `chance()` gives a number from 0 to below 1."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self.tries = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Return the next wait: half of 0.5 s, 1 s, 2 s, ... 30 s, plus chance's share of as much.

        `at_least_s` is what the backend asked for: jitter comes on top, never below.
        """
        full_s = min(FIRST_S * (1 << min(self.tries, 16)), MAX_S)
        self.tries += 1
        jitter_s = self._chance() * full_s / 2
        return max(full_s / 2, at_least_s) + jitter_s


def chance_of(name: str, now_s: Callable[[], float]) -> Callable[[], float]:
    """Return a function of chance: processes of different names do not try again in step.

    A hash of name and time does it; dice would make a test's run its own.
    """

    def chance() -> float:
        return zlib.crc32(f"{name} {now_s():.6f}".encode()) / _UINT32_RANGE

    return chance
