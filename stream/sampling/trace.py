"""An open trace: the running summary of its spans, and where they lie in the log."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream import compiled
from stream.otlp.fragment import Fragment

TRACE_BYTES = 1_100
"""What Python holds for a trace, open or undelivered, beside what follows (measured)."""

RECORD_BYTES = 48
"""What Python holds for each of its offsets."""


@dataclass(slots=True)
class OpenTrace:
    """What is known of a trace that has not been decided.

    `opened_ms` is the partition time at its first record, `last_ms` that at its last one, and
    `deadline_ms` the one that cuts it; `headers` are those of its records that go out with it, each
    once. `pin`: who pinned it, None where nobody has. The rest is the sum of its fragments'
    summaries (see `Fragment` for the units).
    """

    trace_id: bytes
    first_offset: int
    opened_ms: int
    deadline_ms: int
    spans: int = 0
    errors: int = 0
    start_ns: int = 0
    end_ns: int = 0
    root: bool = False
    bits: int = 0
    body_bytes: int = 0
    last_ms: int = 0
    offsets: list[int] = field(default_factory=list)
    headers: dict[tuple[str, bytes], None] = field(default_factory=dict)
    held_bytes: int = TRACE_BYTES
    pin: str | None = None

    def fold(self, fragment: Fragment, offset: int) -> None:
        """Add a fragment's summary; its body is the span store's."""
        self.spans += fragment.spans
        self.errors += fragment.errors
        self.bits |= fragment.bits
        self.body_bytes += len(fragment.body)
        if fragment.start_ns and (not self.start_ns or fragment.start_ns < self.start_ns):
            self.start_ns = fragment.start_ns
        self.end_ns = max(self.end_ns, fragment.end_ns)
        self.root = self.root or fragment.root
        self.offsets.append(offset)
        self.held_bytes += RECORD_BYTES

    @property
    def duration_us(self) -> int:
        """Latest end minus earliest start in microseconds, 0 where either is unknown."""
        if not self.start_ns or self.end_ns <= self.start_ns:
            return 0
        return (self.end_ns - self.start_ns) // 1000


PureOpenTrace = OpenTrace
"""The one in Python, whichever core runs."""

if not TYPE_CHECKING and compiled.RUNS:
    from stream.sampling._trace import OpenTrace, held_by

    assert held_by() == (TRACE_BYTES, RECORD_BYTES), "both cores count the same"
