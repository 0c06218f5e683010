# cython: language_level=3, boundscheck=True, wraparound=False
"""The loops over a transaction's deliveries: the compiled half of `partition.py` and its
neighbours, which say what each does.

Most traces are not sampled: of each goes out its decision record, which is made here. All else is
left to the methods there.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MIN, int64_t, uint8_t

from stream.kafka._commit cimport Produce, produce_of
from stream.sampling._decision cimport Context, packed
from stream.sampling._delivery cimport Decision, Delivery, Settled, settled_of

from stream.sampling.decision import Verdict

cdef enum:
    BOUNDS_MAX = 32

cdef object NOT_SAMPLED = Verdict.NOT_SAMPLED
cdef const uint8_t *DIGITS = b"0123456789abcdef"


cdef class Decisions:
    """Where the decision records of a partition go, and what all of them have in common."""

    cdef object topic
    cdef object partition
    cdef Context context

    def __init__(self, topic, partition, Context context not None):
        self.topic = topic
        self.partition = partition
        self.context = context

    def record(self, Delivery delivery not None):
        """Return the decision record of a delivery; None if it is none for C."""
        return self.record_of(delivery.decision)

    cdef Produce record_of(self, Decision decision):
        cdef bytes value = packed(decision, self.context)
        if value is None:
            return None
        return produce_of(self.topic, self.partition, hex_of(decision.trace_id), value)


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


def render(partition, Decisions decisions not None, list taken not None, plan):
    """Add the records of what was taken to a plan, as `Partition._render` does of each."""
    cdef list records = plan.records
    cdef list settled = plan.settled
    cdef dict seen = {}
    cdef int64_t body_bytes = 0
    cdef Delivery delivery
    cdef Produce record
    for one in taken:
        if type(one) is Delivery:
            delivery = <Delivery>one
            body_bytes += delivery.body_bytes
            if delivery.decision.verdict is NOT_SAMPLED:
                record = decisions.record_of(delivery.decision)
                if record is not None:
                    records.append(record)
                    settled.append(settled_of(one))
                    continue
        else:
            body_bytes += <int64_t>one.body_bytes
        settled.append(partition._render(one, records, seen))
    plan.body_bytes = body_bytes


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


def tally(of, list settled not None, int64_t now_ms):
    """Count deliveries that have committed, as `Tally.add` does."""
    cdef int64_t[BOUNDS_MAX] bounds_ms, delays
    cdef int64_t run = 0, delay_ms, sum_ms = 0
    cdef Py_ssize_t count = len(of.bounds_ms), at
    cdef Settled one
    cdef Delivery delivery
    cdef Decision decision
    assert count < BOUNDS_MAX
    for at in range(count):
        bounds_ms[at] = of.bounds_ms[at]
    for at in range(count + 1):
        delays[at] = 0
    verdict = policy = trigger = None
    for one in settled:
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
    if run:
        of.decided[verdict, policy, trigger] += run
    for at in range(count + 1):
        if delays[at]:
            of.delays[at] += delays[at]
    of.delay_ms += sum_ms
