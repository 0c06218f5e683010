# cython: language_level=3, boundscheck=True, wraparound=False
"""The loops of the decision store in memory: the compiled half of `memory.py`."""

from libc.stdint cimport int64_t

from stream.sampling._stores cimport KnownDecision

from stream.sampling.kept_offsets import bytes_of
from stream.state.generations import known_in

cdef enum:
    # As in kept_offsets.py.
    BYTES_OBJECT_BYTES = 40


def find_decision(dict known_by_number not None, trace_id):
    """Return the newest decision of a trace, None without one."""
    cdef dict known
    for number in reversed(known_by_number):
        known = known_by_number[number]
        decision = known.get(trace_id)
        if decision is not None:
            return decision
    return None


def put_decisions(generations, dict known_by_number not None, decisions, int64_t overhead_bytes):
    """Put decisions, each (trace id, decision), in their generations."""
    cdef int64_t width_ms = generations.width_ms
    cdef int64_t from_ms = 0, below_ms = 0, newest_ms = 0, highest_upto = 0, held = 0
    cdef int64_t count = 0
    cdef dict known = None
    cdef KnownDecision decision, replaced
    cdef tuple one
    generation = None
    for one in decisions:
        trace_id, decision = one
        # Those of one generation come one after the other, but for a few.
        if not from_ms <= decision.time_ms < below_ms:
            added(generation, newest_ms, highest_upto, count, held)
            past = generations.is_past(decision.time_ms)
            if past and find_decision(known_by_number, trace_id) is not None:
                # Looked up newest first, it would be hidden by the one that it replaces.
                generation = generations.newest
            else:
                generation = generations.of(decision.time_ms)
            from_ms = <int64_t>generation.number * width_ms
            # Of those that come late each is looked up.
            below_ms = from_ms if past else from_ms + width_ms
            known = known_in(known_by_number, generation.number)
            newest_ms, highest_upto = generation.newest_ms, generation.highest_upto
            count, held = 0, 0
        newest_ms = max(newest_ms, decision.time_ms)
        highest_upto = max(highest_upto, decision.upto)
        count += 1
        replaced = known.get(trace_id)
        if replaced is not None:
            held -= overhead_bytes + held_by(replaced)
        known[trace_id] = decision
        held += overhead_bytes + held_by(decision)
    added(generation, newest_ms, highest_upto, count, held)


cdef int64_t held_by(KnownDecision decision) except -1:
    """Return the bytes of its span ids and offsets; few have both."""
    cdef int64_t held = len(<bytes?>decision.span_ids)
    if type(decision.offsets) is not bytes:
        return held + <int64_t>bytes_of(decision.offsets)
    if len(<bytes>decision.offsets):
        held += BYTES_OBJECT_BYTES + len(<bytes>decision.offsets)
    return held


cdef added(generation, int64_t newest_ms, int64_t highest_upto, int64_t count, int64_t held):
    if generation is not None:
        generation.newest_ms = newest_ms
        generation.highest_upto = highest_upto
        generation.decisions += count
        generation.held_bytes += held
