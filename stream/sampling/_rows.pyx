# cython: language_level=3, boundscheck=True, wraparound=False
"""A poll's records of one partition as rows in C.

Layout: `rows[i]` is record i with its place, time and summary; `bits[i * words : (i + 1) * words]`
are its conditions; `bodies[i]` is the record itself, of which nothing was copied. A row of kind
TRACE is one fragment, one of kind NOTHING legal and empty. Any other record (several traces, JSON,
bad spans, a control record) is ASIDE: `aside[i]` is the whole `Record`, made by plain Python. So a
fold in C walks `rows`, takes a reference of the body, and leaves for Python at ASIDE only.

To everybody else it is a sequence of `Record`s, each made when it is asked for.
"""

from collections.abc import Sequence

from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from stream.otlp._scan cimport ASIDE, TRACE, bits_of

from stream.otlp.fragment import Fragment
from stream.sampling.record import Record, RecordKind

cdef enum:
    ROWS_AT_FIRST = 64
    TRACE_ID_BYTES = 16

cdef object SPANS = RecordKind.SPANS


cdef class Rows:
    """Rows of `words` words of bits each."""

    def __cinit__(self, Py_ssize_t words):
        assert words > 0
        self.words = words
        self.bodies = []
        self.aside = {}
        self.keys = {}
        self.headers = {}

    def __dealloc__(self):
        free(self.rows)
        free(self.bits)

    def __len__(self):
        return self.filled

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self.record(at) for at in range(*index.indices(self.filled))]
        at = index + self.filled if index < 0 else index
        if not 0 <= at < self.filled:
            raise IndexError(index)
        return self.record(at)

    def __iter__(self):
        cdef Py_ssize_t at
        for at in range(self.filled):
            yield self.record(at)

    def index(self, *args):
        return list(self).index(*args)

    def count(self, record):
        return list(self).count(record)

    cdef Row *add(self, bytes body) except NULL:
        """Add a row of kind ASIDE and return it; the pointer holds until the next one is added."""
        cdef Py_ssize_t room
        cdef Row *rows
        cdef uint64_t *bits
        cdef Row *row
        cdef Py_ssize_t size = 0 if body is None else PyBytes_GET_SIZE(body)
        if self.filled == self.room:
            room = 2 * self.room if self.room else ROWS_AT_FIRST
            rows = <Row *>realloc(self.rows, <size_t>room * sizeof(Row))
            if rows == NULL:
                raise MemoryError
            self.rows = rows
            bits = <uint64_t *>realloc(self.bits, <size_t>(room * self.words) * sizeof(uint64_t))
            if bits == NULL:
                raise MemoryError
            self.bits = bits
            self.room = room
        assert size <= UINT32_MAX, "Kafka's records are smaller"
        self.bodies.append(body)
        row = &self.rows[self.filled]
        memset(row, 0, sizeof(Row))
        memset(&self.bits[self.filled * self.words], 0, <size_t>self.words * sizeof(uint64_t))
        row.kind = ASIDE
        row.body_bytes = <uint32_t>size
        self.filled += 1
        return row

    cpdef put_aside(self, Py_ssize_t index, object record):
        """Let this `Record` stand for a row."""
        assert 0 <= index < self.filled
        self.rows[index].kind = ASIDE
        self.bodies[index] = None
        self.aside[index] = record

    cdef object record(self, Py_ssize_t index):
        cdef const Row *row = &self.rows[index]
        if row.kind == ASIDE:
            return self.aside[index]
        fragments = []
        key = None
        if row.kind == TRACE:
            trace_id = PyBytes_FromStringAndSize(<const char *>row.trace_id, TRACE_ID_BYTES)
            bits = bits_of(&self.bits[index * self.words], self.words)
            fragment = Fragment(
                trace_id, row.spans, row.errors, row.start_ns, row.end_ns, row.root, bits,
                self.bodies[index],
            )
            fragments.append(fragment)
            key = trace_id.hex().encode()
        if index in self.keys:
            key = self.keys[index]
        return Record(
            row.offset, row.timestamp_ms, SPANS, fragments, [], key, self.headers.get(index, ())
        )


Sequence.register(Rows)
