# cython: language_level=3, boundscheck=True, wraparound=False
"""One poll's messages as rows in C: the compiled half of `stream/kafka/receive.py`.

Each message's accessors are called once, each record is scanned once, without the GIL, and the
messages can go. What is no plain record (see `stream/otlp/_scan.pyx`) is handed over for the plain
Python that receives all of them where this is not built.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT32_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from stream.otlp._scan cimport (
    ASIDE,
    NOTHING,
    TRACE,
    Plan,
    Question,
    Questions,
    Scanner,
    Summary,
    scan_record,
)
from stream.sampling._rows cimport Row, Rows

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE

from stream.kafka.headers import kind_of
from stream.kafka.partitioner import fnv1a, murmur2
from stream.sampling.record import NO_TIMESTAMP, RecordKind

cdef extern from "Python.h":
    # It looks for an exception beside a result, as every call from C should: see headers.py.
    object PyObject_CallMethodNoArgs(object self, object name)

cdef enum:
    TRACE_ID_BYTES = 16
    # Searches are done when so many are noted, so that a hostile poll cannot fill the memory.
    QUESTIONS_HELD = 10_000

cdef enum Hash:
    FNV1A = 1
    MURMUR2 = 2

cdef int64_t UNKNOWN_MS = NO_TIMESTAMP
cdef int LOG_APPEND_TIME = TIMESTAMP_LOG_APPEND_TIME
cdef int NOT_AVAILABLE = TIMESTAMP_NOT_AVAILABLE
cdef object SPANS = RecordKind.SPANS
cdef dict HASHES = {fnv1a: FNV1A, murmur2: MURMUR2}


def knows(partitioner):
    """Return whether keys can be hashed here as this partitioner does."""
    return partitioner in HASHES


# What a row is made of while it is scanned. The objects are held by the poll's lists.
ctypedef struct Raw:
    const uint8_t *value  # NULL: not to be scanned here
    const uint8_t *key    # NULL without one
    uint32_t value_bytes
    uint32_t key_bytes


cdef class Received:
    """The rows of one partition, and what was counted of them: see `Batch`.

    `odd` are the records that are no plain ones: (index, offset, timestamp_ms, value, key, headers)
    each. They count nowhere yet, and have no record in `rows` until one is put aside there.
    """

    cdef readonly int partition
    cdef readonly Rows rows
    cdef readonly bint log_append_time
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t mismatched
    cdef readonly Py_ssize_t misrouted
    cdef readonly Py_ssize_t no_spans
    cdef readonly list odd
    cdef object poison
    cdef list keys
    cdef dict headers
    cdef Raw *raws
    cdef Py_ssize_t raws_room

    def __cinit__(self, int partition, Py_ssize_t words, poison):
        self.partition = partition
        self.rows = Rows(words)
        self.log_append_time = True
        self.odd = []
        self.poison = poison
        self.keys = []
        self.headers = {}

    def __dealloc__(self):
        free(self.raws)

    cdef add(self, message):
        """Call the message's accessors, and keep what they say."""
        cdef bytes value = message.value()
        cdef bytes key = message.key()
        cdef Py_ssize_t index = self.rows.filled
        cdef Row *row = self.rows.add(value)
        cdef Raw *raw = self._raw(index)
        cdef tuple stamped = message.timestamp()
        cdef int stamped_by = stamped[0]
        row.offset = message.offset()
        row.timestamp_ms = UNKNOWN_MS if stamped_by == NOT_AVAILABLE else <int64_t>stamped[1]
        if stamped_by != LOG_APPEND_TIME:
            self.log_append_time = False
        self.keys.append(key)
        if key is not None:
            raw.key = <const uint8_t *>PyBytes_AS_STRING(key)
            raw.key_bytes = <uint32_t>PyBytes_GET_SIZE(key)
        headers = headers_of(message)
        if headers:
            self.headers[index] = headers
            if kind_of(headers, value) is not SPANS:
                return
        if self.poison and row.offset in self.poison:
            return
        if row.body_bytes:
            raw.value = <const uint8_t *>PyBytes_AS_STRING(value)
            raw.value_bytes = row.body_bytes

    cdef Raw *_raw(self, Py_ssize_t index) except NULL:
        cdef Raw *raws
        if index >= self.raws_room:
            raws = <Raw *>realloc(self.raws, <size_t>self.rows.room * sizeof(Raw))
            if raws == NULL:
                raise MemoryError
            self.raws = raws
            self.raws_room = self.rows.room
        memset(&self.raws[index], 0, sizeof(Raw))
        return &self.raws[index]

    cdef scan(self, Scanner scanner):
        """Scan every row, without the GIL, but for the searches and conditions of Python."""
        cdef Questions questions
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t filled = self.rows.filled
        cdef Row *rows = self.rows.rows
        cdef uint64_t *bits = self.rows.bits
        cdef const Raw *raws = self.raws
        memset(&questions, 0, sizeof(Questions))
        try:
            while at < filled:
                with nogil:
                    at = scan_some(&scanner.plan, rows, bits, raws, filled, at, &questions)
                self._answer(scanner, &questions)
        finally:
            free(questions.asked)
        if scanner.has_conditions:
            self._ask_conditions(scanner)

    cdef _answer(self, Scanner scanner, Questions *questions):
        cdef Py_ssize_t at
        cdef const Question *asked
        for at in range(questions.count):
            asked = &questions.asked[at]
            scanner.answer(asked, &self.rows.bits[asked.record * self.rows.words])
        questions.count = 0

    cdef _ask_conditions(self, Scanner scanner):
        cdef Rows rows = self.rows
        cdef Py_ssize_t at, word
        for at in range(rows.filled):
            if rows.rows[at].kind != TRACE:
                continue
            bits = scanner.conditions(rows.bodies[at])
            if bits is None or bits >> (64 * rows.words):
                rows.rows[at].kind = ASIDE
                continue
            for word in range(rows.words):
                rows.bits[at * rows.words + word] |= <uint64_t>(
                    bits >> (64 * word) & 0xFFFFFFFFFFFFFFFF
                )

    cdef finish(self, Hash hashed, uint32_t partitions, uint32_t hashed_bytes_max, copied):
        """Count what is known of the plain rows, and list the odd ones."""
        cdef Rows rows = self.rows
        cdef Py_ssize_t at
        cdef const Row *row
        cdef const Raw *raw
        for at in range(rows.filled):
            row = &rows.rows[at]
            raw = &self.raws[at]
            if row.kind == ASIDE:
                headers = self.headers.get(at, ())
                value, key = rows.bodies[at], self.keys[at]
                self.odd.append((at, row.offset, row.timestamp_ms, value, key, headers))
                continue
            self.size += <Py_ssize_t>row.body_bytes + raw.key_bytes
            if row.kind == NOTHING or not is_hex_of(raw, row.trace_id):
                rows.keys[at] = self.keys[at]
                self.mismatched += row.kind == TRACE
            self.no_spans += row.kind == NOTHING and raw.value != NULL
            if partitions and 0 < raw.key_bytes <= hashed_bytes_max:
                self.misrouted += (
                    partition_of(hashed, raw.key, raw.key_bytes, partitions)
                    != <uint32_t>self.partition
                )
        if copied:
            for index, headers in self.headers.items():
                rows.headers[index] = [
                    header for header in headers if header[0] in copied and header[1] is not None
                ]


