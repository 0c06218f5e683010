# cython: language_level=3, boundscheck=True, wraparound=False
"""What is left of deliveries that have committed: the compiled half of `settle.py`."""

from libc.stdint cimport int64_t

from stream.sampling._delivery cimport Decision, Delivery, Settled
from stream.sampling._stores cimport KnownDecision, known_of

from stream.sampling.decision import Trigger, Verdict

cdef object SAMPLED = Verdict.SAMPLED
cdef object PENDING = Verdict.PENDING
cdef object LATE = Trigger.LATE


def settle(settled, accounts, spans, dict uncommitted not None):
    """Count, forget the bodies and what is not uncommitted any more; return what to remember.

    Apart, the later records of dropped traces: these tell of their own offsets alone.
    """
    cdef int64_t[2][2] delivered_spans = [[0, 0], [0, 0]]  # by late, by sampled
    cdef int64_t duplicates = 0, dead_lettered = 0
    cdef int64_t count
    cdef bint sampled
    cdef Settled one
    cdef Delivery delivery
    cdef Decision decision
    cdef KnownDecision known
    cdef list decided = []
    cdef list late_dropped = []
    for one in settled:
        if type(one.delivered) is not Delivery:
            dead_lettered += <int64_t>one.delivered.bad.spans
            continue
        delivery = <Delivery>one.delivered
        decision = delivery.decision
        if delivery.late and decision.trigger is not LATE:
            # A pin that waits, or a promotion.
            accounts.count(delivery, one)
            if decision.verdict is not PENDING:
                known = known_of(decision)
                known.span_ids = one.span_ids
                known.span_ids_complete = one.span_ids_complete
                decided.append((decision.trace_id, known))
            continue
        duplicates += one.duplicates
        dead_lettered += one.dead_lettered
        count = decision.spans - one.duplicates - one.dead_lettered
        sampled = decision.verdict is SAMPLED
        delivered_spans[delivery.late][sampled] += count
        if sampled:
            spans.delete(decision.trace_id, decision.offsets)
        if not delivery.late:
            del uncommitted[decision.trace_id]
        known = known_of(decision)
        known.span_ids = one.span_ids
        known.span_ids_complete = one.span_ids_complete
        if delivery.late and not sampled:
            late_dropped.append((decision.trace_id, known))
        else:
            decided.append((decision.trace_id, known))
    accounts.not_sampled += delivered_spans[0][0]
    accounts.sampled += delivered_spans[0][1]
    accounts.late_not_sampled += delivered_spans[1][0]
    accounts.late_sampled += delivered_spans[1][1]
    accounts.duplicate += duplicates
    accounts.dead_lettered += dead_lettered
    return decided, late_dropped
