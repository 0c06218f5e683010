"""A poll's records of one partition as rows in C: what the compiled core folds without Python."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from stream.otlp._scan cimport Found


# A record. What lies beyond the kind is set for TRACE only, as in `Fragment`; bits are apart.
ctypedef struct Row:
    int64_t offset
    int64_t timestamp_ms  # NO_TIMESTAMP without one
    uint64_t start_ns
    uint64_t end_ns
    uint8_t[16] trace_id
    uint32_t spans
    uint32_t errors
    uint32_t body_bytes
    Found kind
    bint root


cdef class Rows:
    cdef Row *rows
    cdef Py_ssize_t filled
    cdef Py_ssize_t room
    # `words` words for each row, the lowest first: row 0's, row 1's, ...
    cdef uint64_t *bits
    cdef Py_ssize_t words
    # By index. A body is None where the record went aside; it is then in `aside`, whole.
    cdef list bodies
    cdef dict aside
    # By index, where there is something to keep: a key that is not the trace id in hex; headers.
    cdef dict keys
    cdef dict headers

    cdef Row *add(self, bytes body) except NULL
    cpdef put_aside(self, Py_ssize_t index, object record)
    cdef object record(self, Py_ssize_t index)
