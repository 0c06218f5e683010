"""How fast records are read, by the positions that a group commits."""

import threading
import time
from types import TracebackType
from typing import Self

from tests.harness.topics import GroupOffsets, Topics

LOOK_EVERY_S = 0.1


class Throughput:
    """Watches the committed positions while it is entered, from a thread of its own."""

    def __init__(self, topics: Topics) -> None:
        self._offsets = GroupOffsets(topics.bootstrap, f"{topics.group}-position", topics.input)
        self._seen: list[tuple[float, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="throughput", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def records_a_second(self) -> float:
        """Return `speed` of what was seen; 0 where nothing was."""
        return speed(self._seen)

    def _watch(self) -> None:
        self._seen.append((time.monotonic(), 0))
        while not self._over.wait(LOOK_EVERY_S):
            read = sum(self._offsets.committed().values())
            self._seen.append((time.monotonic(), read))


def speed(seen: list[tuple[float, int]]) -> float:
    """Return records a second between the last sight of none and the first sight of all.

    Positions are committed with the transactions, so it is too low by the half second of one at
    the most.
    """
    none_s = [at_s for at_s, read in seen if not read]
    if len(none_s) == len(seen):
        return 0.0
    all_read = seen[-1][1]
    until_s = next(at_s for at_s, read in seen if read == all_read)
    from_s = none_s[-1] if none_s else seen[0][0]
    return all_read / (until_s - from_s) if until_s > from_s else 0.0
