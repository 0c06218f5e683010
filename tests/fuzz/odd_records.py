"""Records as no sane exporter writes them, made from a seed: legal ones in odd forms, and broken.

A legal record is built level by level out of fields in any order, repeated, empty, with unknown
fields of every wire type between them, tags and lengths in more bytes than they need. A broken one
is a record with some of its bytes changed. Both know which keys and values the plans ask for.
"""

import struct
from collections.abc import Callable
from random import Random

from stream.otlp.fragment import SPAN_ID_BYTES, TRACE_ID_BYTES
from stream.otlp.wire import encode_varint

TRACE_IDS = [bytes([number]) * TRACE_ID_BYTES for number in (1, 1, 1, 1, 1, 1, 1, 2, 0)]
SPAN_IDS = [bytes([number]) * SPAN_ID_BYTES for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]
# SERVER is 2, as often as all others, and where only the low 32 bits are.
SPAN_KINDS = (0, 1, 2, 2, 2, 3, 300, 2**32 + 2, 2**63 + 2, 2**64 - 1)
LONG_KEY = b"k" * 200
KEYS = (b"a", b"a", b"bb", b"bb", b"cc", b"", LONG_KEY, b"k" * 199 + b"l", b"unwanted")
TEXTS = (b"", b"x", b"xx", b"y", b"yx", b"x" * 300, "é".encode(), b"\xff")
NUMBERS = (0, 1, 2, 5, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1)
REALS = (
    *(0.0, -0.0, 0.5, -1.5, 5.0, 2.0**53, 2.0**63, -(2.0**63), 1e300, -1e300),
    *(float("inf"), float("-inf"), float("nan")),
)
OCTETS = (0x00, 0x01, 0x02, 0x07, 0x08, 0x0A, 0x0B, 0x0C, 0x12, 0x22, 0x4A, 0x7A, 0x7F, 0x80, 0xFF)
MUTATIONS_MAX = 4


def odd_record(rng: Random) -> bytes:
    """Return a legal record: mostly of one trace."""
    return _message(rng, (lambda: _field(rng, 1, _resource_spans(rng)),), at_most=3)


