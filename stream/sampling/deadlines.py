"""Which open trace is due next."""

import heapq

from stream.sampling.trace import OpenTrace

STALE_ENTRIES_MIN = 1_024


class Deadlines:
    """Open traces by (deadline, first offset): the order in which they are cut.

    A trace whose deadline moves is scheduled again; its older entry is recognised as stale when it
    comes up, so nothing is searched for or removed from the middle.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, bytes]] = []

    def schedule(self, trace: OpenTrace) -> None:
        """Make the trace come up at its deadline."""
        heapq.heappush(self._heap, (trace.deadline_ms, trace.first_offset, trace.trace_id))

    def pop_due(self, open_traces: dict[bytes, OpenTrace], time_ms: int) -> OpenTrace | None:
        """Return the next open trace whose deadline is at most `time_ms`, in order, or None."""
        heap = self._heap
        while heap and heap[0][0] <= time_ms:
            deadline_ms, first_offset, trace_id = heapq.heappop(heap)
            trace = open_traces.get(trace_id)
            if trace and trace.deadline_ms == deadline_ms and trace.first_offset == first_offset:
                return trace
        return None

    def forget_stale(self, open_traces: dict[bytes, OpenTrace]) -> None:
        """Drop the entries of traces that were cut before their time, once they are the most.

        They would stay until that time comes, outside every limit.
        """
        if len(self._heap) <= 2 * len(open_traces) + STALE_ENTRIES_MIN:
            return
        self._heap = [(t.deadline_ms, t.first_offset, t.trace_id) for t in open_traces.values()]
        heapq.heapify(self._heap)

    def next_ms(self) -> int | None:
        """Return a lower bound of the next deadline, None when nothing is scheduled."""
        return self._heap[0][0] if self._heap else None
