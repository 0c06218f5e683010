# cython: language_level=3, boundscheck=True, wraparound=False
"""The loops of the stores in memory: the compiled half of `memory.py`."""

from libc.stdint cimport int64_t

from stream.sampling._stores cimport KnownDecision

from stream.state.generations import known_in


def put_bodies(dict buckets not None, list bodies not None, int64_t bucket_offsets):
    """Put bodies, each (trace id, offset, body), in their buckets; return their bytes."""
    cdef int64_t number = -1
    cdef int64_t held = 0
    cdef int64_t offset
    cdef dict bucket = None
    cdef tuple one
    cdef bytes body
    for one in bodies:
        trace_id, at, body = one
        offset = at
        if offset // bucket_offsets != number:
            number = offset // bucket_offsets
            bucket = buckets.setdefault(number, {})
        bucket[(trace_id, at)] = body
        held += len(body)
    return held


def delete_bodies(
    dict buckets not None, bytes trace_id not None, list offsets not None, int64_t bucket_offsets
):
    """Take out those of these bodies that are there; return how many, and their bytes."""
    cdef int64_t number = -1
    cdef int64_t offset
    cdef int64_t freed = 0
    cdef Py_ssize_t count = 0
    cdef dict bucket = None
    cdef bytes body
    for at in offsets:
        offset = at
        if offset // bucket_offsets != number:
            number = offset // bucket_offsets
            bucket = buckets.get(number)
        if bucket is None:
            continue
        body = bucket.pop((trace_id, at), None)
        if body is None:
            continue
        count += 1
        freed += len(body)
        if not bucket:
            del buckets[number]
            bucket = None
    return count, freed


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
            held -= overhead_bytes + len(<bytes?>replaced.span_ids)
        known[trace_id] = decision
        held += overhead_bytes + len(<bytes?>decision.span_ids)
    added(generation, newest_ms, highest_upto, count, held)


cdef added(generation, int64_t newest_ms, int64_t highest_upto, int64_t count, int64_t held):
    if generation is not None:
        generation.newest_ms = newest_ms
        generation.highest_upto = highest_upto
        generation.decisions += count
        generation.held_bytes += held
