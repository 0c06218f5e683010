# cython: language_level=3
"""What the compiled merge takes of the compiled decodable: a field, and whether it is sound."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from stream.otlp._wire cimport (
    CONTINUES,
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT_BYTES_MAX,
    read_length,
    read_uint32,
    read_varint,
)


cdef enum Does:
    ODD = 0      # as nobody sends it: for the decoder itself to judge
    OTHER = 1    # well formed, and nothing more can be wrong with it
    TEXT = 2
    MESSAGE = 3


cdef enum:
    TAGS = 256
    # One in the other, of the hundred that the decoder takes; an attribute's value lies five deep.
    DEPTH_MAX = 90


# A message of the schema: what to make of a field by its tag, and which message a MESSAGE is.
ctypedef struct Schema:
    uint8_t does[TAGS]
    const Schema *message[TAGS]


cdef inline const uint8_t *next_field(
    const Schema *schema, const uint8_t *at, const uint8_t *end, uint32_t *tag, uint32_t *length
) noexcept nogil:
    """Return where the content of a length-delimited field begins; any other is skipped.

    `length` is that of the content, 0 for the others: the next field begins after so many bytes.
    NULL for what is malformed, or odd. The content is not looked at.
    """
    cdef uint64_t number
    cdef const uint8_t *after
    if at[0] < CONTINUES:
        tag[0] = at[0]
        at += 1
    else:
        at = read_uint32(at, end, tag)
        if at == NULL:
            return NULL
    if tag[0] < TAGS and schema.does[tag[0]] == ODD:
        return NULL
    if tag[0] & 7 == LENGTH:
        return read_length(at, end, length)
    length[0] = 0
    if tag[0] & 7 == 0:
        after = read_varint(at, end, &number)
        # Of the tenth byte, one bit counts. Not every decoder takes more.
        if after != NULL and after - at == VARINT_BYTES_MAX and (after - 1)[0] > 1:
            return NULL
        return after
    if tag[0] & 7 == FIXED64 and end - at >= 8:
        return at + 8
    if tag[0] & 7 == FIXED32 and end - at >= 4:
        return at + 4
    return NULL


cdef const Schema *schema_of(object descriptor) except NULL

cdef bint is_text(const uint8_t *at, const uint8_t *end) noexcept nogil

cdef bint is_sound(
    const Schema *schema, const uint8_t *at, const uint8_t *end, int depth
) noexcept nogil

cdef bint is_sound_content(
    const Schema *schema, uint32_t tag, const uint8_t *at, const uint8_t *end, int depth
) noexcept nogil
