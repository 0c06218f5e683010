"""What happens again and again is told the first time, then once a minute with how often."""

from collections import Counter
from collections.abc import Hashable
from typing import Final

TELL_EVERY_S: Final = 60.0


class Telling:
    """Keeps when each thing was told last. Times by the monotonic clock."""

    def __init__(self) -> None:
        self._told_s: dict[Hashable, float] = {}
        self._since: Counter[Hashable] = Counter()

    def due(self, thing: Hashable, now_s: float) -> int:
        """Return how often it has happened since it was told last, this time included; 0: not yet.

        Whoever gets a number above 0 tells it now.
        """
        self._since[thing] += 1
        told_s = self._told_s.get(thing)
        if told_s is not None and now_s < told_s + TELL_EVERY_S:
            return 0
        self._told_s[thing] = now_s
        return self._since.pop(thing)