def receive(
    messages, dict epochs, list errors, Scanner scanner not None, partitioner,
    uint32_t partitions, uint32_t hashed_bytes_max, copied, poison,
):
    """Return the rows of each partition in `epochs`, in the order of the first message of each.

    `partitions` is the topic's count of them, 0 while it is not known; no key above
    `hashed_bytes_max` is hashed; the headers in `copied` are kept; `poison` has by partition the
    offsets that are not to be scanned. The client's errors are added to `errors`.
    """
    cdef dict by_partition = {}
    cdef Received received = None
    cdef Hash hashed = HASHES[partitioner]
    for message in messages:
        number = message.partition()
        error = message.error()
        if error is not None:
            if number is None or number < 0 or number in epochs:
                errors.append(error)
            continue
        if received is None or received.partition != <int>number:
            if number not in epochs:
                continue
            received = by_partition.get(number)
            if received is None:
                received = Received(number, scanner.plan.words, poison.get(number))
                by_partition[number] = received
        received.add(message)
    found = list(by_partition.values())
    for received in found:
        received.scan(scanner)
        received.finish(hashed, partitions, hashed_bytes_max, copied)
    return found


cdef Py_ssize_t scan_some(
    const Plan *plan, Row *rows, uint64_t *bits, const Raw *raws, Py_ssize_t filled,
    Py_ssize_t at, Questions *questions,
) noexcept nogil:
    """Scan rows from `at` on, up to the last or to QUESTIONS_HELD; return which is next."""
    cdef Summary summary
    cdef Row *row
    while at < filled and questions.count < QUESTIONS_HELD:
        row = &rows[at]
        if raws[at].value != NULL:
            summary.bits = &bits[at * plan.words]
            row.kind = scan_record(
                plan, raws[at].value, raws[at].value_bytes, &summary, questions, at
            )
            row.spans = summary.spans
            row.errors = summary.errors
            row.start_ns = summary.start_ns
            row.end_ns = summary.end_ns
            row.root = summary.root
            if row.kind == TRACE:
                memcpy(row.trace_id, summary.trace_id, TRACE_ID_BYTES)
        at += 1
    return at