def broken(rng: Random, record: bytes, other: bytes) -> bytes:
    """Return the record with a few of its bytes changed, cut, repeated or taken of the other."""
    mutated = bytearray(record)
    for _ in range(rng.randint(1, MUTATIONS_MAX)):
        at = rng.randint(0, len(mutated))
        size = min(rng.choice((1, 1, 2, 4, 9, 40)), len(mutated) - at)
        match rng.randrange(7):
            case 0:
                mutated[at : at + 1] = bytes([rng.choice(OCTETS)])
            case 1:
                mutated[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                mutated[at:at] = rng.choice((bytes([rng.choice(OCTETS)]), mutated[at : at + size]))
            case 3:
                del mutated[at : at + size]
            case 4:
                start = rng.randint(0, len(other))
                mutated[at : at + size] = other[start : start + size]
            case 5:
                if at < len(mutated):
                    mutated[at] ^= 1 << rng.randrange(8)
            case _:
                del mutated[at:]
    return bytes(mutated)


def _resource_spans(rng: Random) -> bytes:
    return _message(
        rng,
        (
            lambda: _field(rng, 1, _resource(rng)),
            lambda: _field(rng, 2, _scope_spans(rng)),
            lambda: _field(rng, 2, _scope_spans(rng)),
        ),
        at_most=3,
    )


def _resource(rng: Random) -> bytes:
    return _message(rng, (lambda: _field(rng, 1, _attribute(rng)),), at_most=3)


def _scope_spans(rng: Random) -> bytes:
    return _message(
        rng,
        (lambda: _field(rng, 2, _span(rng)), lambda: _field(rng, 2, _span(rng))),
        at_most=3,
    )


def _span(rng: Random) -> bytes:
    fields = [
        _field(rng, 1, rng.choice(TRACE_IDS)),
        _field(rng, 2, rng.choice(SPAN_IDS) if rng.random() < 0.98 else rng.choice(TEXTS)),
    ]
    fields += [_span_field(rng) for _ in range(rng.choice((0, 1, 2, 3, 5, 8)))]
    rng.shuffle(fields)
    return b"".join(fields)


def _span_field(rng: Random) -> bytes:
    match rng.randrange(9):
        case 0:
            parent = rng.choice((b"", bytes(SPAN_ID_BYTES), bytes(7), SPAN_IDS[0]))
            return _field(rng, 4, parent)
        case 1:
            return _kind(rng)
        case 2 | 3:
            time_ns = struct.pack("<Q", rng.choice((0, 1, 1000, 2000, 2**63, 2**64 - 1)))
            return _field(rng, rng.choice((7, 8)), time_ns, wire_type=1)
        case 4 | 5 | 6:
            return _field(rng, 9, _attribute(rng))
        case 7:
            return _field(rng, 15, _status(rng))
        case _:
            return _unknown(rng)


def _kind(rng: Random) -> bytes:
    if rng.random() < 0.05:  # another wire type: not the field it was
        return _field(rng, 6, b"\x02")
    return _field(rng, 6, _varint(rng, rng.choice(SPAN_KINDS)), wire_type=0)


def _status(rng: Random) -> bytes:
    code = rng.choice((0, 1, 2, 2, 3, 2**32 + 2, 2**64 - 1))
    return _message(
        rng,
        (
            lambda: _field(rng, 3, encode_varint(code), wire_type=0),
            lambda: _field(rng, 2, rng.choice(TEXTS)),
        ),
        at_most=2,
    )


def _attribute(rng: Random) -> bytes:
    if rng.random() < 0.7:  # the usual form
        return _field(rng, 1, rng.choice(KEYS)) + _field(rng, 2, _any_value(rng))
    return _message(
        rng,
        (
            lambda: _field(rng, 1, rng.choice(KEYS)),
            lambda: _field(rng, 2, _any_value(rng)),
        ),
        at_most=4,
    )


def _any_value(rng: Random) -> bytes:
    return _message(rng, (lambda: _any_value_field(rng),), at_most=rng.choice((1, 1, 1, 3)))


def _any_value_field(rng: Random) -> bytes:
    match rng.randrange(6):
        case 0 | 1:
            return _field(rng, 1, rng.choice(TEXTS))
        case 2:
            return _field(rng, 2, _varint(rng, rng.choice(NUMBERS)), wire_type=0)
        case 3:
            return _field(rng, 3, _varint(rng, rng.choice(NUMBERS)), wire_type=0)
        case 4:
            return _field(rng, 4, struct.pack("<d", rng.choice(REALS)), wire_type=1)
        case _:
            return _field(rng, rng.choice((5, 6, 7)), rng.choice(TEXTS))


def _message(rng: Random, makers: tuple[Callable[[], bytes], ...], at_most: int) -> bytes:
    fields = [rng.choice(makers)() for _ in range(rng.randint(0, at_most))]
    if rng.random() < 0.1:
        fields.insert(rng.randint(0, len(fields)), _unknown(rng))
    return b"".join(fields)


def _unknown(rng: Random, depth: int = 0) -> bytes:
    number = rng.choice((3, 11, 16, 1000, 2**29 - 1))
    match rng.randrange(5 if depth < 3 else 4):
        case 0:
            return _field(rng, number, _varint(rng, rng.choice(NUMBERS)), wire_type=0)
        case 1:
            return _field(rng, number, bytes(8), wire_type=1)
        case 2:
            return _field(rng, number, bytes(4), wire_type=5)
        case 3:
            return _field(rng, number, rng.choice(TEXTS))
        case _:
            inner = b"".join(_unknown(rng, depth + 1) for _ in range(rng.randrange(3)))
            start = _tag(rng, number << 3 | 3)
            return start + inner + _tag(rng, number << 3 | 4)


def _field(rng: Random, number: int, content: bytes, wire_type: int = 2) -> bytes:
    tag = _tag(rng, number << 3 | wire_type)
    return tag + _tag(rng, len(content)) + content if wire_type == 2 else tag + content


def _tag(rng: Random, value: int) -> bytes:
    """Return a tag or a length, now and then in more bytes than it needs, at most five."""
    encoded = encode_varint(value)
    return _longer(rng, encoded, 5) if rng.random() < 0.05 else encoded


def _varint(rng: Random, value: int) -> bytes:
    encoded = encode_varint(value)
    return _longer(rng, encoded, 10) if rng.random() < 0.1 else encoded


def _longer(rng: Random, encoded: bytes, bytes_max: int) -> bytes:
    more = rng.randint(0, bytes_max - len(encoded))
    if not more:
        return encoded
    return encoded[:-1] + bytes([encoded[-1] | 0x80]) + b"\x80" * (more - 1) + b"\x00"
