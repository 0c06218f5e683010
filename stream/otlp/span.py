"""Read the few fields of one OTLP span that a summary needs. The rest is skipped by length."""

from typing import Final, TypeAlias

from stream.otlp.attributes import KEY, AttributeTests
from stream.otlp.fragment import SPAN_ID_BYTES
from stream.otlp.wire import LENGTH, Malformed, read_uint32, read_varint, skip

# (trace id, span id, is a root span, start_ns, end_ns, status code, bits of the conditions that its
# attributes meet, kind). A tuple: one is made for every span that comes in, and dies at once.
SpanFields: TypeAlias = tuple[bytes, bytes, bool, int, int, int, int, int]

STATUS_UNSET, STATUS_OK, STATUS_ERROR = 0, 1, 2

# One-byte tags of opentelemetry.proto.trace.v1.Span: field number << 3 | wire type.
_TRACE_ID: Final = 1 << 3 | LENGTH
_SPAN_ID: Final = 2 << 3 | LENGTH
_PARENT_SPAN_ID: Final = 4 << 3 | LENGTH
_KIND: Final = 6 << 3
_START: Final = 7 << 3 | 1
_END: Final = 8 << 3 | 1
_ATTRIBUTE: Final = 9 << 3 | LENGTH
_STATUS: Final = 15 << 3 | LENGTH
_STATUS_CODE: Final = 3 << 3
_CONTINUES: Final = 0x80
_NO_SPAN: Final = bytes(SPAN_ID_BYTES)
_INT32_MASK: Final = (1 << 32) - 1


def read_span(  # noqa: C901, PLR0912  # hot: one loop, no call a field
    buffer: bytes, position: int, end: int, tests: AttributeTests | None = None
) -> SpanFields:
    """Return the fields of the span whose content is `buffer[position:end]`.

    As protobuf has it: the last value of a repeated scalar wins, an absent one is 0 or empty, and a
    known field number with another wire type is an unknown field. A status code that OTLP does not
    define is unset, a kind stays the number that it is (the low 32 bits, unsigned). Events and
    links stay opaque, and attributes unless there are `tests` of them. Raises Malformed.
    """
    trace_id = span_id = parent_span_id = b""
    start_ns = end_ns = status = bits = kind = 0
    # Without tests every short attribute is skipped at once; no tag is below 0.
    opaque = -1 if tests else _ATTRIBUTE
    key_starts = tests.key_starts if tests else frozenset()
    try:
        while position < end:
            tag = buffer[position]
            # Every field has at least one byte after its tag: a length, if it has one.
            length = buffer[position + 1]
            position += 2
            if tag == opaque and length < _CONTINUES:
                position += length
                continue
            if tag >= _CONTINUES:
                tag, position = read_uint32(buffer, position - 2)
                length = buffer[position]
                position += 1
            if tag & 7 == LENGTH and tag > LENGTH:
                if length >= _CONTINUES:
                    length, position = read_uint32(buffer, position - 1)
                if tag == _TRACE_ID:
                    trace_id = buffer[position : position + length]
                elif tag == _SPAN_ID:
                    span_id = buffer[position : position + length]
                elif tag == _PARENT_SPAN_ID:
                    parent_span_id = buffer[position : position + length]
                elif tag == _STATUS:
                    status = _status_code(buffer, position, position + length, status)
                elif (
                    tests
                    and tag == _ATTRIBUTE
                    and length > 1  # there is room for a key
                    and (buffer[position + 1] in key_starts or buffer[position] != KEY)
                ):
                    bits |= tests.bits(buffer, position, position + length)
                position += length
            elif tag == _START:
                start_ns = int.from_bytes(buffer[position - 1 : position + 7], "little")
                position += 7
            elif tag == _END:
                end_ns = int.from_bytes(buffer[position - 1 : position + 7], "little")
                position += 7
            elif tag != _KIND:
                position = skip(buffer, position - 1, tag)
            elif length < _CONTINUES:
                kind = length
            else:
                kind, position = read_varint(buffer, position - 1)
                kind &= _INT32_MASK
    except IndexError:
        raise Malformed("a span reaches beyond the end of the record") from None
    if position != end:
        raise Malformed("a field reaches beyond the end of its span")
    # All zeros is how some exporters write "no parent"; the Collector's pdata reads it so too.
    root = not parent_span_id or parent_span_id == _NO_SPAN
    return trace_id, span_id, root, start_ns, end_ns, status, bits, kind


def _status_code(buffer: bytes, position: int, end: int, code: int) -> int:
    """Return the code of this status message, or the one before it if it holds none."""
    while position < end:
        tag, position = read_uint32(buffer, position)
        if tag == _STATUS_CODE:
            value, position = read_varint(buffer, position)
            code = value & _INT32_MASK
            if code > STATUS_ERROR:
                code = STATUS_UNSET
        else:
            position = skip(buffer, position, tag)
    if position != end:
        raise Malformed("a field reaches beyond the end of its status")
    return code
