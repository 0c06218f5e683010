"""Which open trace is due next, and which was opened first."""

import heapq
from collections import deque
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.trace import OpenTrace

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._deadlines import Due
else:
    Due = object

STALE_ENTRIES_MIN = 1_024
NEVER_MS = 2**63 - 1

Hastened = tuple[int, int, int, OpenTrace]
"""(deadline, first offset, a number of its own, the trace)."""


class Deadlines(Due):
    """Open traces by (deadline, first offset): the order in which they are cut.

    All wait for as long, so the order in which they are opened is that of their deadlines: a queue
    is enough. A trace whose deadline is drawn in is in a heap as well; in the queue it stays the
    oldest one that is open. Nothing is removed from the middle: who was cut before its time is
    recognised when it comes up. Nothing is due before `due_ms`, a lower bound.
    """

    def __init__(self) -> None:
        self._opened: deque[OpenTrace] = deque()
        self._hastened: list[Hastened] = []
        self._entries = 0
        self.due_ms = NEVER_MS

    def schedule(self, trace: OpenTrace) -> None:
        """Make a trace that has just been opened come up at its deadline, the latest so far."""
        self._opened.append(trace)
        self.due_ms = min(self.due_ms, trace.deadline_ms)

    def hasten(self, trace: OpenTrace) -> None:
        """Make a trace that is scheduled come up at its deadline, which is earlier now."""
        self._entries += 1
        entry = (trace.deadline_ms, trace.first_offset, self._entries, trace)
        heapq.heappush(self._hastened, entry)
        self.due_ms = min(self.due_ms, trace.deadline_ms)

    def pop_due(self, open_traces: dict[bytes, OpenTrace], time_ms: int) -> OpenTrace | None:
        """Return the next open trace whose deadline is at most `time_ms`, in order, or None.

        The caller closes it: until then it comes up again.
        """
        if self.due_ms > time_ms:
            return None
        first = self._first(open_traces)
        if first is None:
            self.due_ms = NEVER_MS
            return None
        if first.deadline_ms > time_ms:
            self.due_ms = first.deadline_ms
            return None
        return first

    def oldest(self, open_traces: dict[bytes, OpenTrace]) -> OpenTrace | None:
        """Return the open trace of the lowest first offset, None without one."""
        opened = self._opened
        while opened and open_traces.get(opened[0].trace_id) is not opened[0]:
            opened.popleft()
        return opened[0] if opened else None

    def forget_stale(self, open_traces: dict[bytes, OpenTrace]) -> None:
        """Drop the entries of traces that were cut before their time, once they are the most.

        They would stay until that time comes, outside every limit.
        """
        most = 2 * len(open_traces) + STALE_ENTRIES_MIN
        if len(self._opened) > most:
            self._opened = deque(open_traces.values())
        if len(self._hastened) > most:
            self._hastened = [e for e in self._hastened if open_traces.get(e[3].trace_id) is e[3]]
            heapq.heapify(self._hastened)

    def next_ms(self) -> int | None:
        """Return a lower bound of the next deadline, None when nothing is scheduled."""
        return None if self.due_ms == NEVER_MS else self.due_ms

    def _first(self, open_traces: dict[bytes, OpenTrace]) -> OpenTrace | None:
        oldest, hastened = self.oldest(open_traces), self._hastened
        while hastened and open_traces.get(hastened[0][3].trace_id) is not hastened[0][3]:
            heapq.heappop(hastened)
        if oldest is None or not hastened:
            return oldest
        trace = hastened[0][3]
        order = (trace.deadline_ms, trace.first_offset)
        return trace if order < (oldest.deadline_ms, oldest.first_offset) else oldest
