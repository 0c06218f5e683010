"""What tells the spans of one trace apart: the id, and whether the span is a server's.

Zipkin's instrumentation gives a call's client and server one id ("shared", Brave's `supportsJoin`:
https://github.com/openzipkin/b3-propagation): two spans, and no duplicates.
"""

from typing import Final

KIND_SERVER: Final = 2
"""`Span.SpanKind` of OTLP."""

SERVER_BITS: Final = bytes.fromhex("830ef117e1386dfc")
"""The first bytes of the SHA-256 of "SERVER": no ids differ by them, whoever counts them up."""


def span_key(span_id: bytes, kind: int) -> bytes:
    """Return a span's key, as long as its id: the id, of a SERVER span with `SERVER_BITS` flipped.

    `kind` is a number of `Span.SpanKind`, or any other. Keys of a trace fall together where the
    spans do, and else no likelier than two ids that are drawn by chance.
    """
    if kind != KIND_SERVER:
        return span_id
    flipped = bytes([one ^ other for one, other in zip(span_id, SERVER_BITS, strict=False)])
    return flipped + span_id[len(SERVER_BITS) :]
