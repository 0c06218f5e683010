"""The traffic of Recall: checkouts of the shop, some slow and some in error, made from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from stream.demo.recall.checkout import Checkout
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
SLOW_SHARE, ERROR_SHARE = 0.003, 0.005
STALL_MS = 1_950.0
"""With all else that it does a slow checkout takes from 2 to 2.5 s."""
SDK_DELAY_S = 2.0
"""A trace's spans lie in its SDKs' batches for at most this long."""
SPREAD_S = 0.2
"""Of a trace's services, each sends this much after the first at most."""
CHECKOUT = "POST /checkout"
(_REQUEST,) = (request for request in REQUESTS if request.root.name == CHECKOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkouts:
    """What to make: so many, at an even rate; the slow and the failed are exact shares of them.

    No checkout is both, and there is at least one of each. `start_ns` is Unix time.
    """

    seed: int
    count: int
    per_s: float
    start_ns: int

    def __iter__(self) -> Iterator[Checkout]:
        """Yield them in the order in which they end."""
        rng = Random(self.seed)  # noqa: S311 - traffic that can be made again, not a secret
        slow_count = max(1, round(self.count * SLOW_SHARE))
        error_count = max(1, round(self.count * ERROR_SHARE))
        drawn = rng.sample(range(self.count), slow_count + error_count)
        slow, failed = set(drawn[:slow_count]), set(drawn[slow_count:])
        well, failing = trace_templates(_REQUEST)
        for number in range(self.count):
            template = rng.choice(failing) if number in failed else well
            end_s = number / self.per_s
            yield _made(self.start_ns, template, end_s, rng, number in slow, number in failed)


def _made(
    start_ns: int,
    template: TraceTemplate,
    end_s: float,
    rng: Random,
    slow: bool,  # noqa: FBT001 - named at the one place that calls
    failed: bool,  # noqa: FBT001 - named at the one place that calls
) -> Checkout:
    trace_id = rng.randbytes(TRACE_ID_BYTES)
    ids = [rng.randbytes(SPAN_ID_BYTES) for _ in template.spans]
    times = pick_times(template, rng, stall_ms=(STALL_MS, STALL_MS) if slow else None)
    begin_ns = start_ns + int(end_s * NS_PER_S) - times.durations_ns[0]
    by_scope: dict[Scope, list[tuple[bytes, bytes]]] = {}
    for at, span in enumerate(template.spans):
        from_ns = begin_ns + times.starts_ns[at]
        parent_id = ids[span.parent] if span.parent >= 0 else b""
        body = span_bytes(
            span, trace_id, ids[at], parent_id, from_ns, from_ns + times.durations_ns[at]
        )
        by_scope.setdefault(span.scope, []).append((ids[at], body))
    leaves_s = end_s + rng.random() * SDK_DELAY_S
    records = [
        Record(
            key=trace_id.hex().encode(),
            value=record_bytes(scope, trace_id[0], [body for _, body in spans]),
            at_s=leaves_s + rng.random() * SPREAD_S,
            kind=RecordKind.SPANS,
            span_ids=tuple(span_id for span_id, _ in spans),
            error=failed,
            slow=slow,
        )
        for scope, spans in by_scope.items()
    ]
    return Checkout(
        trace_id, ids[0], end_s, times.durations_ns[0] / NS_PER_S, slow, failed, tuple(records)
    )