cdef object headers_of(message):
    """Return the message's headers, as `stream.kafka.headers.headers_of` does."""
    try:
        return PyObject_CallMethodNoArgs(message, "headers")
    except (SystemError, UnicodeDecodeError):
        return None


# Keys


cdef bint is_hex_of(const Raw *raw, const uint8_t *trace_id) noexcept nogil:
    """Return whether the key is the trace id in lowercase hexadecimal."""
    cdef const char *digits = b"0123456789abcdef"
    cdef Py_ssize_t at
    if raw.key_bytes != 2 * TRACE_ID_BYTES:
        return False
    for at in range(TRACE_ID_BYTES):
        if raw.key[2 * at] != <uint8_t>digits[trace_id[at] >> 4]:
            return False
        if raw.key[2 * at + 1] != <uint8_t>digits[trace_id[at] & 15]:
            return False
    return True


cdef uint32_t partition_of(
    Hash hashed, const uint8_t *key, uint32_t length, uint32_t partitions
) noexcept nogil:
    """Hash a key as `stream/kafka/partitioner.py` does; unsigned 32 bits wrap by themselves."""
    cdef uint32_t state
    cdef uint32_t at
    if hashed == MURMUR2:
        return (murmur2_hash(key, length) & INT32_MAX) % partitions
    state = 0x811C9DC5
    for at in range(length):
        state = (state ^ key[at]) * <uint32_t>0x01000193
    # The absolute value of what Sarama reads as a signed number.
    return (state if state <= <uint32_t>INT32_MAX else 0 - state) % partitions


cdef uint32_t murmur2_hash(const uint8_t *key, uint32_t length) noexcept nogil:
    cdef uint32_t prime = 0x5BD1E995
    cdef uint32_t state = <uint32_t>0x9747B28C ^ length
    cdef uint32_t word
    cdef uint32_t at = 0
    cdef uint32_t tail = 0
    while length - at >= 4:
        word = (
            <uint32_t>key[at] | <uint32_t>key[at + 1] << 8
            | <uint32_t>key[at + 2] << 16 | <uint32_t>key[at + 3] << 24
        ) * prime
        word = (word ^ word >> 24) * prime
        state = state * prime ^ word
        at += 4
    if at < length:
        while length > at:
            length -= 1
            tail = tail << 8 | key[length]
        state = (state ^ tail) * prime
    state = (state ^ state >> 13) * prime
    return state ^ state >> 15
