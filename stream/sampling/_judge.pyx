# cython: language_level=3, boundscheck=True, wraparound=False
"""The judgement of a trace, looked up by what it depends on: the compiled half of `Policies.judge`.

Of all that a trace can be, votes see little (`policies/boundaries.py`): the bits, between which
boundaries its duration and its number of spans lie, on which side of each hash and of each share
its id. Traces that
agree in these have one judgement, which the policies were asked for once.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef enum:
    NS_PER_MS = 1_000_000
    # So many judgements are remembered; the bits may be any.
    KNOWN_MAX = 4_096
    # Of a key, before the hashes' sides and the bits: sizes and indexes.
    KEY_HEAD = 5
    BOUNDARIES_MAX = 1_024
    # Of a trace id, the last: what is random in it.
    RANDOM_BYTES = 7

cdef int64_t BEYOND_ALL = 1 << 62


cdef class Judge:
    """What is known of judgements. `boundaries` are the policies', `body_bytes_max` 0 for none."""

    def __cinit__(self, boundaries, body_bytes_max):
        self.known = {}
        self.body_bytes_max = min(body_bytes_max, BEYOND_ALL)
        latencies_ms, counts = boundaries.latencies_ms, boundaries.span_counts
        assert max(
            len(latencies_ms), len(counts), len(boundaries.hashes), len(boundaries.randoms)
        ) <= BOUNDARIES_MAX
        self.latencies_count, self.latencies_ms = len(latencies_ms), bounds_of(latencies_ms)
        self.span_counts_count, self.span_counts = len(counts), bounds_of(counts)
        self.randoms_count, self.randoms = len(boundaries.randoms), bounds_of(boundaries.randoms)
        self.hashes = <Salted *>calloc(len(boundaries.hashes) + 1, sizeof(Salted))
        if self.latencies_ms == NULL or self.span_counts == NULL or self.hashes == NULL or (
            self.randoms == NULL
        ):
            raise MemoryError
        for state, hash_max in boundaries.hashes:
            self.hashes[self.hashes_count] = Salted(state, hash_max)
            self.hashes_count += 1

    def __dealloc__(self):
        free(self.latencies_ms)
        free(self.span_counts)
        free(self.hashes)
        free(self.randoms)

    def judge(self, trace, int64_t body_bytes, ask):
        """Return the judgement that is known, else what `ask(trace, body_bytes=...)` returns."""
        cdef uint8_t[JUDGED_KEY_MAX] key
        cdef bytes trace_id = trace.trace_id
        cdef uint64_t word
        cdef Py_ssize_t size = self.key_of(
            key, <const uint8_t *>PyBytes_AS_STRING(trace_id), PyBytes_GET_SIZE(trace_id),
            trace.spans, trace.start_ns, trace.end_ns, body_bytes,
        )
        bits = trace.bits
        while bits and size + 8 <= JUDGED_KEY_MAX:
            word = <uint64_t>(bits & 0xFFFFFFFFFFFFFFFF)
            memcpy(&key[size], &word, 8)
            size += 8
            bits >>= 64
        if bits:
            return ask(trace, body_bytes=body_bytes)
        known = PyBytes_FromStringAndSize(<const char *>key, size)
        judgement = self.known.get(known)
        if judgement is None:
            judgement = ask(trace, body_bytes=body_bytes)
            self.remember(known, judgement)
        return judgement

    cdef object judgement_of(self, OpenTrace trace, ask):
        """Return what `judge` returns of a trace that is cut."""
        cdef uint8_t[JUDGED_KEY_MAX] key
        cdef bytes trace_id = trace.trace_id
        cdef Py_ssize_t size
        if trace.high_bits is not None:
            return self.judge(trace, trace.body_bytes, ask)
        size = self.key_of(
            key, <const uint8_t *>PyBytes_AS_STRING(trace_id), PyBytes_GET_SIZE(trace_id),
            trace.spans, trace.start_ns, trace.end_ns, trace.body_bytes,
        )
        if trace.low_bits and size + 8 <= JUDGED_KEY_MAX:
            memcpy(&key[size], &trace.low_bits, 8)
            size += 8
        elif trace.low_bits:
            return ask(trace, body_bytes=trace.body_bytes)
        known = PyBytes_FromStringAndSize(<const char *>key, size)
        judgement = self.known.get(known)
        if judgement is None:
            judgement = ask(trace, body_bytes=trace.body_bytes)
            self.remember(known, judgement)
        return judgement

    cdef Py_ssize_t key_of(
        self, uint8_t *key, const uint8_t *trace_id, Py_ssize_t trace_id_bytes, int64_t spans,
        uint64_t start_ns, uint64_t end_ns, int64_t body_bytes,
    ) noexcept nogil:
        """Write a trace's key but for its bits, and return its size: at most 5 + 2 * 128 bytes."""
        cdef int64_t took_ms = 0
        cdef uint16_t above = 0
        cdef uint64_t state
        cdef int64_t random = 0
        cdef uint8_t *side = &key[KEY_HEAD + (self.hashes_count + 7) // 8]
        cdef Py_ssize_t at, place
        if start_ns and end_ns > start_ns:
            took_ms = <int64_t>((end_ns - start_ns) // NS_PER_MS)
        for at in range(self.latencies_count):
            above += took_ms > self.latencies_ms[at]
        memcpy(key, &above, 2)
        above = 0
        for at in range(self.span_counts_count):
            above += spans > self.span_counts[at]
        memcpy(&key[2], &above, 2)
        key[4] = 0 < self.body_bytes_max < body_bytes
        memset(&key[KEY_HEAD], 0, <size_t>(self.hashes_count + 7) // 8)
        for at in range(self.hashes_count):
            state = self.hashes[at].state
            for place in range(trace_id_bytes):
                state = (state ^ trace_id[place]) * <uint64_t>0x100000001B3
            if state <= self.hashes[at].hash_max:
                key[KEY_HEAD + at // 8] |= <uint8_t>(1 << (at % 8))
        if self.randoms_count == 0:
            return KEY_HEAD + (self.hashes_count + 7) // 8
        for place in range(max(0, trace_id_bytes - RANDOM_BYTES), trace_id_bytes):
            random = random << 8 | trace_id[place]
        memset(side, 0, <size_t>(self.randoms_count + 7) // 8)
        for at in range(self.randoms_count):
            if random >= self.randoms[at]:
                side[at // 8] |= <uint8_t>(1 << (at % 8))
        return KEY_HEAD + (self.hashes_count + 7) // 8 + (self.randoms_count + 7) // 8

    cdef remember(self, bytes key, judgement):
        if len(self.known) >= KNOWN_MAX:
            self.known.clear()
        self.known[key] = judgement


cdef int64_t *bounds_of(bounds) except? NULL:
    """Return the bounds in C. Beyond what any trace can have, where they lie makes no difference."""
    cdef int64_t *found = <int64_t *>calloc(len(bounds) + 1, sizeof(int64_t))
    cdef Py_ssize_t at
    if found != NULL:
        for at in range(len(bounds)):
            found[at] = max(-1, min(bounds[at], BEYOND_ALL))
    return found
