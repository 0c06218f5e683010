"""Records that a broken or hostile producer may send: made by hand, and by mutation from a seed."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random

TRACE_ID, SPAN_ID = b"\xba" * 16, b"\xd0" * 8
DEEP = 10_000
ERROR_STATUS = b"\x7a\x02\x18\x02"
INVALID_TRACE_IDS = (b"", bytes(16), b"\xba", b"\xba" * 15, b"\xba" * 17, b"\xba" * 5_000)
INVALID_SPAN_IDS = (b"", bytes(8), b"\xd0" * 7, b"\xd0" * 9)


def field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])


def span(*fields: bytes, trace_id: bytes = TRACE_ID, span_id: bytes = SPAN_ID) -> bytes:
    """Return a span in error (so that its trace is kept), as a field of its scope."""
    return field(2, field(1, trace_id) + field(2, span_id) + ERROR_STATUS + b"".join(fields))


def record(*spans: bytes, resource: bytes = b"", trailing: bytes = b"") -> bytes:
    """Return these spans below one scope and one resource, and bytes after all of that."""
    return field(1, field(1, resource) + field(2, b"".join(spans))) + trailing


def attribute(value: bytes) -> bytes:
    """Return an attribute of a span with the key `k`; the value is an `AnyValue`'s content."""
    return field(9, field(1, b"k") + field(2, value))


def string(size: int) -> bytes:
    return field(1, b"x" * size)


def nested(levels: int, *, number: int, between: tuple[int, ...] = ()) -> bytes:
    """Return a value within a value within a value: lists (5) or maps (6, with what they hold)."""
    content = b""
    for _ in range(levels):
        for inner in between:
            content = field(inner, content)
        content = field(number, field(1, content))
    return content


# Whole records that cannot be decoded: each is one dead letter, `malformed`.
MALFORMED: dict[str, bytes] = {
    "plain text": b"plain text",
    "zeros": bytes(1_000),
    "ones": b"\xff" * 1_000,
    "a length beyond the record": b"\x0a\xff\xff\xff\x7f",
    "a length of 4 GiB": b"\x0a\xff\xff\xff\xff\x0f" + record(span()),
    "a length of more than 32 bits": b"\x0a\xff\xff\xff\xff\x7f" + record(span()),
    "a varint that never ends": b"\x08" + b"\xff" * 500,
    "a record cut short": record(span())[:-1],
    "a span that reaches into its neighbour": record(b"\x12\x40" + span()[2:]),
    "a scope that reaches beyond its resource": field(1, b"\x12\x7f" + span()),
    "field number 0": record(span(b"\x02\x00")),
    "wire type 6": record(span(b"\x0e")),
    "a group that nobody closes": record(span(b"\x83\x01")),
    "a group closed by another's number": record(span(b"\x83\x01\x8c\x01")),
    "groups 10,000 deep": record(span(b"\x83\x01" * DEEP + b"\x84\x01" * DEEP)),
    "JSON cut short": b'{"resourceSpans": [',
    "JSON lists 10,000 deep": b'{"resourceSpans": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "JSON objects 10,000 deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "JSON of other types": b'{"resourceSpans": {"scopeSpans": 7}}',
    "JSON numbers of 100,000 digits": b'{"resourceSpans": %b}' % (b"9" * 100_000),
    "JSON with NaN": b'{"resourceSpans": [NaN]}',
    "JSON that is not UTF-8": b'{"resourceSpans": "\xff"}',
}

# Spans that the scan takes, for their attributes are opaque, and no decoder does.
UNDECODABLE: dict[str, bytes] = {
    "a name that is not UTF-8": span(field(5, b"\xff\xfe")),
    "an attribute with a length that lies": span(field(9, b"\x0a\x7fk")),
    "lists 10,000 deep": span(attribute(nested(DEEP, number=5))),
    "maps 10,000 deep": span(attribute(nested(DEEP, number=6, between=(2,)))),
    "an event that is none": span(field(11, b"\xff\xff")),
}

