"""An open trace in C."""

from libc.stdint cimport int64_t, uint64_t

from stream.sampling._offsets cimport Offsets


cdef class OpenTrace:
    cdef public bytes trace_id
    cdef public int64_t first_offset
    cdef public int64_t opened_ms
    cdef public int64_t deadline_ms
    cdef public int64_t spans
    cdef public int64_t errors
    cdef public uint64_t start_ns
    cdef public uint64_t end_ns
    cdef public bint root
    cdef public int64_t body_bytes
    cdef public int64_t last_ms
    cdef Offsets its_offsets
    # None while there are none.
    cdef dict its_headers
    cdef public int64_t held_bytes
    # Who pinned it, None where nobody has.
    cdef public object pin
    # The bits: a word of them, and those above it as a number of Python's.
    cdef uint64_t low_bits
    cdef object high_bits

    cdef int add(
        self, int64_t spans, int64_t errors, uint64_t start_ns, uint64_t end_ns, bint root,
        int64_t body_bytes, int64_t offset,
    ) except -1


cdef OpenTrace opened(bytes trace_id, int64_t offset, int64_t opened_ms, int64_t deadline_ms)
