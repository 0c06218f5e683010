# cython: language_level=3, boundscheck=True, wraparound=False
"""Which open trace is due next: the compiled half of `deadlines.py`."""

from heapq import heappop

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject


cdef class Due:
    """The state of `Deadlines`, which is made of it and says what each part is."""

    cdef OpenTrace oldest_of(self, dict open_traces):
        """Return the open trace of the lowest first offset, None without one."""
        cdef OpenTrace head
        opened = self._opened
        while opened:
            head = <OpenTrace?>opened[0]
            if is_open(open_traces, head):
                return head
            opened.popleft()
        return None

    cdef OpenTrace first_of(self, dict open_traces):
        """Return the open trace that is due first, None without one."""
        cdef OpenTrace oldest = self.oldest_of(open_traces)
        cdef OpenTrace trace
        cdef list hastened = self._hastened
        while hastened:
            trace = <OpenTrace?>(<tuple>hastened[0])[3]
            if is_open(open_traces, trace):
                break
            heappop(hastened)
        if oldest is None or not hastened:
            return oldest
        if trace.deadline_ms != oldest.deadline_ms:
            return trace if trace.deadline_ms < oldest.deadline_ms else oldest
        return trace if trace.first_offset < oldest.first_offset else oldest


cdef bint is_open(dict open_traces, OpenTrace trace) except -1:
    cdef PyObject *found = PyDict_GetItemWithError(open_traces, trace.trace_id)
    return found == <PyObject *>trace
