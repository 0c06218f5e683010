"""The offsets of a trace's records in C."""

from libc.stdint cimport int64_t

cdef enum:
    # Most traces have no more records, and need no memory beside the object's.
    OFFSETS_AT_FIRST = 6


cdef class Offsets:
    cdef int64_t *at
    cdef Py_ssize_t count
    cdef Py_ssize_t room
    cdef int64_t[OFFSETS_AT_FIRST] few

    cdef int add(self, int64_t offset) except -1


cdef Offsets offsets_of(offsets)
