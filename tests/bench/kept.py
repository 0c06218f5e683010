"""Which traces must come out: the policies counted on the corpus with the OTLP library."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from tests.bench.policies import REFERENCE, SLOW_MS, Keeping
from tests.harness.oracle import probably_kept
from tests.harness.reading import Stored

MS = 1_000_000

Kept = Mapping[bytes, list[bytes]]
"""The sorted span ids of each kept trace, by trace id."""


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

    def kept(self, keeping: Keeping = REFERENCE) -> Kept:
        """Return what must come out."""
        return {
            trace_id: sorted(trace.span_ids)
            for trace_id, trace in self._traces.items()
            if (keeping.errors and trace.errors)
            or (keeping.slow and (trace.end_ns - trace.start_ns) // MS > SLOW_MS)
            or probably_kept(trace_id, keeping.percentage)
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """What came out against what had to: traces by how they differ. `wrong` names some of them."""

    to_keep: int
    missing: int
    in_part: int
    too_many: int
    repeated: int
    wrong: list[bytes]

    def __bool__(self) -> bool:
        return bool(self.wrong)

    def __str__(self) -> str:
        if not self:
            return f"all {self.to_keep:,} traces, whole"
        return (
            f"of {self.to_keep:,} traces {self.missing:,} missing, {self.in_part:,} in part, "
            f"{self.repeated:,} with spans twice; {self.too_many:,} that no policy keeps"
        )


def difference(kept: Kept, output: Iterable[Stored]) -> Difference:
    """Compare the kept traces with what came out, span id by span id."""
    found: dict[bytes, list[bytes]] = {}
    for record in output:
        for span in _spans(record.value):
            found.setdefault(span.trace_id, []).append(span.span_id)
    wrong = sorted(
        trace_id
        for trace_id in kept.keys() | found.keys()
        if kept.get(trace_id) != sorted(found.get(trace_id, []))
    )
    both = [trace_id for trace_id in wrong if trace_id in kept and trace_id in found]
    return Difference(
        to_keep=len(kept),
        missing=sum(trace_id not in found for trace_id in wrong),
        in_part=sum(not set(kept[trace_id]) <= set(found[trace_id]) for trace_id in both),
        too_many=sum(trace_id not in kept for trace_id in wrong),
        repeated=sum(len(found[trace_id]) > len(set(found[trace_id])) for trace_id in both),
        wrong=wrong[:10],
    )


def check_output(kept: Kept, output: Iterable[Stored]) -> None:
    """Compare the kept traces with what came out.

    Raises:
        WrongOutputError: a trace or a span is missing, too many, or there twice.
    """
    found = difference(kept, output)
    if found:
        raise WrongOutputError(f"{found}; {found.wrong[0].hex()} among them")


def _spans(value: bytes) -> Iterable[Span]:
    for resource in TracesData.FromString(value).resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans
