"""The judgement of a trace, looked up by what it depends on."""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from stream.sampling._trace cimport OpenTrace


cdef enum:
    JUDGED_KEY_MAX = 512


ctypedef struct Salted:
    uint64_t state
    uint64_t hash_max


cdef class Judge:
    cdef int64_t *latencies_ms
    cdef Py_ssize_t latencies_count
    cdef int64_t *span_counts
    cdef Py_ssize_t span_counts_count
    cdef Salted *hashes
    cdef Py_ssize_t hashes_count
    cdef int64_t *randoms
    cdef Py_ssize_t randoms_count
    cdef int64_t body_bytes_max
    cdef dict known

    cdef object judgement_of(self, OpenTrace trace, ask)
    cdef Py_ssize_t key_of(
        self, uint8_t *key, const uint8_t *trace_id, Py_ssize_t trace_id_bytes, int64_t spans,
        uint64_t start_ns, uint64_t end_ns, int64_t body_bytes,
    ) noexcept nogil
    cdef remember(self, bytes key, judgement)
