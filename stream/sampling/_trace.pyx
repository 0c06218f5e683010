# cython: language_level=3, boundscheck=True, wraparound=False
"""An open trace: the compiled half of `trace.py`, which says what each field is."""

cimport cython

from stream.sampling._offsets cimport Offsets, offsets_of

cdef enum:
    # As in trace.py, which checks it.
    TRACE_BYTES = 1_100
    RECORD_BYTES = 48

cdef tuple FIELDS = (
    "trace_id", "first_offset", "opened_ms", "deadline_ms", "spans", "errors", "start_ns",
    "end_ns", "root", "bits", "body_bytes", "last_ms", "offsets", "headers", "held_bytes",
    "pin",
)
cdef uint64_t WORD = <uint64_t>0xFFFFFFFFFFFFFFFF


def held_by() -> tuple:
    """Return what is counted for a trace and for each of its records, in bytes."""
    return TRACE_BYTES, RECORD_BYTES


@cython.freelist(1024)
@cython.no_gc
cdef class OpenTrace:
    """What is known of a trace that has not been decided."""

    def __init__(
        self, bytes trace_id not None, int64_t first_offset, int64_t opened_ms,
        int64_t deadline_ms, int64_t spans=0, int64_t errors=0, uint64_t start_ns=0,
        uint64_t end_ns=0, bint root=False, bits=0, int64_t body_bytes=0, int64_t last_ms=0,
        offsets=None, headers=None, int64_t held_bytes=TRACE_BYTES, pin=None,
    ):
        self.trace_id = trace_id
        self.first_offset = first_offset
        self.opened_ms = opened_ms
        self.deadline_ms = deadline_ms
        self.spans = spans
        self.errors = errors
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.root = root
        self.bits = bits
        self.body_bytes = body_bytes
        self.last_ms = last_ms
        self.its_offsets = Offsets.__new__(Offsets) if offsets is None else offsets_of(offsets)
        self.its_headers = headers
        self.held_bytes = held_bytes
        self.pin = pin

    @property
    def bits(self):
        """The leaf conditions that some span matched."""
        if self.high_bits is None:
            return self.low_bits
        return (self.high_bits << 64) | self.low_bits

    @bits.setter
    def bits(self, value):
        self.low_bits = <uint64_t>(value & WORD)
        self.high_bits = (value >> 64) or None

    @property
    def offsets(self):
        """Where its records are, ascending."""
        return self.its_offsets

    @offsets.setter
    def offsets(self, offsets):
        self.its_offsets = offsets_of(offsets)

    @property
    def headers(self):
        """Those of its records that go out with it."""
        if self.its_headers is None:
            self.its_headers = {}
        return self.its_headers

    @headers.setter
    def headers(self, dict headers not None):
        self.its_headers = headers

    def fold(self, fragment, offset):
        """Add a fragment's summary; its body is the span store's."""
        bits = fragment.bits
        if bits:
            self.bits = self.bits | bits
        self.add(
            fragment.spans, fragment.errors, fragment.start_ns, fragment.end_ns, fragment.root,
            len(fragment.body), offset,
        )

    cdef int add(
        self, int64_t spans, int64_t errors, uint64_t start_ns, uint64_t end_ns, bint root,
        int64_t body_bytes, int64_t offset,
    ) except -1:
        """Add a summary but for its bits."""
        self.spans += spans
        self.errors += errors
        self.body_bytes += body_bytes
        if start_ns and (not self.start_ns or start_ns < self.start_ns):
            self.start_ns = start_ns
        if end_ns > self.end_ns:
            self.end_ns = end_ns
        if root:
            self.root = True
        self.its_offsets.add(offset)
        self.held_bytes += RECORD_BYTES
        return 0

    @property
    def __dataclass_fields__(self):
        """The fields, as `dataclasses.replace` wants them."""
        from stream.sampling.trace import PureOpenTrace

        return PureOpenTrace.__dataclass_fields__

    def __eq__(self, other):
        if not isinstance(other, OpenTrace):
            return NotImplemented
        return all([getattr(self, name) == getattr(other, name) for name in FIELDS])

    def __repr__(self):
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in FIELDS])
        return f"OpenTrace({shown})"

    @property
    def duration_us(self):
        """Latest end minus earliest start in microseconds, 0 where either is unknown."""
        if not self.start_ns or self.end_ns <= self.start_ns:
            return 0
        return (self.end_ns - self.start_ns) // 1000


cdef OpenTrace opened(bytes trace_id, int64_t offset, int64_t opened_ms, int64_t deadline_ms):
    """Return a trace of which nothing has been folded."""
    cdef OpenTrace trace = OpenTrace.__new__(OpenTrace)
    trace.trace_id = trace_id
    trace.first_offset = offset
    trace.opened_ms = opened_ms
    trace.deadline_ms = deadline_ms
    trace.its_offsets = Offsets.__new__(Offsets)
    trace.held_bytes = TRACE_BYTES
    return trace
