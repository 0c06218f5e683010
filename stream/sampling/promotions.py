"""Promotions: dropped traces that are to be delivered after all, once their spans are read again.

A promotion holds the resume offset at the record that asked for it, until it has committed. What
comes of its trace meanwhile is kept, and waits behind it: so no record of the trace with a higher
`upto` can commit first, which would make a replay take the promotion for done.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from stream.otlp.fragment import Fragment
from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import PROMOTIONS, Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import DeadLetter, Delivery, Settled
from stream.sampling.kept_offsets import KeptOffsets, kept_offsets
from stream.sampling.limits import Limits
from stream.sampling.pins import PinsBudget
from stream.sampling.record import Headers, copy_headers, headers_bytes
from stream.sampling.stores import KnownDecision
from stream.sampling.trace import OpenTrace


@dataclass(frozen=True, slots=True)
class SecondChance:
    """Which late spans promote a dropped trace: errors; records whose spans together took so long.

    `late_slow_ms` of 0: none do.
    """

    late_errors: bool = False
    late_slow_ms: int = 0

    def __bool__(self) -> bool:
        """Return whether any do."""
        return self.late_errors or self.late_slow_ms > 0

    def policy(self, fragment: Fragment) -> str | None:
        """Return what stands where a policy's name does, None where it promotes nothing."""
        if self.late_errors and fragment.errors:
            return "late_error"
        took_ns = fragment.end_ns - fragment.start_ns if fragment.start_ns else 0
        return "late_slow" if 0 < self.late_slow_ms * 1_000_000 <= took_ns else None


NO_SECOND_CHANCE: Final = SecondChance()


