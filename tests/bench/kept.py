"""Which traces must come out: the policies counted on the corpus with the OTLP library."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from tests.harness.oracle import probably_kept
from tests.harness.reading import Stored

SLOW_MS = 1_000
PERCENTAGE = 5
MS = 1_000_000


class WrongOutputError(Exception):
    """The worker did not keep what it had to keep: its figures mean nothing."""


@dataclass(slots=True)
class _Trace:
    start_ns: int
    end_ns: int = 0
    errors: int = 0
    span_ids: list[bytes] = field(default_factory=list)

    def add(self, span: Span) -> None:
        self.start_ns = min(self.start_ns, span.start_time_unix_nano)
        self.end_ns = max(self.end_ns, span.end_time_unix_nano)
        self.errors += span.status.code == Status.STATUS_CODE_ERROR
        self.span_ids.append(span.span_id)


class Expected:
    """Takes the records as they are produced; knows then what must become of them."""

    def __init__(self) -> None:
        self.spans = 0
        self._traces: dict[bytes, _Trace] = {}

    def add(self, value: bytes) -> None:
        """Take one record."""
        for span in _spans(value):
            self.spans += 1
            trace = self._traces.get(span.trace_id)
            if trace is None:
                trace = self._traces[span.trace_id] = _Trace(span.start_time_unix_nano)
            trace.add(span)

    @property
    def traces(self) -> int:
        """How many traces there are."""
        return len(self._traces)

    def kept(self) -> dict[bytes, list[bytes]]:
        """Return the sorted span ids of each trace that a policy keeps, by trace id."""
        return {
            trace_id: sorted(trace.span_ids)
            for trace_id, trace in self._traces.items()
            if trace.errors
            or (trace.end_ns - trace.start_ns) // MS > SLOW_MS
            or probably_kept(trace_id, PERCENTAGE)
        }


def check_output(kept: dict[bytes, list[bytes]], output: Iterable[Stored]) -> None:
    """Compare the kept traces with what came out, span id by span id.

    Raises:
        WrongOutputError: a trace or a span is missing, too many, or there twice.
    """
    found: dict[bytes, list[bytes]] = {}
    for record in output:
        for span in _spans(record.value):
            found.setdefault(span.trace_id, []).append(span.span_id)
    wrong = [
        trace_id
        for trace_id in kept.keys() | found.keys()
        if kept.get(trace_id) != sorted(found.get(trace_id, []))
    ]
    if wrong:
        raise WrongOutputError(
            f"{len(wrong)} traces came out wrong, {wrong[0].hex()} among them: "
            f"{len(kept)} traces of {sum(map(len, kept.values()))} spans were to be kept, "
            f"{len(found)} of {sum(map(len, found.values()))} came"
        )


def _spans(value: bytes) -> Iterable[Span]:
    for resource in TracesData.FromString(value).resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans
