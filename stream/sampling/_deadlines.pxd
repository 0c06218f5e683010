"""The deadlines of open traces in C."""

from libc.stdint cimport int64_t

from stream.sampling._trace cimport OpenTrace


cdef class Due:
    cdef public int64_t due_ms
    cdef public object _opened
    cdef public list _hastened
    cdef public int64_t _entries

    cdef OpenTrace oldest_of(self, dict open_traces)
    cdef OpenTrace first_of(self, dict open_traces)
