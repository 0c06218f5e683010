"""What is remembered of a decided trace, in C."""

from libc.stdint cimport int64_t

from stream.sampling._delivery cimport Decision


cdef class KnownDecision:
    cdef public object verdict
    cdef public object policy
    cdef public object trigger
    cdef public int64_t threshold
    cdef public int64_t upto
    cdef public int64_t time_ms
    cdef public object span_ids
    cdef public object span_ids_complete
    cdef public object offsets


cdef KnownDecision known_of(Decision decision)
