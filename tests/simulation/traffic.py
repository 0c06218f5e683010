"""What arrives in the input topic, from a seed: traces in fragments, late, sent again, broken."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from stream.kafka.commit import Headers
from stream.sampling.control import CONTROL_HEADER, Pin, encode
from stream.sampling.record import NO_TIMESTAMP
from stream.testing.log import OpenTransaction, PartitionLog
from stream.testing.spans import MS, START_NS, a_span, span_id_of, trace_id_of, traces_data

FAR_MS = 10_000_000
STORM = 15  # records from one storm of pins to the next
BEHIND_MS = 25
HOUR_MS = 3_600_000
METRICS: Headers = [("otelcol.signal", b"metrics")]


@dataclass(slots=True)
class Sent:
    """One entry of a partition: a record, or (`gap`) an offset that no reader is given.

    `spans` are what `half_of` tells of its spans, by trace id, `bad` its spans that cannot be
    sampled, by reason, `pin` what it asks for.
    `timestamp_ms` is its stamp, `true_ms` the time at which it comes.
    """

    timestamp_ms: int
    value: bytes = b""
    headers: Headers = field(default_factory=list)
    gap: bool = False
    spans: dict[bytes, list[bytes]] = field(default_factory=dict)
    bad: Counter[str] = field(default_factory=Counter)
    true_ms: int = 0
    pin: Pin | None = None

    @property
    def span_count(self) -> int:
        """How many spans it has, those included that cannot be sampled."""
        return sum(map(len, self.spans.values())) + sum(map(self.bad_spans, self.bad))

    def bad_spans(self, reason: str) -> int:
        """How many spans of it are bad for a reason; a control record holds none."""
        return 0 if reason == "malformed_control" else self.bad[reason]

    @property
    def words(self) -> str:
        """What it is, for a reader."""
        of = [f"{len(ids)} of trace {one[-2:].hex()}" for one, ids in self.spans.items()]
        of += [f"{count} {reason}" for reason, count in self.bad.items()]
        of += [f"a pin of trace {self.pin.trace_id[-2:].hex()}"] if self.pin else []
        return f"a record at {self.timestamp_ms} ms ({', '.join(of) or 'no spans'})"

    def append_to(self, log: PartitionLog, transaction: OpenTransaction | None = None) -> None:
        if self.gap:
            log.append(b"", marker=True)
            return
        log.append(
            self.value,
            key=self.pin.key if self.pin else b"a key",
            headers=self.headers,
            timestamp_ms=self.timestamp_ms,
            transaction=transaction,
        )


GAP = Sent(0, gap=True)


def tick(now_ms: int) -> Sent:
    """Return a record that moves the time past every deadline."""
    return Sent(now_ms + FAR_MS, b"a metric", METRICS, true_ms=now_ms + FAR_MS)


@dataclass(slots=True)
class _Trace:
    number: int
    opened_ms: int
    slow: bool
    spans: int = 0


class Traffic:
    """Every partition's entries in order, to be followed by a `tick`. `halves` and `pins` are dice.

    A span comes less than `retention_ms` after its trace was opened, so decisions live. With
    `create_time`, some records are stamped by clocks that are behind; with `jumps`, by clocks that
    are an hour off, or by none. Some records overtake others, some are sent again. Some spans are
    the client's half of a call whose server has the same id. A partition that is `grown` has traces
    of the first one, too.
    """

    def __init__(
        self,
        rng: Random,
        *,
        partitions: int,
        grown: int,
        retention_ms: int,
        create_time: bool,
        jumps: bool,
        halves: Random,
        pins: Random | None = None,
    ) -> None:
        self._rng = rng
        self._halves = halves
        self._pins = pins
        # By how much partition time can be behind.
        self._retention_ms = retention_ms - create_time * BEHIND_MS
        self._create_time = create_time
        self._jumps = jumps
        self._traces = 0
        self.partitions = [self._partition(rng.randint(20, 60)) for _ in range(partitions)]
        for _ in range(grown):
            self._traces = 0
            self.partitions.append(self._partition(rng.randint(5, 30)))

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
            sent[-1].true_ms = now_ms
        self._reorder(sent)
        for one in sent[1:]:
            self._stamp(one)
        return sent if self._pins is None else self._pinned(sent, self._pins)

    def _pinned(self, sent: list[Sent], rng: Random) -> list[Sent]:
        """Put pins among the records, by a die of their own: before, beside and after the spans."""
        lie: dict[bytes, list[int]] = {}
        for at, one in enumerate(sent):
            for trace_id in one.spans:
                lie.setdefault(trace_id, []).append(at)
        before: dict[int, list[Sent]] = {}
        storms = len(sent) % 2 == 0
        for trace_id, its in lie.items():
            while rng.random() < 0.35:
                place = rng.choice(
                    (
                        rng.randint(max(0, its[0] - 8), its[0]),
                        rng.randint(its[0], its[-1]) + 1,
                        min(its[-1] + rng.randint(1, 15), len(sent)),
                    )
                )
                if storms:
                    # Many at once, after most verdicts.
                    place = min(-(-(its[-1] + 12) // STORM) * STORM, len(sent))
                # Younger than the trace's first span by less than decisions live.
                while (
                    place and sent[place - 1].true_ms - sent[its[0]].true_ms >= self._retention_ms
                ):
                    place -= 1
                before.setdefault(place, []).append(self._pin(trace_id, sent, place, rng))
        for place in rng.sample(range(len(sent) + 1), 2):
            before.setdefault(place, []).append(self._odd_pin(sent, place, rng))
        return [
            one
            for place in range(len(sent) + 1)
            for one in (*before.get(place, ()), *sent[place : place + 1])
        ]

    def _pin(self, trace_id: bytes, sent: list[Sent], place: int, rng: Random) -> Sent:
        beside = sent[max(0, place - 1)]
        pin = Pin(trace_id, rng.choice((5, 40, 1_000)), "a seed")
        headers = [(CONTROL_HEADER, encode(pin))]
        stamp_ms = min(beside.timestamp_ms, beside.true_ms)
        return Sent(stamp_ms, b"", headers, true_ms=beside.true_ms, pin=pin)

    def _odd_pin(self, sent: list[Sent], place: int, rng: Random) -> Sent:
        """A pin of a trace that never comes, or one that nobody can read."""
        one = self._pin(rng.randbytes(16), sent, place, rng)
        if rng.random() < 0.5:
            one.pin, one.headers = None, [(CONTROL_HEADER, b"\xc1")]
            one.bad = Counter(malformed_control=1)
        return one

    def _reorder(self, sent: list[Sent]) -> None:
        """Let some records overtake others, as long as no trace grows too old by it."""
        rng = self._rng
        for at in range(len(sent) - 3):
            if rng.random() < 0.08:
                by = rng.randint(1, 3)
                _swap(sent[at], sent[at + by])
                ids = sent[at].spans.keys() | sent[at + by].spans.keys()
                if any(_lasts_ms(sent, trace_id) >= self._retention_ms for trace_id in ids):
                    _swap(sent[at], sent[at + by])

    def _stamp(self, one: Sent) -> None:
        rng = self._rng
        if self._create_time and rng.random() < 0.4:
            one.timestamp_ms -= rng.choice((4, BEHIND_MS))
        if self._jumps and rng.random() < 0.1:
            one.timestamp_ms = rng.choice((one.true_ms + HOUR_MS, 0, NO_TIMESTAMP))

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
        if self._halves.random() < 0.15:
            spans.append(self._client_of(trace))
        return spans

    def _client_of(self, trace: _Trace) -> Span:
        """Return the half of a span of the trace, any so far, that its caller made."""
        return a_span(
            trace_id=trace_id_of(trace.number),
            span_id=span_id_of(trace.number << 16 | self._halves.randint(1, trace.spans)),
            parent_span_id=span_id_of(1),
            kind=Span.SPAN_KIND_CLIENT,
            start_ns=START_NS + MS,
            end_ns=START_NS + 50 * MS,
        )


def half_of(span: Span) -> bytes:
    """Return the id, and which half of a call has it: two spans, though it is one id."""
    return span.span_id + (b" of a client" if span.kind == Span.SPAN_KIND_CLIENT else b"")


def _swap(one: Sent, other: Sent) -> None:
    """Exchange what they hold; the stamps stay."""
    for name in ("value", "headers", "gap", "spans", "bad"):
        held = getattr(one, name)
        setattr(one, name, getattr(other, name))
        setattr(other, name, held)


def _lasts_ms(sent: list[Sent], trace_id: bytes) -> int:
    times = [one.true_ms for one in sent if trace_id in one.spans]
    return times[-1] - times[0] if times else 0


def _ids(groups: list[list[Span]]) -> dict[bytes, list[bytes]]:
    return {spans[0].trace_id: list(map(half_of, spans)) for spans in groups}


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
