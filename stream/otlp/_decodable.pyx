# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=False
"""Whether protobuf's own decoder takes some bytes: the compiled half of `decodable.py`.

It says yes of what is surely decodable: fields of the schema, each in the form that it has there,
and unknown ones. Where it says no (groups, a known field of another type, messages very deep in one
another) the decoder itself is to be asked. So a yes too few costs time, and a yes too many is what
`tests/contract/test_merges.py` looks for.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy, memset

from stream.otlp._wire cimport FIXED32, FIXED64, LENGTH, VARINT

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

cdef enum:
    FIELDS_MAX = TAGS >> 3

cdef uint64_t NOT_ASCII = 0x8080808080808080

# What a field is on the wire, by its type in the schema.
WIRE = {
    **dict.fromkeys(
        (
            FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_INT32,
            FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_ENUM,
        ),
        (VARINT, OTHER),
    ),
    FieldDescriptor.TYPE_DOUBLE: (FIXED64, OTHER),
    FieldDescriptor.TYPE_FIXED64: (FIXED64, OTHER),
    FieldDescriptor.TYPE_FIXED32: (FIXED32, OTHER),
    FieldDescriptor.TYPE_BYTES: (LENGTH, OTHER),
    FieldDescriptor.TYPE_STRING: (LENGTH, TEXT),
    FieldDescriptor.TYPE_MESSAGE: (LENGTH, MESSAGE),
}
KNOWN = {}  # the schemas of this process by full name; they live as long as it does


cdef class _Known:
    cdef Schema *schema


cdef const Schema *schema_of(object descriptor) except NULL:
    """Return the schema of a message and of all that it holds."""
    cdef _Known known = KNOWN.get(descriptor.full_name)
    if known is None:
        known = _Known()
        known.schema = <Schema *>calloc(1, sizeof(Schema))
        if known.schema == NULL:
            raise MemoryError
        KNOWN[descriptor.full_name] = known
        fill(known.schema, descriptor)
    return known.schema


cdef int fill(Schema *schema, object descriptor) except -1:
    cdef int number, tag, wire, does
    # Field number 0, groups, and the wire types 6 and 7 stay odd.
    for number in range(1, FIELDS_MAX):
        for tag in (VARINT, FIXED64, LENGTH, FIXED32):
            schema.does[number << 3 | tag] = OTHER
    for field in descriptor.fields:
        assert field.number < FIELDS_MAX, f"{field.full_name}: its tag is not in the table"
        tag = field.number << 3
        memset(&schema.does[tag], ODD, 8)
        if field.type not in WIRE:
            continue
        wire, does = WIRE[field.type]
        schema.does[tag | wire] = does
        if does == MESSAGE:
            schema.message[tag | wire] = schema_of(field.message_type)
    return 0


cdef bint is_text(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Return whether the bytes are UTF-8."""
    return is_ascii(at, end) or is_utf_8(at, end)


cdef inline bint is_ascii(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Return whether no byte has its highest bit set; what is left of a text is read with it.

    Most texts are, and shorter than a hundred bytes: byte by byte, their ends take longest.
    """
    cdef uint64_t seen = 0, eight
    cdef uint32_t four
    if end - at >= 8:
        while end - at > 8:
            memcpy(&eight, at, 8)
            seen |= eight
            at += 8
        memcpy(&eight, end - 8, 8)
        return (seen | eight) & NOT_ASCII == 0
    if end - at >= 4:
        memcpy(&four, at, 4)
        seen = four
        memcpy(&four, end - 4, 4)
        return (seen | four) & NOT_ASCII == 0
    while at < end:
        seen |= at[0]
        at += 1
    return seen & NOT_ASCII == 0


cdef bint is_utf_8(const uint8_t *at, const uint8_t *end) noexcept nogil:
    """Return whether the bytes are UTF-8: table 3-7 of the Unicode standard."""
    cdef uint64_t eight
    cdef uint8_t first, low, high
    cdef int more
    while at < end:
        if end - at >= 8:
            memcpy(&eight, at, 8)
            if eight & NOT_ASCII == 0:
                at += 8
                continue
        first = at[0]
        at += 1
        if first < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
            if first == 0xE0:
                low = 0xA0
            elif first == 0xED:
                high = 0x9F
        elif 0xF0 <= first <= 0xF4:
            more = 3
            if first == 0xF0:
                low = 0x90
            elif first == 0xF4:
                high = 0x8F
        else:
            return False
        if end - at < more or at[0] < low or at[0] > high:
            return False
        while more > 1:
            at += 1
            more -= 1
            if at[0] & 0xC0 != 0x80:
                return False
        at += 1
    return True


cdef bint is_sound(
    const Schema *schema, const uint8_t *at, const uint8_t *end, int depth
) noexcept nogil:
    """Return whether a message is surely decodable. `depth`: how many messages it lies in."""
    cdef uint32_t tag, length
    if depth > DEPTH_MAX:
        return False
    while at < end:
        at = next_field(schema, at, end, &tag, &length)
        if at == NULL:
            return False
        if length and not is_sound_content(schema, tag, at, at + length, depth):
            return False
        at += length
    return True


cdef bint is_sound_content(
    const Schema *schema, uint32_t tag, const uint8_t *at, const uint8_t *end, int depth
) noexcept nogil:
    """Return whether what a field of the message holds is surely decodable."""
    if tag >= TAGS or schema.does[tag] == OTHER:
        return True
    if schema.does[tag] == TEXT:
        return is_text(at, end)
    return is_sound(schema.message[tag], at, end, depth + 1)


def is_surely_decodable(bytes record not None):
    """Return whether a `TracesData` message is surely one all the way down."""
    cdef const uint8_t *start = record
    return is_sound(schema_of(TracesData.DESCRIPTOR), start, start + len(record), 0)
