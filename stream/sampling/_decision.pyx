# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=False
"""A decision record, written field by field in C: the compiled half of `decision.py`'s `encode`.

One is made for every trace that ends. What is not as decisions are made (negative numbers, more
offsets than are listed), and the levels of limits and what pins say, which few have, is for the
pure-Python twin, with msgpack.
Format: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from cpython.bool cimport PyBool_Check
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from stream.sampling._delivery cimport Decision
from stream.sampling._offsets cimport Offsets

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    # The names of all fields, and every number at its longest.
    FIXED_BYTES_MAX = 512
    # What comes before a text, at most.
    PREFIX_BYTES_MAX = 5
    TEXTS = 5
    # The names of a context's fields, and what comes before each.
    CONTEXT_BYTES_MAX = 64
    OFFSET_BYTES_MAX = 10
    SCRATCH_BYTES = 1024
    OFFSETS_BYTES_MAX = 2048
    FEW_OFFSETS = 64
    FIELDS = 19


# Bytes to write, of an object that somebody holds.
ctypedef struct Text:
    const char *start
    Py_ssize_t size


cdef class Context:
    """What the records of one partition and configuration have in common, written once."""

    def __init__(self, str config not None, str topic_id not None, str group not None):
        cdef Text policies = text_of(config), topic = text_of(topic_id), reader = text_of(group)
        cdef Py_ssize_t size = policies.size + topic.size + reader.size
        cdef bytes fields = PyBytes_FromStringAndSize(NULL, size + CONTEXT_BYTES_MAX)
        cdef uint8_t *start = <uint8_t *>PyBytes_AS_STRING(fields)
        cdef uint8_t *out = start
        out = put_text(put(out, b"\xa6config", 7), policies)
        out = put_text(put(out, b"\xa8topic_id", 9), topic)
        out = put_text(put(out, b"\xa5group", 6), reader)
        out = put(out, b"\xa7offsets", 8)
        assert out - start <= PyBytes_GET_SIZE(fields), "the context is longer than was thought"
        self.fields = fields[:out - start]


class _Odd(Exception):
    """Not to be written here."""


cdef Text text_of(object value) except *:
    cdef Text text
    if not PyUnicode_Check(value):
        raise _Odd
    text.start = PyUnicode_AsUTF8AndSize(value, &text.size)
    return text


cdef uint64_t number_of(object value) except? 0xDEAD:
    """Return a number of at most 63 bits."""
    cdef int64_t number
    if not PyLong_CheckExact(value):
        raise _Odd
    number = value
    if number < 0:
        raise _Odd
    return <uint64_t>number


cdef bint truth_of(object value) except -1:
    if not PyBool_Check(value):
        raise _Odd
    return value is True


cdef inline uint8_t *put(uint8_t *out, const void *start, size_t size) noexcept nogil:
    memcpy(out, start, size)
    return out + size


cdef inline uint8_t *put_big_endian(
    uint8_t *out, uint8_t first, uint64_t number, int size
) noexcept nogil:
    out[0] = first
    while size > 0:
        size -= 1
        out += 1
        out[0] = <uint8_t>(number >> (8 * size) & 0xFF)
    return out + 1


cdef uint8_t *put_number(uint8_t *out, uint64_t number) noexcept nogil:
    if number < 0x80:
        out[0] = <uint8_t>number
        return out + 1
    if number <= 0xFF:
        return put_big_endian(out, 0xCC, number, 1)
    if number <= 0xFFFF:
        return put_big_endian(out, 0xCD, number, 2)
    if number <= UINT32_MAX:
        return put_big_endian(out, 0xCE, number, 4)
    return put_big_endian(out, 0xCF, number, 8)


cdef uint8_t *put_text(uint8_t *out, Text text) noexcept nogil:
    cdef uint64_t size = <uint64_t>text.size
    if size < 32:
        out[0] = <uint8_t>(0xA0 | size)
        out += 1
    elif size <= 0xFF:
        out = put_big_endian(out, 0xD9, size, 1)
    elif size <= 0xFFFF:
        out = put_big_endian(out, 0xDA, size, 2)
    else:
        out = put_big_endian(out, 0xDB, size, 4)
    return put(out, text.start, size)


cdef uint8_t *put_bytes(uint8_t *out, const void *start, size_t size) noexcept nogil:
    if size <= 0xFF:
        out = put_big_endian(out, 0xC4, size, 1)
    elif size <= 0xFFFF:
        out = put_big_endian(out, 0xC5, size, 2)
    else:
        out = put_big_endian(out, 0xC6, size, 4)
    return put(out, start, size)


cdef inline uint8_t *put_truth(uint8_t *out, bint truth) noexcept nogil:
    out[0] = 0xC3 if truth else 0xC2
    return out + 1


cdef Py_ssize_t count_of(offsets) except -1:
    if isinstance(offsets, Offsets):
        return (<Offsets>offsets).count
    if type(offsets) is not list:
        raise _Odd
    return PyList_GET_SIZE(<list>offsets)


cdef Py_ssize_t deltas_of(offsets, uint8_t *deltas) except -1:
    """Write the offsets' deltas; return their size."""
    cdef uint8_t *out = deltas
    cdef uint64_t last = 0
    cdef uint64_t delta, offset
    cdef Py_ssize_t index
    cdef Offsets in_c = <Offsets>offsets if isinstance(offsets, Offsets) else None
    for index in range(count_of(offsets)):
        if in_c is not None:
            offset = <uint64_t>in_c.at[index]
        else:
            offset = number_of(<object>PyList_GET_ITEM(<list>offsets, index))
        if offset < last or offset > INT64_MAX:
            raise _Odd
        delta = offset - last
        last = offset
        while delta > 0x7F:
            out[0] = <uint8_t>(delta & 0x7F | 0x80)
            out += 1
            delta >>= 7
        out[0] = <uint8_t>delta
        out += 1
    return out - deltas


