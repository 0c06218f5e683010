"""Late spans: the delivery that follows a decision that stands."""

from collections.abc import Sequence
from dataclasses import replace

from stream.otlp.fragment import Fragment
from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import Delivery
from stream.sampling.kept_offsets import both_offsets
from stream.sampling.limits import Limits
from stream.sampling.stores import DecisionStore, KnownDecision
from stream.sampling.trace import TRACE_BYTES, OpenTrace


def late_delivery(
    known: KnownDecision | Decision, trace_id: bytes, first_offset: int, time_ms: int
) -> Delivery:
    """Return the delivery, still empty, that begins at this offset and partition time."""
    decision = Decision(
        trace_id,
        known.verdict,
        known.policy,
        Trigger.LATE,
        known.threshold,
        spans=0,
        errors=0,
        duration_us=0,
        complete=False,
        time_ms=time_ms,
        clock=Clock.LOG,
        upto=0,
        offsets=[],
    )
    return Delivery(decision, first_offset, time_ms, 0, late=True, held_bytes=TRACE_BYTES)


def add_late(late: Delivery, fragment: Fragment, offset: int, time_ms: int) -> None:
    """Add a late fragment to a delivery that waits."""
    decision = late.decision
    decision.spans += fragment.spans
    decision.errors += fragment.errors
    decision.offsets.append(offset)
    decision.upto = offset + 1
    decision.time_ms = time_ms
    if decision.verdict is Verdict.SAMPLED:
        late.body_bytes += len(fragment.body)


def is_full(late: Delivery, limits: Limits) -> bool:
    """Tell whether what comes next is a delivery of its own: nobody waits long behind one."""
    return late.body_bytes >= limits.late_bytes_max or late.decision.spans >= limits.late_spans_max


def turned_late(trace: OpenTrace, known: KnownDecision, *, bodies_spill: bool) -> Delivery:
    """Return what the trace's fragments are, now that its decision is known: late spans."""
    late = late_delivery(known, trace.trace_id, trace.first_offset, trace.opened_ms)
    decision = late.decision
    decision.spans, decision.errors = trace.spans, trace.errors
    decision.offsets, decision.upto = trace.offsets, trace.offsets[-1] + 1
    decision.time_ms = trace.last_ms
    late.held_bytes = trace.held_bytes
    if known.verdict is Verdict.SAMPLED:
        late.body_bytes, late.headers = trace.body_bytes, trace.headers
    elif not bodies_spill:
        late.held_bytes -= trace.body_bytes
    return late


def is_late_dropped(known: KnownDecision) -> bool:
    """Tell whether it is a later record of a dropped trace, which tells its own offsets alone."""
    return known.trigger is Trigger.LATE and known.verdict is Verdict.NOT_SAMPLED


def with_earlier(earlier: KnownDecision | None, known: KnownDecision) -> KnownDecision:
    """Return a decision; of a dropped trace, with the offsets that an earlier record tells too."""
    if earlier is None or earlier.verdict is not Verdict.NOT_SAMPLED or not is_late_dropped(known):
        return known
    return replace(known, offsets=both_offsets(earlier.offsets, known.offsets))


def in_topic_order(
    store: DecisionStore, decisions: Sequence[tuple[bytes, KnownDecision]]
) -> list[tuple[bytes, KnownDecision]]:
    """Return what to put of decisions as they follow in the topic, each (trace id, decision)."""
    latest: dict[bytes, KnownDecision] = {}
    for trace_id, known in decisions:
        if is_late_dropped(known):
            earlier = latest.get(trace_id) or store.get(trace_id)
            latest[trace_id] = with_earlier(earlier, known)
        else:
            latest[trace_id] = known
    return list(latest.items())


def news_to(
    store: DecisionStore, decisions: Sequence[tuple[bytes, KnownDecision]]
) -> dict[bytes, KnownDecision]:
    """Return those that `store` knows nothing newer of: a later record has the higher `upto`.

    A promotion by a late span has the same as what it follows. What is newer and was dropped is
    news too, for it has the older one's offsets now.
    """
    news: dict[bytes, KnownDecision] = {}
    for trace_id, known in decisions:
        other = news.get(trace_id) or store.get(trace_id)
        promoted = other is not None and other.verdict is Verdict.SAMPLED
        if other is None or (other.upto, promoted) < (known.upto, True):
            news[trace_id] = with_earlier(other, known)
        elif known.verdict is Verdict.NOT_SAMPLED and is_late_dropped(other):
            news[trace_id] = with_earlier(known, other)
    return news
