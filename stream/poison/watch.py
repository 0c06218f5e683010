"""A scan that does not end: the process must, so that its successor finds out why."""

from collections.abc import Callable

from stream.exits import Exit, end_process

LOOKS_MAX = 60
LOOK_EVERY_S = 1.0


class ScanWatch:
    """Looks at the poll thread every second, from the loop.

    `scans` counts the beginnings and the ends of scans: odd while one is under way. Looks are
    counted, not seconds: a process that was paused in a scan has done nothing wrong.
    """

    def __init__(self, scans: Callable[[], int], end: Callable[..., object] = end_process) -> None:
        self._scans = scans
        self._end = end
        self._seen = 0
        self._looks = 0

    def look(self) -> None:
        """End the process if the same scan has been under way for `LOOKS_MAX` looks."""
        scans = self._scans()
        self._looks = self._looks + 1 if scans % 2 and scans == self._seen else 0
        self._seen = scans
        if self._looks >= LOOKS_MAX:
            self._end(Exit.WATCHDOG, f"a scan of one poll's records has not ended in {LOOKS_MAX} s")
