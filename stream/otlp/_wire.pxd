# cython: language_level=3
"""The protobuf wire format in C, as `stream/otlp/wire.py` has it, inlined where it is used.

Every function that reads takes where it stands (`at`) and the end of the message that it stands in,
and returns where it stands next, NULL for malformed. No byte at or after that end is read. Those
that write take the end of the room that there is, and return NULL where it does not suffice.
"""

from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef enum:
    VARINT = 0
    FIXED64 = 1
    LENGTH = 2
    GROUP_START = 3
    GROUP_END = 4
    FIXED32 = 5

    CONTINUES = 0x80
    VARINT_BYTES_MAX = 10


cdef inline const uint8_t *read_varint(
    const uint8_t *at, const uint8_t *end, uint64_t *value
) noexcept nogil:
    cdef uint64_t result = 0
    cdef unsigned int shift = 0
    while at < end and shift < 7 * VARINT_BYTES_MAX:
        result |= <uint64_t>(at[0] & 0x7F) << shift
        if at[0] < CONTINUES:
            value[0] = result
            return at + 1
        at += 1
        shift += 7
    return NULL


cdef inline const uint8_t *read_uint32(
    const uint8_t *at, const uint8_t *end, uint32_t *value
) noexcept nogil:
    """Read a tag or a length: at most 5 bytes, 32 bits."""
    cdef uint64_t result = 0
    cdef unsigned int shift = 0
    if at < end and at[0] < CONTINUES:
        value[0] = at[0]
        return at + 1
    while at < end and shift < 35:
        result |= <uint64_t>(at[0] & 0x7F) << shift
        if at[0] < CONTINUES:
            if result > UINT32_MAX:
                return NULL
            value[0] = <uint32_t>result
            return at + 1
        at += 1
        shift += 7
    return NULL


cdef inline const uint8_t *read_length(
    const uint8_t *at, const uint8_t *end, uint32_t *length
) noexcept nogil:
    """Read the length of a content that lies before the end; return where the content begins."""
    at = read_uint32(at, end, length)
    if at == NULL or length[0] > <size_t>(end - at):
        return NULL
    return at


cdef inline size_t varint_bytes(uint64_t value) noexcept nogil:
    cdef size_t size = 1
    while value >= CONTINUES:
        value >>= 7
        size += 1
    return size


cdef inline size_t framed_bytes(size_t content_bytes) noexcept nogil:
    """Return the size of a content of this size as a field with a tag of one byte."""
    return 1 + varint_bytes(content_bytes) + content_bytes


cdef inline uint8_t *put(
    uint8_t *out, const uint8_t *out_end, const void *text, size_t size
) noexcept nogil:
    if out == NULL or size > <size_t>(out_end - out):
        return NULL
    if size:
        memcpy(out, text, size)
    return out + size


cdef inline uint8_t *put_framing(
    uint8_t *out, const uint8_t *out_end, uint8_t tag, size_t content_bytes
) noexcept nogil:
    """Write what stands before a content of this size: a tag of one byte, and the length."""
    if out == NULL or <size_t>(out_end - out) < 1 + varint_bytes(content_bytes):
        return NULL
    out[0] = tag
    out += 1
    while content_bytes >= CONTINUES:
        out[0] = <uint8_t>(content_bytes & 0x7F | CONTINUES)
        content_bytes >>= 7
        out += 1
    out[0] = <uint8_t>content_bytes
    return out + 1