cdef bytes kept_deltas(offsets):
    """Return the deltas of a few offsets, as `kept_offsets` does; None where they are not few."""
    cdef uint8_t[OFFSET_BYTES_MAX * FEW_OFFSETS] deltas
    if not isinstance(offsets, Offsets) or (<Offsets>offsets).count > FEW_OFFSETS:
        return None
    try:
        return PyBytes_FromStringAndSize(<const char *>deltas, deltas_of(offsets, deltas))
    except _Odd:
        return None


def encode(decision, str config not None, str topic_id not None, str group not None):
    """Return the record of a decision as `encode_in_python` does; None if it is none for C."""
    if not isinstance(decision, Decision):
        return None
    return packed(<Decision>decision, Context(config, topic_id, group))


cdef bytes packed(Decision decision, Context context):
    """Return the record of a decision; None if it is none for C."""
    cdef uint8_t[SCRATCH_BYTES] scratch
    cdef uint8_t *buffer = scratch
    cdef Py_ssize_t bytes_max
    cdef Py_ssize_t count
    if decision.levels or decision.source or decision.expires_ms:
        return None
    try:
        count = count_of(decision.offsets)
        if count > OFFSETS_BYTES_MAX:
            return None
        bytes_max = (
            FIXED_BYTES_MAX + TEXTS * PREFIX_BYTES_MAX + PyBytes_GET_SIZE(context.fields)
            + OFFSET_BYTES_MAX * count + len(<bytes?>decision.span_ids)
            + text_of(decision.policy).size + text_of(decision.ballot).size
        )
        # The deltas are made at the end of the room, and copied to their place.
        if 2 * bytes_max > SCRATCH_BYTES:
            buffer = <uint8_t *>malloc(2 * <size_t>bytes_max)
            if buffer == NULL:
                raise MemoryError
        return written(decision, context, buffer, buffer + bytes_max)
    except (_Odd, OverflowError, TypeError):
        return None
    finally:
        if buffer != scratch:
            free(buffer)


cdef bytes written(Decision decision, Context context, uint8_t *buffer, uint8_t *deltas):
    cdef bytes trace_id = <bytes?>decision.trace_id
    cdef bytes span_ids = <bytes>decision.span_ids
    cdef Text verdict = text_of(decision.verdict)
    cdef Text trigger = text_of(decision.trigger)
    cdef Text clock = text_of(decision.clock)
    cdef Text votes = text_of(decision.ballot)
    cdef bint cut = not truth_of(decision.span_ids_complete)
    cdef Py_ssize_t deltas_bytes = deltas_of(decision.offsets, deltas)
    cdef uint8_t *out = buffer
    if trace_id is None or PyBytes_GET_SIZE(trace_id) != 16 or deltas_bytes > OFFSETS_BYTES_MAX:
        raise _Odd
    # The names of the verdict, the trigger and the clock are ours, and short.
    if verdict.size + trigger.size + clock.size > 128:
        raise _Odd
    if (
        decision.threshold | decision.spans | decision.errors | decision.duration_us
        | decision.time_ms | decision.upto | decision.duplicates | decision.dead_lettered
    ) < 0:
        raise _Odd
    out = put_big_endian(
        out, 0xDE, FIELDS + (PyBytes_GET_SIZE(span_ids) > 0) + cut + (votes.size > 0), 2
    )
    out = put(out, b"\xa1v\x01\xa8trace_id\xc4\x10", 14)
    out = put(out, PyBytes_AS_STRING(trace_id), 16)
    out = put_text(put(out, b"\xa7verdict", 8), verdict)
    out = put_text(put(out, b"\xa6policy", 7), text_of(decision.policy))
    out = put_text(put(out, b"\xa7trigger", 8), trigger)
    out = put_number(put(out, b"\xa2th", 3), decision.threshold)
    out = put_number(put(out, b"\xa5spans", 6), decision.spans)
    out = put_number(put(out, b"\xa6errors", 7), decision.errors)
    out = put_number(put(out, b"\xabduration_us", 12), decision.duration_us)
    out = put_truth(put(out, b"\xa8complete", 9), truth_of(decision.complete))
    out = put_number(put(out, b"\xa7time_ms", 8), decision.time_ms)
    out = put_text(put(out, b"\xa5clock", 6), clock)
    out = put_number(put(out, b"\xa4upto", 5), decision.upto)
    out = put_number(put(out, b"\xaaduplicates", 11), decision.duplicates)
    out = put_number(put(out, b"\xaddead_lettered", 14), decision.dead_lettered)
    out = put(out, PyBytes_AS_STRING(context.fields), <size_t>PyBytes_GET_SIZE(context.fields))
    out = put_bytes(out, deltas, <size_t>deltas_bytes)
    if PyBytes_GET_SIZE(span_ids):
        out = put(out, b"\xa8span_ids", 9)
        out = put_bytes(out, PyBytes_AS_STRING(span_ids), <size_t>PyBytes_GET_SIZE(span_ids))
    if cut:
        out = put_truth(put(out, b"\xb1span_ids_complete", 18), False)
    if votes.size:
        out = put_text(put(out, b"\xa5votes", 6), votes)
    assert out <= deltas, "a decision record is longer than was thought"
    return PyBytes_FromStringAndSize(<const char *>buffer, out - buffer)
