"""What the generator has sent, to be compared with what came out."""

from collections import Counter
from dataclasses import dataclass, field

from stream.demo.record import Record, RecordKind


@dataclass(slots=True)
class Truth:
    """The sums over the records sent so far.

    `spans` counts every span sent, so late and resent ones too; spans of malformed records are not
    among them. `error_traces` have a span with status ERROR, `slow_traces` took more than a second.
    With `keep_span_ids`, by trace id (16 bytes): `span_ids` are its distinct ids, `resent` its
    spans sent once more. A load without end is better counted without.
    """

    keep_span_ids: bool = True
    traces: int = 0
    spans: int = 0
    records: int = 0
    late_spans: int = 0
    resent_records: int = 0
    resent_spans: int = 0
    malformed: int = 0
    error_traces: int = 0
    slow_traces: int = 0
    span_ids: dict[bytes, set[bytes]] = field(default_factory=dict)
    resent: Counter[bytes] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count a record as sent."""
        spans = len(record.span_ids)
        self.records += 1
        self.spans += spans
        if record.kind is RecordKind.MALFORMED:
            self.malformed += 1
            return
        if record.kind is RecordKind.LATE:
            self.late_spans += spans
        elif record.kind is RecordKind.RESENT:
            self.resent_records += 1
            self.resent_spans += spans
        if record.opens:
            self.traces += 1
            self.error_traces += record.error
            self.slow_traces += record.slow
        if self.keep_span_ids:
            trace_id = bytes.fromhex(record.key.decode())
            self.span_ids.setdefault(trace_id, set()).update(record.span_ids)
            if record.kind is RecordKind.RESENT:
                self.resent[trace_id] += spans
