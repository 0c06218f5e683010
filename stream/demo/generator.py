"""A load of OTLP traces, made from a seed: the same seed and start give the same bytes."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

from stream.demo.record import Record, RecordKind
from stream.demo.shop_shape import REQUESTS, Scope
from stream.demo.template import (
    TraceTemplate,
    pick_times,
    record_bytes,
    span_bytes,
    trace_templates,
)
from stream.otlp.fragment import SPAN_ID_BYTES, TRACE_ID_BYTES

NS_PER_S = 1_000_000_000
EXPORT_DELAY_S = 0.2
"""A service's spans are sent at most this long after their trace ended."""
RESEND_DELAY_S = 0.3
"""A record sent once more comes at most this long after the first time."""
SPREAD_S = EXPORT_DELAY_S + RESEND_DELAY_S
"""All of a trace but its late span is sent within this time: below any sensible decision_wait."""
TROUBLE = 10

_SHARES = ("error_share", "slow_share", "late_share", "resent_share", "split_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to make. Shares are from 0 to 1.

    Each trace comes as the Collector keys it: a record for each (resource, scope) that it has.
    `error_share`, `slow_share`: of the traces, independent of each other. `late_share`: of the
    traces, one span of each comes `late_after_s` after its trace, or up to a second more.
    `resent_share`: of the other records, the same bytes once more. Errors and slowness trouble the
    exports too: there, these two are `TROUBLE` times as likely. `split_share`: of the records with
    several spans, sent in two parts, as when an exporter's batch ends within a trace.
    `malformed`: records that no OTLP reader can use, spread over the load; at most one a trace.
    `traces_per_s` and `start_ns` (Unix time) place the traces in time: one that is sent t seconds
    after the start ended at start + t.

    Raises:
        ValueError: a number outside its range.
    """

    seed: int = 1
    traces: int = 5000
    traces_per_s: float = 250.0
    error_share: float = 0.02
    slow_share: float = 0.01
    late_share: float = 0.006
    late_after_s: float = 5.0
    resent_share: float = 0.002
    split_share: float = 0.05
    malformed: int = 3
    start_ns: int = 1_700_000_000 * NS_PER_S

    def __post_init__(self) -> None:
        for name in _SHARES:
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"{name}: {share}: a share is from 0 to 1")
        if not 0 <= self.malformed <= self.traces:
            raise ValueError(f"malformed: {self.malformed}: from 0 to traces ({self.traces})")
        if self.traces_per_s <= 0 or self.late_after_s < 0:
            raise ValueError(
                f"traces_per_s: {self.traces_per_s}, late_after_s: {self.late_after_s}: "
                "the first must be above 0, the second not below"
            )

    def records(self) -> Iterator[Record]:
        """Yield the records in the order in which they are sent; what waits is bounded."""
        waiting: list[tuple[float, int, Record]] = []
        order = count()
        for end_s, made in _by_end(self):
            while waiting and waiting[0][0] < end_s:
                yield heapq.heappop(waiting)[2]
            for record in made:
                heapq.heappush(waiting, (record.at_s, next(order), record))
        while waiting:
            yield heapq.heappop(waiting)[2]


def _by_end(load: Load) -> Iterator[tuple[float, list[Record]]]:
    """Yield the records of each trace with the time at which it ended; none is sent before."""
    rng = Random(load.seed)  # noqa: S311 - a load that can be made again, not a secret
    maker = _TraceMaker(load, rng)
    broken = 0
    for index in range(load.traces):
        end_s = index / load.traces_per_s
        made = maker.records(end_s)
        if (index + 1) * load.malformed >= (broken + 1) * load.traces:
            made.append(_malformed(broken, made[0], rng))
            broken += 1
        yield end_s, made


class _TraceMaker:
    """Draws traces. The order of its draws from `rng` is what a seed stands for."""

    def __init__(self, load: Load, rng: Random) -> None:
        self.load = load
        self.rng = rng
        self.templates = [trace_templates(request) for request in REQUESTS]
        self.weights = [request.weight for request in REQUESTS]
        self.faulty_weights = [request.faulty_weight for request in REQUESTS]

    def records(self, end_s: float) -> list[Record]:
        """Return the records of one trace that ended at `end_s`, in the order they are sent."""
        load, rng = self.load, self.rng
        error, slow = rng.random() < load.error_share, rng.random() < load.slow_share
        template = self._template(error=error, slow=slow)
        trace_id = rng.randbytes(TRACE_ID_BYTES)
        span_ids, spans = self._spans(template, trace_id, end_s, slow=slow)
        sent: list[Record] = []
        trouble = TROUBLE if error or slow else 1
        for kind, at_s, scope, indexes in self._parts(template, end_s, trouble):
            record = Record(
                key=trace_id.hex().encode(),
                value=record_bytes(scope, trace_id[0], [spans[index] for index in indexes]),
                at_s=at_s,
                kind=kind,
                span_ids=tuple(span_ids[index] for index in indexes),
                opens=not sent,
                error=error,
                slow=slow,
            )
            sent.append(record)
        resent_share = load.resent_share * trouble
        return sent + [
            self._again(each)
            for each in sent
            if each.kind is RecordKind.SPANS and rng.random() < resent_share
        ]

    def _template(self, *, error: bool, slow: bool) -> TraceTemplate:
        weights = self.faulty_weights if error or slow else self.weights
        well, failing = self.rng.choices(self.templates, weights)[0]
        return self.rng.choice(failing) if error else well

    def _spans(
        self, template: TraceTemplate, trace_id: bytes, end_s: float, *, slow: bool
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the ids and the bytes of a trace's spans."""
        spans = template.spans
        times = pick_times(template, self.rng, slow=slow)
        drawn = self.rng.randbytes(SPAN_ID_BYTES * len(spans))
        ids = [drawn[at : at + SPAN_ID_BYTES] for at in range(0, len(drawn), SPAN_ID_BYTES)]
        begin_ns = self.load.start_ns + int(end_s * NS_PER_S) - times.durations_ns[0]
        made = []
        for span, span_id, start, duration in zip(
            spans, ids, times.starts_ns, times.durations_ns, strict=True
        ):
            parent_id = ids[span.parent] if span.parent >= 0 else b""
            start_ns = begin_ns + start
            made.append(
                span_bytes(span, trace_id, span_id, parent_id, start_ns, start_ns + duration)
            )
        return ids, made

    def _parts(
        self, template: TraceTemplate, end_s: float, trouble: int
    ) -> list[tuple[RecordKind, float, Scope, list[int]]]:
        """Return what each record holds: kind, time to send it, scope, indexes of its spans."""
        rng = self.rng
        late = rng.random() < self.load.late_share * trouble and bool(template.leaves)
        late_index = rng.choice(template.leaves) if late else -1
        parts: list[tuple[RecordKind, float, Scope, list[int]]] = []
        for scope, indexes in _by_scope(template).items():
            prompt = [index for index in indexes if index != late_index]
            cut = len(prompt)
            if cut > 1 and rng.random() < self.load.split_share:
                cut = rng.randrange(1, cut)
            for part in filter(None, (prompt[:cut], prompt[cut:])):
                at_s = end_s + rng.random() * EXPORT_DELAY_S
                parts.append((RecordKind.SPANS, at_s, scope, part))
        parts.sort(key=lambda part: part[1])
        if late:
            at_s = end_s + self.load.late_after_s + rng.random()
            parts.append((RecordKind.LATE, at_s, template.spans[late_index].scope, [late_index]))
        return parts

    def _again(self, record: Record) -> Record:
        at_s = record.at_s + self.rng.random() * RESEND_DELAY_S
        return Record(
            record.key,
            record.value,
            at_s,
            RecordKind.RESENT,
            record.span_ids,
            error=record.error,
            slow=record.slow,
        )


def _by_scope(template: TraceTemplate) -> dict[Scope, list[int]]:
    groups: dict[Scope, list[int]] = {}
    for index, span in enumerate(template.spans):
        groups.setdefault(span.scope, []).append(index)
    return groups


def _malformed(number: int, like: Record, rng: Random) -> Record:
    """Return a record cut short, one that is no OTLP at all, or one without a trace id, in turn."""
    key = rng.randbytes(TRACE_ID_BYTES).hex().encode()
    value = like.value[: len(like.value) // 2]
    if number % 3 == 1:
        value = b"not OTLP: a line of text that went to the wrong topic"
    elif number % 3 == 2:  # noqa: PLR2004 - the last of the three
        # The Collector gives an empty key to a trace id that is all zero.
        key, no_id = b"", bytes(TRACE_ID_BYTES)
        value = like.value.replace(bytes.fromhex(like.key.decode()), no_id)
    return Record(key, value, like.at_s, RecordKind.MALFORMED)
