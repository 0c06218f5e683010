# cython: language_level=3, boundscheck=True, wraparound=False
"""What is left of deliveries that have committed: the compiled half of `settle.py`."""

from libc.stdint cimport int64_t

from stream.sampling._delivery cimport Decision, Delivery

from stream.sampling.decision import Verdict
from stream.sampling.stores import KnownDecision

cdef object SAMPLED = Verdict.SAMPLED


def settle(settled, accounts, spans, dict uncommitted not None):
    """Count, forget the bodies and what is not uncommitted any more; return what to remember."""
    cdef int64_t[2][2] delivered_spans = [[0, 0], [0, 0]]  # by late, by sampled
    cdef int64_t duplicates = 0, dead_lettered = 0
    cdef int64_t gone, lost, count
    cdef bint sampled
    cdef Delivery delivery
    cdef Decision decision
    cdef list decisions = []
    for one in settled:
        delivered = one.delivered
        if not isinstance(delivered, Delivery):
            dead_lettered += <int64_t>delivered.bad.spans
            continue
        delivery = <Delivery>delivered
        decision = delivery.decision
        gone, lost, count = one.duplicates, one.dead_lettered, decision.spans
        duplicates += gone
        dead_lettered += lost
        sampled = decision.verdict is SAMPLED
        delivered_spans[delivery.late][sampled] += count - gone - lost
        if sampled:
            spans.delete(decision.trace_id, decision.offsets)
        if not delivery.late:
            del uncommitted[decision.trace_id]
        known = KnownDecision(
            decision.verdict, decision.policy, decision.trigger, decision.threshold,
            decision.upto, decision.time_ms, one.span_ids, one.span_ids_complete,
        )
        decisions.append((decision.trace_id, known))
    accounts.not_sampled += delivered_spans[0][0]
    accounts.sampled += delivered_spans[0][1]
    accounts.late_not_sampled += delivered_spans[1][0]
    accounts.late_sampled += delivered_spans[1][1]
    accounts.duplicate += duplicates
    accounts.dead_lettered += dead_lettered
    return decisions
