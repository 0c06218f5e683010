"""Control records of the input topic: what one asks for, and how it is written.

A control record has the trace id as its key, in 32 lowercase hexadecimal digits, an empty value
(`{}` on JSON topics, never null) and the header `tailstream.control`: a msgpack map.
`{v: 1, kind: "pin", ttl_ms, source}` keeps the trace. It rides beside the trace's spans, so the two
meet in one partition and in one order.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgpack

CONTROL_HEADER: Final = "tailstream.control"
CONTROL_VERSION: Final = 1
PIN_KIND: Final = "pin"
SOURCE_BYTES_MAX: Final = 128
TTL_MS_MAX: Final = 2**40
"""35 years: a deadline after it is still a number of 64 bits."""

_TRACE_ID_BYTES: Final = 16
_NO_TRACE: Final = bytes(_TRACE_ID_BYTES)


@dataclass(frozen=True, slots=True)
class Pin:
    """A wish that a trace be kept, whatever the policies say.

    `trace_id` has 16 bytes. `ttl_ms` is how long the pin waits for the trace's first span, in
    partition time; a worker waits no longer than it remembers decisions. `source` says in a few
    words who asks, and goes into the decision record: at most `SOURCE_BYTES_MAX` of UTF-8.
    """

    trace_id: bytes
    ttl_ms: int
    source: str

    def __post_init__(self) -> None:
        """Refuse what no worker would take.

        Raises:
            ValueError: says which part, and what it must be.
        """
        if len(self.trace_id) != _TRACE_ID_BYTES or self.trace_id == _NO_TRACE:
            raise ValueError(f"trace id {self.trace_id.hex()!r}: 16 bytes, not all zero")
        if not 0 < self.ttl_ms <= TTL_MS_MAX:
            raise ValueError(f"ttl_ms {self.ttl_ms}: from 1 to {TTL_MS_MAX}")
        if not 0 < len(self.source.encode()) <= SOURCE_BYTES_MAX:
            raise ValueError(f"source {self.source!r}: from 1 to {SOURCE_BYTES_MAX} bytes of UTF-8")

    @property
    def key(self) -> bytes:
        """The key of its control record."""
        return self.trace_id.hex().encode()


def encode(pin: Pin) -> bytes:
    """Return the content of the header `tailstream.control`."""
    packed: bytes = msgpack.packb(
        {"v": CONTROL_VERSION, "kind": PIN_KIND, "ttl_ms": pin.ttl_ms, "source": pin.source}
    )
    return packed


def decode(key: bytes | None, header: bytes | None) -> Pin:
    """Return the pin of a control record with this key and header.

    Fields that this release does not know are ignored.

    Raises:
        ValueError: none of a kind and version that this release reads.
    """
    try:
        return _pin(_trace_id(key), msgpack.unpackb(header or b""))
    except Exception as problem:  # a foreign writer can make msgpack and us raise nearly anything
        raise ValueError(f"not a control record: {problem!r}") from problem


def _pin(trace_id: bytes, fields: dict[str, Any]) -> Pin:
    if (fields["v"], fields["kind"]) != (CONTROL_VERSION, PIN_KIND):
        raise ValueError(f"version {fields['v']!r}, kind {fields['kind']!r}")
    ttl_ms, source = fields["ttl_ms"], fields["source"]
    if type(ttl_ms) is not int or type(source) is not str:
        raise ValueError("ttl_ms is a number and source a text")
    return Pin(trace_id, ttl_ms, source)


def _trace_id(key: bytes | None) -> bytes:
    trace_id = bytes.fromhex((key or b"").decode("ascii"))
    if trace_id.hex().encode() != key:
        raise ValueError("the key is not a trace id in 32 lowercase hexadecimal digits")
    return trace_id
