"""What arrives in the input topic, from a seed: traces in fragments, late, sent again, broken."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from stream.kafka.commit import Headers
from stream.testing.log import PartitionLog
from stream.testing.spans import MS, START_NS, a_span, span_id_of, trace_id_of, traces_data

FAR_MS = 10_000_000
BEHIND_MS = 25
METRICS: Headers = [("otelcol.signal", b"metrics")]


@dataclass(slots=True)
class Sent:
    """One entry of a partition: a record, or (`gap`) an offset that no reader is given.

    `spans` are its span ids by trace id, `bad` its spans that cannot be sampled, by reason.
    """

    timestamp_ms: int
    value: bytes = b""
    headers: Headers = field(default_factory=list)
    gap: bool = False
    spans: dict[bytes, list[bytes]] = field(default_factory=dict)
    bad: Counter[str] = field(default_factory=Counter)

    def append_to(self, log: PartitionLog) -> None:
        if self.gap:
            log.append(b"", marker=True)
            return
        log.append(self.value, key=b"a key", headers=self.headers, timestamp_ms=self.timestamp_ms)


@dataclass(slots=True)
class _Trace:
    number: int
    opened_ms: int
    slow: bool
    spans: int = 0


class Traffic:
    """Every partition's entries in order; the last one moves the time past every deadline.

    A span comes less than `retention_ms` after its trace was opened, so decisions live. With
    `create_time`, some records are stamped by clocks that are behind.
    """

    def __init__(
        self, rng: Random, *, partitions: int, retention_ms: int, create_time: bool
    ) -> None:
        self._rng = rng
        # By how much partition time can be behind.
        self._retention_ms = retention_ms - create_time * BEHIND_MS
        self._create_time = create_time
        self._traces = 0
        self.partitions = [self._partition(rng.randint(20, 70)) for _ in range(partitions)]

    def _partition(self, records: int) -> list[Sent]:
        rng = self._rng
        sent: list[Sent] = []
        traces: list[_Trace] = []
        now_ms = 1_000
        for _ in range(records):
            now_ms += rng.choice((0, 0, 1, 1, 2, 3, 5, 8)) + (rng.random() < 0.06) * 45
            young = now_ms - self._retention_ms + 1
            traces = [trace for trace in traces if trace.opened_ms >= young]
            kind = rng.choices(list(_KINDS), [share for share, _ in _KINDS.values()])[0]
            sent.append(_KINDS[kind][1](self, now_ms, traces, sent))
            if self._create_time and sent[:-1] and rng.random() < 0.4:
                sent[-1].timestamp_ms -= rng.choice((4, BEHIND_MS))
        sent.append(Sent(now_ms + FAR_MS, b"a metric", METRICS))
        return sent

    def _of_one(self, now_ms: int, traces: list[_Trace], _: list[Sent]) -> Sent:
        return self._fragments(now_ms, [self._chosen(now_ms, traces)])

    def _of_many(self, now_ms: int, traces: list[_Trace], _: list[Sent]) -> Sent:
        chosen = {id(t): t for t in (self._chosen(now_ms, traces) for _ in range(3))}
        return self._fragments(now_ms, list(chosen.values()))

    def _again(self, now_ms: int, traces: list[_Trace], sent: list[Sent]) -> Sent:
        """Send one of the last records again, if all of its traces are young."""
        young = {trace_id_of(trace.number) for trace in traces}
        able = [one for one in sent[-25:] if one.spans and one.spans.keys() <= young]
        if not able:
            return self._of_one(now_ms, traces, sent)
        one = self._rng.choice(able)
        return Sent(now_ms, one.value, spans=one.spans, bad=one.bad)

    def _malformed(self, now_ms: int, *_: object) -> Sent:
        return Sent(now_ms, b"\xff" + self._rng.randbytes(4), bad=Counter(malformed=1))

    def _empty(self, now_ms: int, *_: object) -> Sent:
        return Sent(now_ms, b"", bad=Counter(empty=1))

    def _half_bad(self, now_ms: int, traces: list[_Trace], _: list[Sent]) -> Sent:
        good = self._spans(self._chosen(now_ms, traces))
        bad = [a_span(trace_id=b"\x01"), a_span(span_id=bytes(8)), a_span(trace_id=bytes(16))]
        reasons = Counter(invalid_trace_id=2, invalid_span_id=1)
        return Sent(now_ms, traces_data(good, bad), spans=_ids([good]), bad=reasons)

    def _skipped(self, now_ms: int, *_: object) -> Sent:
        return Sent(now_ms, b"a metric", METRICS)

    def _gap(self, now_ms: int, *_: object) -> Sent:
        return Sent(now_ms, gap=True)

    def _chosen(self, now_ms: int, traces: list[_Trace]) -> _Trace:
        rng = self._rng
        if not traces or rng.random() < 0.3:
            self._traces += 1
            traces.append(_Trace(self._traces, now_ms, slow=rng.random() < 0.1))
            return traces[-1]
        # Mostly young ones: the older, the likelier late.
        return traces[-1 - min(int(rng.expovariate(0.35)), len(traces) - 1)]

    def _fragments(self, now_ms: int, traces: list[_Trace]) -> Sent:
        groups = [self._spans(trace) for trace in traces]
        return Sent(now_ms, traces_data(*groups), spans=_ids(groups))

    def _spans(self, trace: _Trace) -> list[Span]:
        rng = self._rng
        spans = []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            trace.spans += 1
            is_root = trace.spans == 1 or rng.random() < 0.05
            spans.append(
                a_span(
                    trace_id=trace_id_of(trace.number),
                    span_id=span_id_of(trace.number << 16 | trace.spans),
                    parent_span_id=b"" if is_root else span_id_of(1),
                    start_ns=START_NS + trace.spans * MS,
                    end_ns=START_NS + (2_000 if trace.slow else 50) * MS,
                    status=Status.STATUS_CODE_ERROR if rng.random() < 0.08 else 0,
                )
            )
        return spans


def _ids(groups: list[list[Span]]) -> dict[bytes, list[bytes]]:
    return {spans[0].trace_id: [span.span_id for span in spans] for spans in groups}


_Make = Callable[[Traffic, int, list[_Trace], list[Sent]], Sent]
_KINDS: dict[str, tuple[int, _Make]] = {
    "of_one": (60, Traffic._of_one),
    "of_many": (9, Traffic._of_many),
    "again": (10, Traffic._again),
    "malformed": (6, Traffic._malformed),
    "empty": (1, Traffic._empty),
    "half_bad": (5, Traffic._half_bad),
    "skipped": (4, Traffic._skipped),
    "gap": (6, Traffic._gap),
}
