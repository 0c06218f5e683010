"""Whole traces at a steady rate, and metrics with exemplars that point at some of them.

What is sent is known beforehand, by the seed alone: how many spans each trace has, and which traces
each export points at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from random import Random

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from tests.harness.load import MS, START_NS, Planned
from tests.harness.otlp_metrics import ENCODINGS, KINDS, metrics_of
from tests.harness.spans import resource_templates, scope_templates, span_templates

SPANS_A_TRACE = 6
SPANS_A_TRACE_MAX = 40
FRAGMENTS = (1, 1, 2, 2, 3)
SPREAD_S = 1.5
ERROR_SHARE = SLOW_SHARE = 0.01
LATE_SHARE = 0.01
DUPLICATE_SHARE = 0.005
SERVICES = (b"gateway", b"payment", b"ledger", b"shipping", b"psp")
REPEATED_SHARE = 0.05
"""Of an export's exemplars, those that an earlier one had: a reservoir that nothing new came to."""

EXPORT_HEADER = "test.export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much is sent, and when.

    `metrics_late_s`: how old a trace is at least when metrics point at it. `late_after_s`: when the
    last fragments of a few traces come.
    """

    traces: int = 100_000
    traces_a_s: float = 500.0
    export_every_s: float = 10.0
    exemplars_an_export: int = 300
    metrics_late_s: float = 0.0
    late_after_s: float = 6.0

    @property
    def seconds(self) -> float:
        """How long sending takes."""
        return self.traces / self.traces_a_s


class ExemplarTraffic:
    """Yields what is to be sent, in the order of sending; once.

    `spans` is how many spans each trace has that was yielded so far, by trace id. `exports` are the
    exemplars' trace ids, by the export's number and the service. A trace that an export points at
    began within the last `export_every_s` (before `metrics_late_s`), or an earlier one had it.
    """

    def __init__(self, seed: int, shape: Shape, *, metrics_topic: str) -> None:
        self.spans: dict[bytes, int] = {}
        self.exports: dict[tuple[int, bytes], list[bytes]] = {}
        self._shape = shape
        self._metrics_topic = metrics_topic
        self._rng = Random(f"exemplars {seed}")
        self._sketches = (span_templates(), resource_templates(), scope_templates())
        self._waiting: list[tuple[float, int, Planned]] = []
        self._planned = 0
        self._begun: list[tuple[float, bytes]] = []
        self._shown: list[bytes] = []

    def __iter__(self) -> Iterator[Planned]:
        shape = self._shape
        exports = 0
        for number in range(shape.traces):
            at_s = number / shape.traces_a_s
            if at_s >= (exports + 1) * shape.export_every_s:
                exports += 1
                self._export(exports, exports * shape.export_every_s)
            self._trace(at_s)
            while self._waiting and self._waiting[0][0] <= at_s:
                yield heappop(self._waiting)[2]
        # The last one looks as far back as it must: no trace is to be out of every export's sight.
        self._export(exports + 1, shape.seconds)
        self._export(exports + 2, shape.seconds + shape.metrics_late_s)
        while self._waiting:
            yield heappop(self._waiting)[2]

    def exemplars(self) -> set[bytes]:
        """Return the traces that exports so far point at."""
        return {trace_id for ids in self.exports.values() for trace_id in ids}

    def _plan(self, planned: Planned) -> None:
        self._planned += 1
        heappush(self._waiting, (planned.at_s, self._planned, planned))

    def _trace(self, at_s: float) -> None:
        rng = self._rng
        trace_id = rng.randbytes(16)
        spans = self._spans(trace_id, at_s)
        self.spans[trace_id] = len(spans)
        self._begun.append((at_s, trace_id))
        fragments = _cut(rng, spans, rng.choice(FRAGMENTS))
        for number, fragment in enumerate(fragments):
            value = self._value(fragment)
            sent_s = at_s + (SPREAD_S * rng.random() if number else 0.0)
            if number and number == len(fragments) - 1 and rng.random() < LATE_SHARE:
                sent_s += self._shape.late_after_s * (1 + rng.random())
            self._plan(Planned(sent_s, trace_id.hex().encode(), value))
            if rng.random() < DUPLICATE_SHARE:
                again_s = sent_s + rng.choice((0.1, self._shape.late_after_s))
                self._plan(Planned(again_s, trace_id.hex().encode(), value))

    def _export(self, number: int, at_s: float) -> None:
        """Plan an export: of each service a record, with a metric of each kind."""
        rng, shape = self._rng, self._shape
        until_s = at_s - shape.metrics_late_s
        ready = [trace_id for begun_s, trace_id in self._begun if begun_s < until_s]
        self._begun = self._begun[len(ready) :]
        chosen = rng.sample(ready, min(shape.exemplars_an_export, len(ready)))
        again = min(len(self._shown), int(REPEATED_SHARE * len(chosen)))
        chosen[:again] = rng.sample(self._shown, again)
        self._shown = chosen
        for index, service in enumerate(SERVICES):
            shown = chosen[index :: len(SERVICES)]
            if not shown:
                continue
            self.exports[number, service] = shown
            points = [
                (kind, [(trace_id, 0) for trace_id in shown[start :: len(KINDS)]])
                for start, kind in enumerate(KINDS)
            ]
            value = ENCODINGS["json" if index % 2 else "protobuf"](metrics_of(points))
            headers = ((EXPORT_HEADER, b"%d" % number),)
            self._plan(Planned(at_s, service, value, headers, self._metrics_topic))

    def _spans(self, trace_id: bytes, at_s: float) -> list[Span]:
        """Return a trace's spans, the root first."""
        rng = self._rng
        count = min(SPANS_A_TRACE_MAX, 1 + int(rng.expovariate(1 / (SPANS_A_TRACE - 1))))
        start_ns = START_NS + int(at_s * 1e9)
        lasted_ms = rng.randrange(1, 900)
        if rng.random() < SLOW_SHARE:
            lasted_ms = rng.randrange(1_100, 4_000)
        ids = [rng.randbytes(8) for _ in range(count)]
        spans: list[Span] = []
        for span_id in ids:
            span = Span()
            span.CopyFrom(rng.choice(self._sketches[0]))
            span.trace_id, span.span_id = trace_id, span_id
            span.parent_span_id = ids[0] if spans else b""
            begins_ms = rng.randrange(lasted_ms) if spans else 0
            span.start_time_unix_nano = start_ns + begins_ms * MS
            span.end_time_unix_nano = start_ns + lasted_ms * MS
            spans.append(span)
        if rng.random() < ERROR_SHARE:
            rng.choice(spans).status.code = Status.STATUS_CODE_ERROR
        return spans

    def _value(self, spans: list[Span]) -> bytes:
        _, resources, scopes = self._sketches
        message = TracesData()
        resource = message.resource_spans.add()
        resource.CopyFrom(self._rng.choice(resources))
        scope = resource.scope_spans.add()
        scope.CopyFrom(self._rng.choice(scopes))
        scope.spans.extend(spans)
        return message.SerializeToString()


def _cut(rng: Random, spans: list[Span], pieces: int) -> list[list[Span]]:
    edges = sorted({0, len(spans), *(rng.randrange(len(spans)) for _ in range(pieces - 1))})
    return [spans[start:end] for start, end in pairwise(edges)]
