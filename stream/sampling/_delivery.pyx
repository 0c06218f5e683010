# cython: language_level=3, boundscheck=True, wraparound=False
"""Decisions, deliveries and their queue: the compiled half of modules of these names.

These say what each field is. What is slow in Python is to make the first two, for every trace.
"""

from heapq import heappush

cimport cython

cdef enum:
    # As in delivery_queue.py: it only decides when what is stale is dropped.
    STALE_ENTRIES_MIN = 1_024

cdef object ZERO = 0
cdef tuple NO_LEVELS = ()
cdef tuple DECISION_FIELDS = (
    "trace_id", "verdict", "policy", "trigger", "threshold", "spans", "errors", "duration_us",
    "complete", "time_ms", "clock", "upto", "offsets", "duplicates", "dead_lettered", "span_ids",
    "span_ids_complete", "ballot", "levels",
)


@cython.freelist(1024)
cdef class Decision:
    """One record of `tailstream_decisions`."""

    def __cinit__(self):
        self.duplicates = ZERO
        self.dead_lettered = ZERO
        self.span_ids = b""
        self.span_ids_complete = True
        self.ballot = ""
        self.levels = NO_LEVELS

    def __init__(
        self, trace_id, verdict, policy, trigger, threshold, spans, errors, duration_us, complete,
        time_ms, clock, upto, offsets, duplicates=0, dead_lettered=0, span_ids=b"",
        span_ids_complete=True, ballot="", levels=NO_LEVELS,
    ):
        self.trace_id = trace_id
        self.verdict = verdict
        self.policy = policy
        self.trigger = trigger
        self.threshold = threshold
        self.spans = spans
        self.errors = errors
        self.duration_us = duration_us
        self.complete = complete
        self.time_ms = time_ms
        self.clock = clock
        self.upto = upto
        self.offsets = offsets
        self.duplicates = duplicates
        self.dead_lettered = dead_lettered
        self.span_ids = span_ids
        self.span_ids_complete = span_ids_complete
        self.ballot = ballot
        self.levels = levels

    @property
    def __dataclass_fields__(self):
        """The fields, as `dataclasses.replace` wants them."""
        from stream.sampling.decision import PureDecision

        return PureDecision.__dataclass_fields__

    def __eq__(self, other):
        if not isinstance(other, Decision):
            return NotImplemented
        return all([getattr(self, name) == getattr(other, name) for name in DECISION_FIELDS])

    def __repr__(self):
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in DECISION_FIELDS])
        return f"Decision({shown})"


@cython.freelist(1024)
cdef class Delivery:
    """A decision and the fragments it covers."""

    def __init__(
        self, Decision decision not None, int64_t first_offset, int64_t opened_ms,
        int64_t body_bytes, int64_t due_ms=0, votes=(), headers=None, bint late=False,
        bint undeliverable=False, int64_t held_bytes=0, bint waits=False,
    ):
        self.decision = decision
        self.first_offset = first_offset
        self.opened_ms = opened_ms
        self.body_bytes = body_bytes
        self.due_ms = due_ms
        self.votes = votes
        self.headers = {} if headers is None else headers
        self.late = late
        self.undeliverable = undeliverable
        self.held_bytes = held_bytes
        self.waits = waits

    @property
    def __dataclass_fields__(self):
        """The fields, as `dataclasses.replace` wants them."""
        from stream.sampling.delivery import PureDelivery

        return PureDelivery.__dataclass_fields__


cdef class Queue:
    """The state of a `DeliveryQueue`, which is made of it and says what each part is."""

    cdef int append_cut(self, Delivery delivery) except -1:
        """Queue the delivery of a cut, as `DeliveryQueue.append` does."""
        cdef int64_t waiting
        self._waiting.append(delivery)
        waiting = len(self._waiting) + self._behind
        if <int64_t>len(self._oldest) <= 2 * waiting + STALE_ENTRIES_MIN:
            delivery.waits = True
            self._entries += 1
            heappush(
                self._oldest,
                (delivery.first_offset, delivery.opened_ms, self._entries, delivery),
            )
        else:
            self._wait(delivery)
        self.held_bytes += delivery.held_bytes
        return 0
