# cython: language_level=3, boundscheck=True, wraparound=False
"""Bodies in memory by trace, in the order in which their traces came: a `SpanStore`'s compiled core.

A trace has an array of (offset, body), ascending. So a body costs a reference and 16 bytes, and a
trace that goes takes all of its own along; by trace is also how the oldest are found.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove


@cython.freelist(1024)
@cython.no_gc
cdef class TraceBodies:
    """The bodies of one trace."""

    def __cinit__(self):
        self.held = self.few
        self.room = BODIES_AT_FIRST
        self.count = 0

    def __dealloc__(self):
        cdef Py_ssize_t place
        for place in range(self.count):
            Py_XDECREF(self.held[place].body)
        if self.held != self.few:
            free(self.held)

    cdef int add(self, int64_t offset, bytes body) except -1:
        cdef Py_ssize_t place = self.count
        cdef Py_ssize_t room
        cdef Body *held
        if self.count == self.room:
            room = 2 * self.room
            held = <Body *>realloc(
                NULL if self.held == self.few else self.held, <size_t>room * sizeof(Body)
            )
            if held == NULL:
                raise MemoryError
            if self.held == self.few:
                memcpy(held, self.few, sizeof(self.few))
            self.held = held
            self.room = room
        while place > 0 and self.held[place - 1].offset > offset:
            self.held[place] = self.held[place - 1]
            place -= 1
        Py_INCREF(body)
        self.held[place].offset = offset
        self.held[place].body = <PyObject *>body
        self.count += 1
        return 0

    cdef Py_ssize_t place_of(self, int64_t offset) noexcept:
        """Return where the first body at or above an offset is."""
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.count
        cdef Py_ssize_t middle
        while low < high:
            middle = (low + high) // 2
            if self.held[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return low


cdef class Bodies:
    """How many `bodies` there are, and their `body_bytes`; the rest is `SpanStore`'s."""

    def __cinit__(self):
        self.traces = {}

    def put(self, bodies):
        """See `SpanStore.put`."""
        for trace_id, offset, body in bodies:
            self.add(trace_id, offset, body)

    def put_one(self, bytes trace_id not None, int64_t offset, bytes body not None):
        """Keep one body."""
        self.add(trace_id, offset, body)

    def get(self, trace_id, offsets):
        """See `SpanStore.get`."""
        found = []
        for offset in offsets:
            body = self.find(trace_id, offset)
            assert body is not None, f"no body of trace {trace_id.hex()} at offset {offset}"
            found.append(body)
        return found

    def find(self, trace_id, int64_t offset):
        """Return one body, None if it is not here."""
        cdef TraceBodies of_trace = self.traces.get(trace_id)
        cdef Py_ssize_t place
        if of_trace is None:
            return None
        place = of_trace.place_of(offset)
        if place == of_trace.count or of_trace.held[place].offset != offset:
            return None
        return <bytes>of_trace.held[place].body

    def delete(self, bytes trace_id not None, offsets):
        """See `SpanStore.delete`; the space is free at once."""
        self.remove(trace_id, offsets if isinstance(offsets, Offsets) else Offsets(offsets))

    def pop_oldest(self, int64_t wanted_bytes):
        """Take out bodies of the oldest traces until they have so many bytes, or none is left."""
        cdef list taken = []
        cdef list gone = []
        cdef int64_t taken_bytes = 0
        cdef TraceBodies of_trace
        cdef Py_ssize_t place
        for trace_id, held in self.traces.items():
            if taken_bytes >= wanted_bytes:
                break
            of_trace = held
            place = 0
            while place < of_trace.count and taken_bytes < wanted_bytes:
                body = <bytes>of_trace.held[place].body
                taken.append((trace_id, of_trace.held[place].offset, body))
                taken_bytes += PyBytes_GET_SIZE(body)
                place += 1
            if place == of_trace.count:
                gone.append(trace_id)
            else:
                drop_first(of_trace, place)
        for trace_id in gone:
            del self.traces[trace_id]
        self._count(-len(taken), -taken_bytes)
        return taken

    def discard_below(self, int64_t offset):
        """See `SpanStore.discard_below`."""
        cdef TraceBodies of_trace
        cdef Py_ssize_t place
        cdef list gone = []
        for trace_id, held in self.traces.items():
            of_trace = held
            if of_trace.held[0].offset >= offset:
                break
            place = of_trace.place_of(offset)
            self._count(-place, -drop_first(of_trace, place))
            if of_trace.count == 0:
                gone.append(trace_id)
        for trace_id in gone:
            del self.traces[trace_id]

    def close(self):
        """See `SpanStore.close`."""
        self.traces.clear()
        self._count(-self.bodies, -self.body_bytes)

    cdef int add(self, bytes trace_id, int64_t offset, bytes body) except -1:
        cdef PyObject *found = PyDict_GetItemWithError(self.traces, trace_id)
        cdef TraceBodies of_trace
        if found == NULL:
            of_trace = TraceBodies.__new__(TraceBodies)
            self.traces[trace_id] = of_trace
        else:
            of_trace = <TraceBodies?>(<object>found)
        of_trace.add(offset, body)
        return self._count(1, PyBytes_GET_SIZE(body))

    cdef int remove(self, bytes trace_id, Offsets offsets) except -1:
        """Forget the bodies at these offsets that are here."""
        cdef PyObject *found = PyDict_GetItemWithError(self.traces, trace_id)
        cdef TraceBodies of_trace
        cdef Py_ssize_t count
        cdef int64_t size
        if found == NULL:
            return 0
        of_trace = <TraceBodies?>(<object>found)
        if not is_ascending(offsets):
            offsets = Offsets(sorted(offsets))
        count, size = of_trace.count, drop(of_trace, offsets)
        if of_trace.count == 0:
            del self.traces[trace_id]
        return self._count(of_trace.count - count, -size)

    cdef int _count(self, Py_ssize_t bodies, int64_t body_bytes) except -1:
        self.bodies += bodies
        self.body_bytes += body_bytes
        return 0


cdef bint is_ascending(Offsets offsets) noexcept:
    cdef Py_ssize_t at
    for at in range(1, offsets.count):
        if offsets.at[at] < offsets.at[at - 1]:
            return False
    return True


cdef int64_t drop(TraceBodies of_trace, Offsets offsets):
    """Forget the bodies at these ascending offsets; return their bytes."""
    cdef int64_t size = 0
    cdef Py_ssize_t place
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t left = 0
    cdef Body *held = of_trace.held
    for place in range(of_trace.count):
        while at < offsets.count and offsets.at[at] < held[place].offset:
            at += 1
        if at < offsets.count and offsets.at[at] == held[place].offset:
            size += PyBytes_GET_SIZE(<bytes>held[place].body)
            Py_XDECREF(held[place].body)
        else:
            held[left] = held[place]
            left += 1
    of_trace.count = left
    return size


cdef int64_t bytes_of(TraceBodies of_trace, Py_ssize_t count) noexcept:
    """Return the bytes of the first so many bodies."""
    cdef int64_t size = 0
    cdef Py_ssize_t place
    for place in range(count):
        size += PyBytes_GET_SIZE(<bytes>of_trace.held[place].body)
    return size


cdef int64_t drop_first(TraceBodies of_trace, Py_ssize_t count):
    """Forget the first so many bodies; return their bytes."""
    cdef int64_t size = bytes_of(of_trace, count)
    cdef Py_ssize_t place
    for place in range(count):
        Py_XDECREF(of_trace.held[place].body)
    of_trace.count -= count
    memmove(of_trace.held, &of_trace.held[count], <size_t>of_trace.count * sizeof(Body))
    return size
