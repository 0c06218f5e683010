"""Bodies in memory, in C: what the compiled fold puts them in without a call."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from stream.sampling._offsets cimport Offsets

cdef enum:
    # Most traces have no more records, and need no memory beside the object's.
    BODIES_AT_FIRST = 4


ctypedef struct Body:
    int64_t offset
    PyObject *body  # bytes, owned


cdef class TraceBodies:
    cdef Body *held
    cdef Py_ssize_t count
    cdef Py_ssize_t room
    cdef Body[BODIES_AT_FIRST] few

    cdef int add(self, int64_t offset, bytes body) except -1
    cdef Py_ssize_t place_of(self, int64_t offset) noexcept


cdef class Bodies:
    cdef dict traces
    cdef readonly int64_t body_bytes
    cdef readonly int64_t bodies

    cdef int add(self, bytes trace_id, int64_t offset, bytes body) except -1
    cdef int remove(self, bytes trace_id, Offsets offsets) except -1
    cdef int _count(self, Py_ssize_t bodies, int64_t body_bytes) except -1
