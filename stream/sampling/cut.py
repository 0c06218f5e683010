"""What a cut makes of an open trace: its decision, and the delivery of it."""

from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import Delivery
from stream.sampling.policies.evaluate import Judgement
from stream.sampling.trace import OpenTrace


def due_ms(trace: OpenTrace, clock: Clock, time_ms: int) -> int:
    """Return when a trace was due that is cut at this partition time.

    At its deadline, or, where a limit came first, when that was reached.
    """
    if clock is Clock.LOG:
        return min(trace.deadline_ms, max(time_ms, trace.opened_ms))
    return trace.deadline_ms


def cut_delivery(
    trace: OpenTrace,
    judgement: Judgement,
    *,
    trigger: Trigger,
    clock: Clock,
    upto: int,
    time_ms: int,
    bodies_spill: bool,
    source: str = "",
) -> Delivery:
    """Return the delivery of a trace that was judged at this offset and partition time.

    `source` says who pinned it, where that is why it is kept.

    The bodies of one that is not sampled are gone by then: it has none, and holds none.
    """
    sampled = judgement.verdict is Verdict.SAMPLED
    gone_bytes = 0 if sampled or bodies_spill else trace.body_bytes
    decision = Decision(
        trace.trace_id,
        judgement.verdict,
        judgement.policy,
        trigger,
        judgement.threshold,
        spans=trace.spans,
        errors=trace.errors,
        duration_us=trace.duration_us,
        complete=trace.root,
        time_ms=time_ms,
        clock=clock,
        upto=upto,
        offsets=trace.offsets,
        ballot=judgement.ballot,
        levels=judgement.levels,
        source=source,
    )
    return Delivery(
        decision,
        trace.first_offset,
        trace.opened_ms,
        trace.body_bytes if sampled else 0,
        due_ms=due_ms(trace, clock, time_ms),
        votes=judgement.votes,
        headers=trace.headers,
        held_bytes=trace.held_bytes - gone_bytes,
    )
