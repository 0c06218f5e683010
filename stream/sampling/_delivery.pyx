# cython: language_level=3, boundscheck=True, wraparound=False
"""Decisions, deliveries and their queue: the compiled half of modules of these names.

These say what each field is. What is slow in Python is to make the first three, for every trace.
The collector of cycles need not know any of them: nothing that one holds leads back to it.
"""

cimport cython

cdef tuple NO_LEVELS = ()
cdef tuple DECISION_FIELDS = (
    "trace_id", "verdict", "policy", "trigger", "threshold", "spans", "errors", "duration_us",
    "complete", "time_ms", "clock", "upto", "offsets", "duplicates", "dead_lettered", "span_ids",
    "span_ids_complete", "ballot", "levels", "source", "expires_ms",
)
cdef tuple SETTLED_FIELDS = (
    "delivered", "duplicates", "dead_lettered", "span_ids", "span_ids_complete",
)


@cython.no_gc
@cython.freelist(1024)
cdef class Decision:
    """One record of `tailstream_decisions`."""

    def __cinit__(self):
        self.span_ids = b""
        self.span_ids_complete = True
        self.ballot = ""
        self.levels = NO_LEVELS
        self.source = ""

    def __init__(
        self, trace_id, verdict, policy, trigger, int64_t threshold, int64_t spans, int64_t errors,
        int64_t duration_us, complete, int64_t time_ms, clock, int64_t upto, offsets,
        int64_t duplicates=0, int64_t dead_lettered=0, span_ids=b"", span_ids_complete=True,
        ballot="", levels=NO_LEVELS, source="", int64_t expires_ms=0,
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
        self.source = source
        self.expires_ms = expires_ms

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


@cython.no_gc
@cython.freelist(1024)
cdef class Delivery:
    """A decision and the fragments it covers."""

    def __init__(
        self, Decision decision not None, int64_t first_offset, int64_t opened_ms,
        int64_t body_bytes, int64_t due_ms=0, votes=(), headers=None, bint late=False,
        bint undeliverable=False, int64_t held_bytes=0,
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

    @property
    def __dataclass_fields__(self):
        """The fields, as `dataclasses.replace` wants them."""
        from stream.sampling.delivery import PureDelivery

        return PureDelivery.__dataclass_fields__


@cython.no_gc
@cython.freelist(1024)
cdef class Settled:
    """How a delivery ended."""

    def __init__(
        self, delivered, int64_t duplicates=0, int64_t dead_lettered=0, bytes span_ids not None=b"",
        bint span_ids_complete=True,
    ):
        self.delivered = delivered
        self.duplicates = duplicates
        self.dead_lettered = dead_lettered
        self.span_ids = span_ids
        self.span_ids_complete = span_ids_complete

    @property
    def __dataclass_fields__(self):
        """The fields, as `dataclasses.replace` wants them."""
        from stream.sampling.delivery import PureSettled

        return PureSettled.__dataclass_fields__

    def __eq__(self, other):
        if not isinstance(other, Settled):
            return NotImplemented
        return all([getattr(self, name) == getattr(other, name) for name in SETTLED_FIELDS])

    def __repr__(self):
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in SETTLED_FIELDS])
        return f"Settled({shown})"


cdef Settled settled_of(delivered):
    """Return how a delivery ends of which nothing is known but that it goes out."""
    cdef Settled settled = Settled.__new__(Settled)
    settled.delivered = delivered
    settled.span_ids = b""
    settled.span_ids_complete = True
    return settled


cdef class Queue:
    """The state of a `DeliveryQueue`, which is made of it and says what each part is."""

    cdef int append_cut(self, Delivery delivery) except -1:
        """Queue the delivery of a cut, as `DeliveryQueue.append` does."""
        lowest = self._lowest
        self._waiting.append(delivery)
        while lowest:
            last = lowest[len(lowest) - 1]
            if type(last) is not Delivery:
                self._enter(delivery)
                break
            if not lies_above(<Delivery>last, delivery):
                lowest.append(delivery)
                break
            lowest.pop()
        else:
            lowest.append(delivery)
        self.held_bytes += delivery.held_bytes
        return 0

    def take_in_c(self, int64_t count_max, int64_t bytes_max):
        """Detach what is next, as `DeliveryQueue.take` does."""
        cdef list in_flight = self.in_flight
        cdef list following = []
        cdef int64_t size = 0
        cdef Delivery delivery
        waiting, lowest = self._waiting, self._lowest
        popleft, pop_lowest = waiting.popleft, lowest.popleft
        while waiting and (
            (len(in_flight) < count_max and size < bytes_max) or self._inside_a_record()
        ):
            one = popleft()
            if lowest[0] is one:
                pop_lowest()
            in_flight.append(one)
            if type(one) is Delivery:
                delivery = <Delivery>one
                size += delivery.body_bytes
                if delivery.late:
                    following += self._next_of_its_trace(delivery)
            else:
                self._dead_letters.popleft()
                size += <int64_t>one.body_bytes
        for one in following:
            waiting.append(one)
            self._enter(one)
        return list(in_flight)

    def settle_in_c(self):
        """Let go of what is in flight, as `DeliveryQueue.settle` does."""
        cdef list settled = self.in_flight
        cdef int64_t held_bytes = 0
        self.in_flight = []
        for one in settled:
            if type(one) is Delivery:
                held_bytes += (<Delivery>one).held_bytes
            else:
                held_bytes += <int64_t>one.held_bytes
        self.held_bytes -= held_bytes
        return settled


cdef inline bint lies_above(Delivery one, Delivery other) noexcept:
    if one.first_offset != other.first_offset:
        return one.first_offset > other.first_offset
    return one.opened_ms > other.opened_ms
