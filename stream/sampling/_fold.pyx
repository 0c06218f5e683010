# cython: language_level=3, boundscheck=True, wraparound=False
"""Folding rows and cutting what is due: the compiled half of `TailSampler`.

`tail_sampler.py` says what happens and why; here is the same for rows of one fragment, without a
Python object for a record. Whatever is rarer (several traces in a record, headers, a late span, a
limit) is left to the methods there, with the state in between as they would have left it.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcpy

from stream.otlp._scan cimport ASIDE, NOTHING, TRACE, bits_of
from stream.sampling._bodies cimport Bodies
from stream.sampling._deadlines cimport Due
from stream.sampling._delivery cimport Decision, Delivery, Queue
from stream.sampling._judge cimport Judge
from stream.sampling._rows cimport Row, Rows
from stream.sampling._trace cimport OpenTrace, opened

from stream.sampling.decision import Clock, Trigger, Verdict
from stream.sampling.pins import kept_by_pin
from stream.sampling.record import RecordKind

cdef enum:
    TRACE_ID_BYTES = 16
    # As in trace.py; `_trace.pyx` says that it is checked.
    RECORD_BYTES = 48
    NO_TIMESTAMP = -1
    JUDGED_MAX = 16

cdef uint64_t WORD = <uint64_t>0xFFFFFFFFFFFFFFFF
cdef object CLOCK_LOG = Clock.LOG
cdef object NOT_SAMPLED = Verdict.NOT_SAMPLED
cdef object DECISION_WAIT = Trigger.DECISION_WAIT
cdef object ROOT_RECEIVED = Trigger.ROOT_RECEIVED
cdef object SPAN_LIMIT = Trigger.SPAN_LIMIT
cdef object TRACE_BYTES_LIMIT = Trigger.TRACE_BYTES_LIMIT
cdef object PINNED = Trigger.PINNED
cdef object SPANS = RecordKind.SPANS
# Of every trace that has none: what is delivered is not added to.
cdef dict NO_HEADERS = {}


# What a fold asks of the configuration, once; and what it has received.
cdef struct Known:
    int64_t wait_ms
    int64_t after_root_ms
    int64_t trace_spans_max
    int64_t trace_bytes_max
    int64_t too_large_bytes
    int64_t open_traces_max
    bint bodies_spill
    # Whether decisions are beyond what is in memory: none are put while a batch is folded.
    bint decisions_beyond
    int64_t received


cdef struct Wall:
    bint clamps
    int64_t time_ms


cdef class State:
    """The state of a `TailSampler`, which is made of it and says what each part is."""

    cdef public int64_t position
    cdef public int64_t time_ms
    cdef public int64_t open_bytes
    cdef public int64_t decisions_bytes
    cdef public bint cuts_held
    cdef public object accounts
    cdef public object _policies
    cdef public bint _at_ingest
    cdef public bint _judges_plainly
    cdef public Judge _judge
    cdef public object _ask
    # Judgements whose votes are not counted yet, and how many traces had each.
    cdef list _uncounted
    cdef int64_t[JUDGED_MAX] _uncounted_traces
    cdef public bint _custom_root
    cdef public object _windows
    cdef public object _limits
    cdef public object _budget
    cdef public object _spans
    cdef public object _decisions
    # Of its `InMemory`, if it has one.
    cdef public dict _known
    cdef public object _beyond
    cdef public Bodies _in_memory
    cdef public dict _open
    cdef public Due _deadlines
    cdef public object _undelivered
    cdef public dict _uncommitted
    cdef public list _bodies
    cdef public set _dropped
    # Pins that wait for their traces, by trace id.
    cdef public dict _pins
    cdef public bint _late_promotes

    def __cinit__(self):
        self._uncounted = []

    cdef int advance(self, const Row *row, Wall *wall) except -1:
        """Let the time advance to a record's, and cut what is due then."""
        cdef int64_t timestamp_ms = row.timestamp_ms
        if timestamp_ms == NO_TIMESTAMP or timestamp_ms <= self.time_ms:
            return 0
        if wall.clamps and timestamp_ms > wall.time_ms:
            self.accounts.records["clamped"] += 1
            timestamp_ms = max(wall.time_ms, self.time_ms)
        self.time_ms = timestamp_ms
        self.position = row.offset
        if self._deadlines.due_ms <= timestamp_ms:
            cut_all_due(self, timestamp_ms, CLOCK_LOG)
        return 0

    cdef bint might_cut(self, const Row *row, Known *known, Wall *wall) except -1:
        """Tell whether a record that is not aside might cut something (`held_cuts.py`)."""
        cdef int64_t stamp_ms = row.timestamp_ms
        cdef int64_t spans = row.spans
        cdef int64_t size = row.body_bytes
        cdef OpenTrace trace
        if self._late_promotes and row.kind == TRACE:
            return True
        if wall.clamps:
            stamp_ms = min(stamp_ms, wall.time_ms)
        if self._deadlines.due_ms <= max(self.time_ms, stamp_ms):
            return True
        if <int64_t>self._budget.used + (row.kind == TRACE) > known.open_traces_max:
            return True
        if row.kind != TRACE:
            return False
        found = self._open.get(id_of(row))
        if found is not None:
            trace = <OpenTrace?>found
            spans += trace.spans
            size += trace.body_bytes
        return (
            spans >= known.trace_spans_max
            or size >= known.trace_bytes_max
            or 0 < known.too_large_bytes < size
        )

    cdef int fold_row(
        self, Rows rows, Py_ssize_t at, const Row *row, Known *known
    ) except -1:
        """Fold a row of kind TRACE that has no headers."""
        cdef bytes trace_id = id_of(row)
        cdef PyObject *found = PyDict_GetItemWithError(self._open, trace_id)
        cdef OpenTrace trace
        cdef bytes body = <bytes>rows.bodies[at]
        cdef bint had_root
        cdef bint root = rows.bits[at * rows.words] & 1 if self._custom_root else row.root
        cdef int64_t kept_bytes = 0 if known.bodies_spill else row.body_bytes
        if found != NULL:
            trace = <OpenTrace?>(<object>found)
            trace_id = trace.trace_id
        else:
            decision = self.decision_of(trace_id, known)
            if decision is not None:
                record = rows.record(at)
                self._follow(decision, record.fragments[0], record)
                return 0
            trace = self.opened_at(trace_id, row.offset, known)
        known.received += row.spans
        had_root = trace.root
        merge_bits(trace, &rows.bits[at * rows.words], rows.words)
        trace.add(
            row.spans, row.errors, row.start_ns, row.end_ns, root, row.body_bytes, row.offset
        )
        trace.last_ms = self.time_ms
        if self._in_memory is not None:
            self._in_memory.add(trace_id, row.offset, body)
        else:
            self._bodies.append((trace_id, row.offset, body))
        trace.held_bytes += kept_bytes
        self.open_bytes += kept_bytes + RECORD_BYTES
        if 0 < known.too_large_bytes < trace.body_bytes:
            self._limit(trace, TRACE_BYTES_LIMIT, "maximum_trace_size_bytes")
        elif trace.spans >= known.trace_spans_max:
            self._limit(trace, SPAN_LIMIT, "trace_spans_max")
        elif trace.body_bytes >= known.trace_bytes_max:
            self._limit(trace, TRACE_BYTES_LIMIT, "trace_bytes_max")
        elif trace.root and not had_root and known.after_root_ms:
            self._hasten(trace)
        return 0

    cdef object decision_of(self, bytes trace_id, const Known *known):
        """Return the decision that a trace has, None without one."""
        decision = self._uncommitted.get(trace_id)
        if decision is not None:
            return decision
        if self._known is not None:
            for generation in reversed(self._known.values()):
                decision = (<dict>generation).get(trace_id)
                if decision is not None:
                    return decision
            if not known.decisions_beyond:
                return None
        return self._decisions.get(trace_id)

    cdef OpenTrace opened_at(self, bytes trace_id, int64_t offset, Known *known):
        cdef OpenTrace trace
        cdef int64_t deadline_ms = self.time_ms + known.wait_ms
        if <int64_t>self._budget.used >= known.open_traces_max:
            return self._opened(trace_id, offset)
        trace = opened(trace_id, offset, self.time_ms, deadline_ms)
        self._open[trace_id] = trace
        self.open_bytes += trace.held_bytes
        self._deadlines._opened.append(trace)
        if deadline_ms < self._deadlines.due_ms:
            self._deadlines.due_ms = deadline_ms
        self._budget.used += 1
        if self._pins:
            self._opened_pinned(trace)
        return trace


