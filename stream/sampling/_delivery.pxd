"""Decisions, deliveries and their queue in C."""

from libc.stdint cimport int64_t


cdef class Decision:
    cdef public object trace_id
    cdef public object verdict
    cdef public object policy
    cdef public object trigger
    cdef public int64_t threshold
    cdef public int64_t spans
    cdef public int64_t errors
    cdef public int64_t duration_us
    cdef public object complete
    cdef public int64_t time_ms
    cdef public object clock
    cdef public int64_t upto
    cdef public object offsets
    cdef public int64_t duplicates
    cdef public int64_t dead_lettered
    cdef public object span_ids
    cdef public object span_ids_complete
    cdef public object ballot
    cdef public object levels
    cdef public object source
    cdef public int64_t expires_ms


cdef class Delivery:
    cdef public Decision decision
    cdef public int64_t first_offset
    cdef public int64_t opened_ms
    cdef public int64_t body_bytes
    cdef public int64_t due_ms
    cdef public object votes
    cdef public dict headers
    cdef public bint late
    cdef public bint undeliverable
    cdef public int64_t held_bytes


cdef class Settled:
    cdef public object delivered
    cdef public int64_t duplicates
    cdef public int64_t dead_lettered
    cdef public bytes span_ids
    cdef public bint span_ids_complete


cdef Settled settled_of(delivered)


cdef class Queue:
    cdef public int64_t held_bytes
    cdef public list in_flight
    cdef public object _waiting
    cdef public dict _late
    cdef public int64_t _behind
    cdef public object _dead_letters
    cdef public object _lowest

    cdef int append_cut(self, Delivery delivery) except -1
