"""A record of the input topic as the core sees it: scanned, with its place and time in the log."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stream.otlp.fragment import BadSpans, Fragment
from stream.sampling.control import Pin
from stream.sampling.limits import Limits

NO_TIMESTAMP = -1

HEADER_BYTES = 250
"""What Python holds for a header beside its bytes (an estimate)."""

Headers = Sequence[tuple[str, bytes]]


class RecordKind(StrEnum):
    """What a record of the input topic is."""

    SPANS = "spans"
    CONTROL = "control"
    SKIPPED = "skipped"


@dataclass(slots=True)
class Record:
    """One record. `timestamp_ms` is the broker's or the producer's, `NO_TIMESTAMP` without one.

    `key`, and `bad` (what cannot be sampled, and why), are kept for the dead letters; `headers` are
    those that go out with the traces. `pin` is what a control record asks for.
    """

    offset: int
    timestamp_ms: int
    kind: RecordKind = RecordKind.SPANS
    fragments: list[Fragment] = field(default_factory=list)
    bad: list[BadSpans] = field(default_factory=list)
    key: bytes | None = None
    headers: Headers = ()
    pin: Pin | None = None


def copy_headers(headers: Headers, held: dict[tuple[str, bytes], None], limits: Limits) -> bool:
    """Add headers to those `held`; False where a limit left some out."""
    size = headers_bytes(held) - len(held) * HEADER_BYTES
    for header in headers:
        if header in held:
            continue
        size += len(header[0]) + len(header[1])
        if len(held) >= limits.trace_headers_max or size > limits.trace_headers_bytes_max:
            return False
        held[header] = None
    return True


def headers_bytes(headers: Iterable[tuple[str, bytes]]) -> int:
    """Return what they take in memory."""
    return sum([HEADER_BYTES + len(name) + len(content) for name, content in headers])
