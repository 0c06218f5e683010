# cython: language_level=3, boundscheck=True, wraparound=False
"""The loops over a transaction's deliveries: the compiled half of `partition.py` and its
neighbours, which say what each does.

Of a trace that is not sampled goes out its decision record, which is made here; so are the records
of one that is, where nothing is wrong with its spans. All else is left to the methods there.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MIN, int64_t, uint8_t
from libc.stdio cimport snprintf

from stream.kafka._commit cimport Produce, produce_of
from stream.sampling._decision cimport Context, packed
from stream.sampling._delivery cimport Decision, Delivery, Settled, settled_of

from stream.otlp._merge import merge
from stream.sampling.decision import Verdict

cdef enum:
    BOUNDS_MAX = 32
    # Of so many policies' durations is counted at once.
    POLICIES_MAX = 16
    # 32 digits and three numbers.
    TELLING_BYTES_MAX = 128
    # There are as many as policies, times the few triggers.
    MARKS_MAX = 1_024

cdef object NOT_SAMPLED = Verdict.NOT_SAMPLED
cdef object SAMPLED = Verdict.SAMPLED
cdef const uint8_t *DIGITS = b"0123456789abcdef"


cdef class Renderer:
    """What the records of a partition are made of. `partition` renders what is odd."""

    cdef object partition
    cdef object number
    cdef object spans
    cdef object delivering
    cdef object decisions_topic
    cdef Context context
    cdef Py_ssize_t span_ids_bytes_max
    cdef dict marks

    def __init__(
        self, partition, spans, delivering, Context context not None,
        Py_ssize_t span_ids_bytes_max,
    ):
        self.partition = partition
        self.number = partition.number
        self.spans = spans
        self.delivering = delivering
        self.decisions_topic = delivering.decisions_topic
        self.context = context
        self.span_ids_bytes_max = span_ids_bytes_max
        self.marks = {}

    def render(self, list taken not None, plan):
        """Add the records of what was taken to a plan."""
        cdef list records = plan.records
        cdef list settled = plan.settled
        cdef dict seen = {}
        cdef int64_t body_bytes = 0
        cdef Settled done
        for one in taken:
            done = None
            if type(one) is Delivery:
                body_bytes += (<Delivery>one).body_bytes
                done = self.rendered(<Delivery>one, records, seen)
            else:
                body_bytes += <int64_t>one.body_bytes
            if done is None:
                done = self.partition._render(one, records, seen)
            settled.append(done)
        plan.body_bytes = body_bytes

    def record(self, Delivery delivery not None):
        """Return the decision record of a delivery; None if it is none for C."""
        return self.record_of(delivery.decision)

    cdef Produce record_of(self, Decision decision):
        cdef bytes value = packed(decision, self.context)
        if value is None:
            return None
        return produce_of(self.decisions_topic, self.number, hex_of(decision.trace_id), value)

    cdef Settled rendered(self, Delivery delivery, list records, dict seen):
        """Add a delivery's records, as `Partition._render` does; None, with nothing done, if odd."""
        cdef Decision decision = delivery.decision
        cdef Settled settled
        cdef Produce record
        if decision.verdict is NOT_SAMPLED:
            record = self.record_of(decision)
            if record is None:
                return None
            records.append(record)
            return settled_of(delivery)
        if delivery.late or delivery.undeliverable or decision.trace_id in seen:
            return None
        stamp, attributes, named = self.mark_of(decision)
        bodies = self.spans.get(decision.trace_id, decision.offsets)
        merged = merge(bodies, stamp, attributes, self.delivering.output_bytes_max, b"")
        if merged is None:
            return None
        settled = settled_of(delivery)
        self.tell_spans(decision, settled, merged)
        record = self.record_of(decision)
        if record is None:
            return None
        seen[decision.trace_id] = (settled.span_ids, settled.span_ids_complete)
        self.add_parts(delivery, merged[0], <bytes>record.key, <tuple>named, records)
        records.append(record)
        return settled

    cdef int tell_spans(self, Decision decision, Settled settled, tuple merged) except -1:
        cdef bytes span_ids = merged[3]
        cdef Py_ssize_t size = PyBytes_GET_SIZE(span_ids)
        settled.duplicates = merged[2]
        settled.span_ids = span_ids[:min(size, self.span_ids_bytes_max)]
        settled.span_ids_complete = size <= self.span_ids_bytes_max
        decision.duplicates = settled.duplicates
        decision.dead_lettered = 0
        decision.span_ids = settled.span_ids
        decision.span_ids_complete = settled.span_ids_complete
        return 0

    cdef int add_parts(
        self, Delivery delivery, list parts, bytes key, tuple named, list records
    ) except -1:
        cdef char[TELLING_BYTES_MAX] telling
        cdef Produce record
        cdef Py_ssize_t at, count = len(parts)
        cdef list headers
        topic = self.delivering.output_topic
        for at in range(count):
            snprintf(
                telling, TELLING_BYTES_MAX, "%s:%lld:%zd/%zd", PyBytes_AS_STRING(key),
                <long long>delivery.decision.upto, at + 1, count,
            )
            headers = [named[0], named[1], ("tailstream.delivery", <bytes>telling)]
            if delivery.headers:
                headers += delivery.headers
            record = produce_of(topic, self.number, key, parts[at])
            record.with_headers = headers
            records.append(record)
        return 0

    cdef tuple mark_of(self, Decision decision):
        """Return the stamp, its attributes and the headers; what depends on no trace is kept."""
        key = (decision.policy, decision.trigger)
        found = self.marks.get(key)
        if found is None:
            if len(self.marks) >= MARKS_MAX:
                self.marks.clear()
            stamp = self.partition.stamp_of(decision)
            named = (
                ("tailstream.policy", decision.policy.encode()),
                ("tailstream.trigger", decision.trigger.value.encode()),
            )
            found = self.marks[key] = (stamp, stamp.attributes(), named)
        if decision.threshold or found[0].threshold:
            # The trace's own randomness goes with a threshold.
            return (self.partition.stamp_of(decision), found[1], found[2])
        return found