@dataclass(slots=True)
class Promotion:
    """A dropped trace that was asked for at `first_offset`, at the partition time `opened_ms`.

    `known` is its verdict from then on: it covers the records below `known.upto`, which lie at
    `offsets` as far as these had been committed then. `behind` are the late spans that came since,
    until it is `queued` itself; `delivery` is the one that is. `deferred`: it had to wait for a
    later round, and was counted.
    """

    trace_id: bytes
    first_offset: int
    opened_ms: int
    known: KnownDecision
    offsets: KeptOffsets
    source: str = ""
    behind: list[Delivery] = field(default_factory=list)
    delivery: Delivery | None = None
    deferred: bool = False
    bodies: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must be read again for a promotion: the records at `offsets` that hold the trace."""

    trace_id: bytes
    first_offset: int
    offsets: KeptOffsets


@dataclass(slots=True)
class Found:
    """What was read again for a promotion: (offset, fragment, headers) of each record, in order.

    `partial`: some of the records are there no more.
    """

    trace_id: bytes
    first_offset: int
    fragments: list[tuple[int, Fragment, Headers]] = field(default_factory=list)
    partial: bool = False


class Promotions:
    """The promotions of one partition.

    `by_trace` holds all that have not committed, `waiting` those whose spans are not read yet, in
    the order in which they were asked for. `behind_bytes` is what waits behind them in memory.
    """

    def __init__(self, budget: PinsBudget) -> None:
        self.by_trace: dict[bytes, Promotion] = {}
        self.waiting: OrderedDict[bytes, Promotion] = OrderedDict()
        self.behind_bytes = 0
        self._unread: deque[Promotion] = deque()
        self._budget = budget

    def __iter__(self) -> Iterator[Delivery]:
        """Yield what waits behind those that wait."""
        for promotion in self.waiting.values():
            yield from promotion.behind

    def add(self, promotion: Promotion) -> None:
        """Begin one; the trace has none."""
        self._budget.used += 1
        self.by_trace[promotion.trace_id] = promotion
        self.waiting[promotion.trace_id] = promotion
        self._unread.append(promotion)

    def oldest(self) -> tuple[int, int] | None:
        """Return the lowest first offset that waits and the partition time there."""
        if not self.waiting:
            return None
        first = next(iter(self.waiting.values()))
        return first.first_offset, first.opened_ms

    def unread(self) -> Iterator[Promotion]:
        """Take out those that nobody was told of yet, in their order."""
        while self._unread:
            yield self._unread.popleft()

    def defer(self, promotions: Iterable[Promotion]) -> int:
        """These wait for a later round; return how many of them had not yet."""
        count = 0
        for promotion in promotions:
            count += not promotion.deferred
            promotion.deferred = True
        return count

    def defer_unread(self) -> int:
        """All wait that nobody was told of; see `defer`."""
        # The newest come last, and those that were deferred before lie in front of them.
        return self.defer(takewhile(lambda one: not one.deferred, reversed(self._unread)))

    def unread_again(self, promotions: Sequence[Promotion]) -> None:
        """Put those back that must wait."""
        self._unread.extendleft(reversed(promotions))

    @property
    def unread_count(self) -> int:
        """How many nobody was told of yet."""
        return len(self._unread)

    def queued(self, promotion: Promotion, delivery: Delivery) -> list[Delivery]:
        """It waits for a transaction now; return what follows it."""
        del self.waiting[promotion.trace_id]
        promotion.delivery = delivery
        behind, promotion.behind = promotion.behind, []
        self.behind_bytes -= sum(late.held_bytes for late in behind)
        return behind

    def settle(self, settled: Sequence[Settled]) -> None:
        """Let go of those that have committed."""
        for one in settled if self.by_trace else ():
            delivered = one.delivered
            if isinstance(delivered, DeadLetter) or delivered.decision.trigger not in PROMOTIONS:
                continue
            del self.by_trace[delivered.decision.trace_id]
            self._budget.used -= 1

    def clear(self) -> None:
        """Forget all of them."""
        self._budget.used -= len(self.by_trace)
        self.by_trace.clear()
        self.waiting.clear()
        self._unread.clear()
        self.behind_bytes = 0


def promotion_of(
    known: KnownDecision | Decision,
    trace_id: bytes,
    *,
    policy: str,
    first_offset: int,
    upto: int,
    time_ms: int,
    source: str = "",
) -> Promotion:
    """Return the promotion of a dropped trace, which begins at this offset and partition time."""
    offsets = known.offsets if isinstance(known, KnownDecision) else kept_offsets(known.offsets)
    verdict = KnownDecision(
        Verdict.SAMPLED, policy, Trigger.PROMOTED, UNKNOWN_THRESHOLD, max(upto, known.upto), time_ms
    )
    return Promotion(trace_id, first_offset, time_ms, verdict, offsets, source)


def promoted(promotion: Promotion, found: Found, limits: Limits) -> tuple[Delivery, bool]:
    """Return the delivery of a promotion whose spans were read again; and whether all headers fit.

    The bodies are the promotion's: the span store knows nothing of them.
    """
    known = promotion.known
    trace = OpenTrace(promotion.trace_id, promotion.first_offset, promotion.opened_ms, 0)
    headers: dict[tuple[str, bytes], None] = {}
    fits = True
    for offset, fragment, its_headers in found.fragments:
        trace.fold(fragment, offset)
        promotion.bodies.append(fragment.body)
        fits = copy_headers(its_headers, headers, limits) and fits
    decision = Decision(
        promotion.trace_id,
        known.verdict,
        known.policy,
        Trigger.PROMOTED_PARTIAL if found.partial else Trigger.PROMOTED,
        known.threshold,
        spans=trace.spans,
        errors=trace.errors,
        duration_us=trace.duration_us,
        complete=trace.root,
        time_ms=known.time_ms,
        clock=Clock.LOG,
        upto=known.upto,
        offsets=list(trace.offsets),
        source=promotion.source,
    )
    held_bytes = trace.held_bytes + trace.body_bytes + headers_bytes(headers)
    delivery = Delivery(
        decision,
        promotion.first_offset,
        promotion.opened_ms,
        trace.body_bytes,
        headers=headers,
        late=True,
        held_bytes=held_bytes,
    )
    return delivery, fits
