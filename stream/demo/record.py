"""One record that the generator makes."""

from dataclasses import dataclass
from enum import StrEnum


class RecordKind(StrEnum):
    """Why a record is sent: for its spans, late, once more, or to be refused."""

    SPANS = "spans"
    LATE = "late"
    RESENT = "resent"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Record:
    """A record to send, and what it holds.

    `key`: the trace id, 32 lowercase hex ASCII, as the Collector keys it. `at_s`: when to send it,
    in seconds from the start of the load. `span_ids`: 8 bytes each, empty for a malformed record.
    `opens` marks the first record of each trace; `error` and `slow` tell of its whole trace.
    """

    key: bytes
    value: bytes
    at_s: float
    kind: RecordKind
    span_ids: tuple[bytes, ...] = ()
    opens: bool = False
    error: bool = False
    slow: bool = False