cdef bytes hex_of(bytes number):
    """Return the lowercase hexadecimal digits."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(number), at
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(number)
    cdef bytes digits = PyBytes_FromStringAndSize(NULL, 2 * size)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(digits)
    for at in range(size):
        out[2 * at] = DIGITS[start[at] >> 4]
        out[2 * at + 1] = DIGITS[start[at] & 15]
    return digits


def append_all(log, list settled not None, config):
    """Add the decisions of what has committed, as `DecisionLog.append` does each."""
    cdef int64_t records = 0, upto = INT64_MIN, time_ms = INT64_MIN
    cdef int64_t room = log.room()
    cdef Settled one
    cdef Decision decision
    for one in settled:
        if type(one.delivered) is not Delivery:
            continue
        if records >= room:
            log.add(records, upto, time_ms)
            records, upto, time_ms = 0, INT64_MIN, INT64_MIN
            room = log.room()
        decision = (<Delivery>one.delivered).decision
        records += 1
        upto = max(upto, decision.upto)
        time_ms = max(time_ms, decision.time_ms)
        if decision.levels:
            log.add(records, upto, time_ms)
            records, upto, time_ms = 0, INT64_MIN, INT64_MIN
            room = log.room()
            log.tell_levels(decision.levels, config)
    if records:
        log.add(records, upto, time_ms)


cdef struct Measured:
    # Kept traces of one policy: durations by bucket, and the last settled one of each.
    int64_t sum_us
    int64_t[BOUNDS_MAX] counts
    Py_ssize_t[BOUNDS_MAX] last


def tally(of, list settled not None, int64_t now_ms):
    """Count deliveries that have committed, as `Tally.add` does."""
    cdef int64_t[BOUNDS_MAX] bounds_ms, bounds_us, delays
    cdef Py_ssize_t[BOUNDS_MAX] last_kept
    cdef Measured[POLICIES_MAX] measured
    cdef int64_t run = 0, delay_ms, sum_ms = 0
    cdef Py_ssize_t count = len(of.bounds_ms), count_us = len(of.duration_bounds_us), at, place
    cdef Py_ssize_t which = 0
    cdef list policies = []
    cdef Settled one
    cdef Delivery delivery
    cdef Decision decision
    assert count < BOUNDS_MAX and count_us < BOUNDS_MAX
    for at in range(count):
        bounds_ms[at] = of.bounds_ms[at]
    for at in range(count_us):
        bounds_us[at] = of.duration_bounds_us[at]
    for at in range(count + 1):
        delays[at] = 0
        last_kept[at] = -1
    verdict = policy = trigger = None
    for place in range(len(settled)):
        one = settled[place]
        if type(one.delivered) is not Delivery:
            of.dead_letters[one.delivered.bad.reason.value] += 1
            continue
        delivery = <Delivery>one.delivered
        if one.dead_lettered:
            of.dead_letters["undeliverable" if delivery.undeliverable else "span_too_large"] += 1
        if delivery.late:
            continue
        decision = delivery.decision
        if (
            decision.verdict is not verdict
            or decision.policy is not policy
            or decision.trigger is not trigger
        ):
            if run:
                of.decided[verdict, policy, trigger] += run
            verdict, policy, trigger = decision.verdict, decision.policy, decision.trigger
            run = 0
        run += 1
        delay_ms = max(0, now_ms - delivery.due_ms)
        sum_ms += delay_ms
        at = 0
        while at < count and bounds_ms[at] < delay_ms:
            at += 1
        delays[at] += 1
        if verdict is not SAMPLED or one.dead_lettered:
            continue
        last_kept[at] = place
        if which >= len(policies) or policies[which] is not policy:
            which = place_of(policies, policy)
            if which == POLICIES_MAX:
                tell_durations(of, policies, measured, count_us + 1, settled)
                which = 0
            if which == len(policies):
                policies.append(policy)
                measured[which].sum_us = 0
                for at in range(count_us + 1):
                    measured[which].counts[at] = 0
        at = 0
        while at < count_us and bounds_us[at] < decision.duration_us:
            at += 1
        measured[which].counts[at] += 1
        measured[which].last[at] = place
        measured[which].sum_us += decision.duration_us
    if run:
        of.decided[verdict, policy, trigger] += run
    for at in range(count + 1):
        if delays[at]:
            of.delays[at] += delays[at]
        if last_kept[at] >= 0:
            delivery = <Delivery>(<Settled>settled[last_kept[at]]).delivered
            of.delay_exemplars[at] = (
                delivery.decision.trace_id, max(0, now_ms - delivery.due_ms)
            )
    of.delay_ms += sum_ms
    tell_durations(of, policies, measured, count_us + 1, settled)


cdef Py_ssize_t place_of(list policies, policy):
    """Return where a policy is in the list, or the list's length."""
    cdef Py_ssize_t at
    for at in range(len(policies)):
        if policies[at] is policy:
            return at
    return len(policies)


cdef int tell_durations(
    of, list policies, Measured *measured, Py_ssize_t buckets, list settled
) except -1:
    """Add what was measured to the tally, and forget the policies."""
    cdef Py_ssize_t which, at
    cdef Decision decision
    for which in range(len(policies)):
        durations = of.durations_of(policies[which])
        durations.sum_us += measured[which].sum_us
        for at in range(buckets):
            if measured[which].counts[at]:
                durations.counts[at] += measured[which].counts[at]
                decision = (<Delivery>(<Settled>settled[measured[which].last[at]]).delivered).decision
                durations.exemplars[at] = (decision.trace_id, decision.duration_us)
    policies.clear()
    return 0