def fold_rows(State state, Rows rows, wall_ms):
    """Fold the rows from the state's position on; while cuts are held, up to what might cut."""
    cdef Known known = known_of(state)
    cdef Wall wall = Wall(wall_ms is not None, wall_ms or 0)
    cdef Row *row
    cdef Py_ssize_t at
    cdef bint has_headers = bool(rows.headers)
    try:
        for at in range(rows.filled):
            row = &rows.rows[at]
            if row.offset < state.position:
                continue
            if row.kind == ASIDE or state._at_ingest or (has_headers and at in rows.headers):
                if not state._fold_record(rows.record(at), wall_ms):
                    break
                continue
            if state.cuts_held and state.might_cut(row, &known, &wall):
                break
            state.advance(row, &wall)
            state.position = row.offset + 1
            if row.kind == TRACE:
                state.fold_row(rows, at, row, &known)
    finally:
        state.accounts.received += known.received
        count_votes(state)


def cut_due(State state, int64_t time_ms, clock):
    """Cut the open traces whose deadline is at most `time_ms`, in their order."""
    try:
        cut_all_due(state, time_ms, clock)
    finally:
        count_votes(state)


cdef int cut_all_due(State state, int64_t time_ms, clock) except -1:
    cdef Due deadlines = state._deadlines
    cdef OpenTrace trace
    cdef int64_t wait_ms = state._windows.decision_wait_ms
    while deadlines.due_ms <= time_ms:
        trace = deadlines.first_of(state._open)
        if trace is None or trace.deadline_ms > time_ms:
            deadlines.due_ms = INT64_MAX if trace is None else trace.deadline_ms
            break
        hastened = trace.deadline_ms < trace.opened_ms + wait_ms
        cut(state, trace, ROOT_RECEIVED if hastened else DECISION_WAIT, clock)
    return 0