# Spans that look odd and are legal.
LEGAL: dict[str, bytes] = {
    "10,000 attributes": span(attribute(string(4)) * 10_000),
    "lists 40 deep": span(attribute(nested(40, number=5))),
    "times at both ends of 64 bits": span(b"\x39" + b"\xff" * 8 + b"\x41" + b"\x01" + bytes(7)),
    "a status of no code, then an error": span(
        b"\x7a\x0a\x18" + b"\xff" * 8 + b"\x7f" + ERROR_STATUS
    ),
    "ids said twice": span(field(1, b"\x01" * 16), field(1, TRACE_ID)),
    "groups 50 deep": span(b"\x83\x40" * 50 + b"\x84\x40" * 50),
    "fields of the future": span(field(900, b"new") * 1_000),
    "a tracestate of commas": span(field(3, b"," * 10_000)),
}


def json_record(*, spans: int, depth: int = 0) -> bytes:
    """Return OTLP/JSON; the first span's attribute is a list in lists, so many deep."""
    value: dict[str, object] = {"stringValue": "x"}
    for _ in range(depth):
        value = {"arrayValue": {"values": [value]}}
    ids: dict[str, object] = {"traceId": TRACE_ID.hex(), "status": {"code": 2}}
    found: list[dict[str, object]] = [
        {**ids, "spanId": f"{index:016x}"} for index in range(1, spans + 1)
    ]
    found[0]["attributes"] = [{"key": "k", "value": value}]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": found}]}]}).encode()


class Mutations:
    """Endless broken copies of sound records, the same for the same seed."""

    def __init__(self, rng: Random, sound: Sequence[bytes]) -> None:
        self._rng = rng
        self._sound = sound
        self._ways: tuple[Callable[[bytearray], None], ...] = (
            self._flip_bits,
            self._truncate,
            self._splice,
            self._lie_about_a_length,
            self._swap_a_tag,
            self._repeat,
            self._nest,
            self._overflow,
            self._insert_noise,
        )

    def __iter__(self) -> Iterator[bytes]:
        rng = self._rng
        while True:
            value = bytearray(rng.choice(self._sound))
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                if value:
                    rng.choice(self._ways)(value)
            yield bytes(value)

    def _flip_bits(self, value: bytearray) -> None:
        for _ in range(self._rng.randint(1, 4)):
            value[self._rng.randrange(len(value))] ^= 1 << self._rng.randrange(8)

    def _truncate(self, value: bytearray) -> None:
        del value[self._rng.randrange(len(value)) :]

    def _splice(self, value: bytearray) -> None:
        other = self._rng.choice(self._sound)
        value[self._rng.randrange(len(value)) :] = other[self._rng.randrange(len(other)) :]

    def _lie_about_a_length(self, value: bytearray) -> None:
        value[self._at_a_tag(value) + 1 : 1] = b""
        at = min(self._at_a_tag(value) + 1, len(value) - 1)
        value[at] = self._rng.choice((0, 1, 127, 255, (value[at] + 1) % 128, value[at] // 2))

    def _swap_a_tag(self, value: bytearray) -> None:
        value[self._at_a_tag(value)] = self._rng.randrange(256)

    def _repeat(self, value: bytearray) -> None:
        start = self._at_a_tag(value)
        value[start:start] = value[start : start + self._rng.randint(2, 40)]

    def _nest(self, value: bytearray) -> None:
        start, levels = self._at_a_tag(value), self._rng.choice((1, 10, 99, 100, 101, 300))
        value[start:start] = b"\x83\x40" * levels + b"\x84\x40" * self._rng.choice((levels, 0))

    def _overflow(self, value: bytearray) -> None:
        start = self._at_a_tag(value)
        value[start:start] = b"\x30" + b"\xff" * self._rng.randint(4, 11) + b"\x01"

    def _insert_noise(self, value: bytearray) -> None:
        start = self._rng.randrange(len(value))
        value[start:start] = self._rng.randbytes(self._rng.randint(1, 8))

    def _at_a_tag(self, value: bytearray) -> int:
        """Return where a byte is that is some tag of OTLP's, if it is found from a random place."""
        start = self._rng.randrange(len(value))
        found = value.find(self._rng.choice((b"\x0a", b"\x12", b"\x22", b"\x39", b"\x4a")), start)
        return found if found >= 0 else start