cdef int cut(State state, OpenTrace trace, trigger, clock) except -1:
    """Cut a trace whose time has come, at the position."""
    cdef Delivery delivery
    assert not state.cuts_held, "a trace whose decision may be known must not be judged"
    del state._open[trace.trace_id]
    state._budget.used -= 1
    state.open_bytes -= trace.held_bytes
    if state._judge is not None:
        judgement = state._judge.judgement_of(trace, state._ask)
    elif state._judges_plainly:
        judgement = state._policies.judge(
            trace, body_bytes=trace.body_bytes, due_ms=due_ms_of(state, trace, clock)
        )
    else:
        judgement = state._judged(trace, clock)
    remember_votes(state, judgement)
    source = None
    if trace.pin is not None and judgement.verdict is NOT_SAMPLED:
        judgement, trigger, source = kept_by_pin(judgement), PINNED, trace.pin
    if judgement.verdict is NOT_SAMPLED:
        if state._in_memory is not None:
            state._in_memory.remove(trace.trace_id, trace.its_offsets)
        else:
            state._spans.delete(trace.trace_id, trace.its_offsets)
            if state._bodies:
                state._dropped.add(trace.trace_id)
    delivery = delivery_of(state, trace, judgement, trigger, clock)
    if source is not None:
        delivery.decision.source = source
    state._uncommitted[trace.trace_id] = delivery.decision
    return (<Queue?>state._undelivered).append_cut(delivery)


cdef Delivery delivery_of(State state, OpenTrace trace, judgement, trigger, clock):
    """Return the delivery of a trace that was judged at the position, as `cut.py` does."""
    cdef Decision decision = Decision.__new__(Decision)
    cdef Delivery delivery = Delivery.__new__(Delivery)
    decision.trace_id = trace.trace_id
    decision.verdict = judgement.verdict
    decision.policy = judgement.policy
    decision.trigger = trigger
    decision.threshold = judgement.threshold
    decision.spans = trace.spans
    decision.errors = trace.errors
    decision.duration_us = duration_us_of(trace)
    decision.complete = trace.root
    decision.time_ms = state.time_ms
    decision.clock = clock
    decision.upto = state.position
    decision.offsets = trace.its_offsets
    decision.ballot = judgement.ballot
    decision.levels = judgement.levels
    delivery.decision = decision
    delivery.first_offset = trace.first_offset
    delivery.opened_ms = trace.opened_ms
    delivery.due_ms = due_ms_of(state, trace, clock)
    delivery.votes = judgement.votes
    delivery.headers = NO_HEADERS if trace.its_headers is None else trace.its_headers
    delivery.held_bytes = trace.held_bytes
    if decision.verdict is not NOT_SAMPLED:
        delivery.body_bytes = trace.body_bytes
    elif not state._budget.bodies_spill:
        delivery.held_bytes -= trace.body_bytes
    return delivery


cdef int64_t due_ms_of(State state, OpenTrace trace, clock):
    """Return when it was due, as `cut.py` does."""
    if clock is CLOCK_LOG:
        return min(trace.deadline_ms, max(state.time_ms, trace.opened_ms))
    return trace.deadline_ms


cdef uint64_t duration_us_of(OpenTrace trace):
    if not trace.start_ns or trace.end_ns <= trace.start_ns:
        return 0
    return (trace.end_ns - trace.start_ns) // 1000


cdef int remember_votes(State state, judgement) except -1:
    """Remember to count the votes of a trace's judgement, which many traces share."""
    cdef list judged = state._uncounted
    cdef Py_ssize_t at
    for at in range(len(judged)):
        if judged[at] is judgement:
            state._uncounted_traces[at] += 1
            return 0
    if len(judged) == JUDGED_MAX:
        count_votes(state)
    state._uncounted_traces[len(judged)] = 1
    judged.append(judgement)
    return 0


cdef int count_votes(State state) except -1:
    """Count the votes that are remembered."""
    cdef Py_ssize_t at
    if not state._uncounted:
        return 0
    votes = state.accounts.votes
    for at in range(len(state._uncounted)):
        for policy, vote in state._uncounted[at].votes:
            votes[policy, vote.value] += state._uncounted_traces[at]
    state._uncounted.clear()
    return 0


cdef Known known_of(State state):
    limits, windows, budget = state._limits, state._windows, state._budget
    return Known(
        windows.decision_wait_ms,
        windows.decision_wait_after_root_ms,
        within(limits.trace_spans_max),
        within(limits.trace_bytes_max),
        within(state._policies.maximum_trace_size_bytes),
        within(budget.limit),
        budget.bodies_spill,
        bool(state._beyond),
        0,
    )


cdef int64_t within(number):
    """Return a limit in C; what lies beyond is never reached."""
    return min(number, INT64_MAX)


cdef bytes id_of(const Row *row):
    return PyBytes_FromStringAndSize(<const char *>row.trace_id, TRACE_ID_BYTES)


cdef int merge_bits(OpenTrace trace, const uint64_t *words, Py_ssize_t count) except -1:
    cdef Py_ssize_t at
    trace.low_bits |= words[0]
    for at in range(1, count):
        if words[at]:
            trace.bits = trace.bits | bits_of(words, count)
            return 0
    return 0


def rows_of(records, Py_ssize_t words):
    """Return records as rows, as the compiled receive would have made them."""
    cdef Rows rows = Rows(words)
    cdef Row *row
    cdef Py_ssize_t at, word
    for at, record in enumerate(records):
        fragments = record.fragments
        if record.kind is not SPANS or record.bad or len(fragments) > 1:
            row = rows.add(None)
            row.offset = record.offset
            rows.put_aside(at, record)
            continue
        fragment = fragments[0] if fragments else None
        row = rows.add(fragment.body if fragments else b"")
        row.offset = record.offset
        row.timestamp_ms = record.timestamp_ms
        row.kind = NOTHING
        if fragments:
            row.kind = TRACE
            row.spans, row.errors, row.root = fragment.spans, fragment.errors, fragment.root
            row.start_ns, row.end_ns = fragment.start_ns, fragment.end_ns
            set_id(row, fragment.trace_id)
            assert not fragment.bits >> 64 * words, "the bits have no room"
            for word in range(words):
                rows.bits[at * words + word] = <uint64_t>(fragment.bits >> 64 * word & WORD)
        if not fragments or record.key != fragment.trace_id.hex().encode():
            rows.keys[at] = record.key
        if record.headers:
            rows.headers[at] = record.headers
    return rows


cdef int set_id(Row *row, bytes trace_id) except -1:
    assert len(trace_id) == TRACE_ID_BYTES
    memcpy(row.trace_id, <const char *>trace_id, TRACE_ID_BYTES)
    return 0
