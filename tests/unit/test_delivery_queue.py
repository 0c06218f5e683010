"""The order in which deliveries are carried, and what waits: against a plain list."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.otlp.fragment import BadSpans, DeadLetterReason
from stream.sampling.decision import Trigger, Verdict
from stream.sampling.delivery import DeadLetter, Delivery, Undelivered
from stream.sampling.delivery_queue import DeliveryQueue
from stream.sampling.late import late_delivery
from stream.sampling.stores import KnownDecision

KNOWN = KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto=1, time_ms=5)
BAD = BadSpans(DeadLetterReason.MALFORMED, 1, b"bad")


def a_delivery(trace: int, offset: int, *, body_bytes: int = 10, late: bool = True) -> Delivery:
    delivery = late_delivery(KNOWN, bytes([trace] * 16), offset, 1_000 + offset)
    delivery.body_bytes, delivery.late = body_bytes, late
    return delivery


def a_dead_letter(offset: int) -> DeadLetter:
    return DeadLetter(offset, 1_000 + offset, BAD, b"key")


def offsets(taken: list[Undelivered]) -> list[int]:
    return [one.first_offset for one in taken]


def test_a_trace_that_sends_without_end_has_one_place_among_the_others() -> None:
    queue = DeliveryQueue()
    for offset in range(5):
        queue.append_late(a_delivery(1, offset))
    for offset in (10, 11):
        queue.append(a_delivery(offset, offset, late=False))
    assert len(queue) == 7
    assert offsets(queue.take(count_max=3, bytes_max=1 << 30)) == [0, 10, 11]
    queue.settle()
    queue.append(a_delivery(12, 12, late=False))
    assert offsets(queue.take(count_max=9, bytes_max=1 << 30)) == [1, 12]
    queue.settle()
    assert offsets(queue.take(count_max=9, bytes_max=1 << 30)) == [2]
    assert len(queue) == 2


def test_what_is_put_back_comes_before_what_had_to_wait_for_it() -> None:
    queue = DeliveryQueue()
    for offset in range(3):
        queue.append_late(a_delivery(1, offset))
    queue.append(a_delivery(2, 7, late=False))
    queue.take(count_max=1, bytes_max=1 << 30)
    queue.put_back()
    assert queue.oldest() == (0, 1_000)
    carried = []
    while queue:
        carried += offsets(queue.take(count_max=9, bytes_max=1 << 30))
        queue.settle()
    assert carried == [0, 7, 1, 2]


def test_aborts_without_end_leave_no_entries_behind() -> None:
    queue = DeliveryQueue()
    for offset in range(10):
        queue.append(a_delivery(offset, offset, late=False))
    for _ in range(2_000):
        queue.take(count_max=10, bytes_max=1 << 30)
        queue.put_back()
    assert len(queue._lowest) < 2_000
    assert queue.oldest() == (0, 1_000)


class AgainstAList(RuleBasedStateMachine):
    """Whatever is appended, taken, put back and settled, the bounds are those of what waits."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = DeliveryQueue()
        self.waiting: list[Undelivered] = []
        self.in_flight: list[Undelivered] = []
        self.carried: list[Undelivered] = []
        self.offset = 0

    @rule(trace=st.integers(1, 3), back=st.integers(0, 4))
    def cut(self, trace: int, back: int) -> None:
        self._add(a_delivery(trace, max(0, self.offset - back), late=False), late=False)

    @rule(trace=st.integers(1, 3))
    def late(self, trace: int) -> None:
        self._add(a_delivery(trace, self.offset), late=True)

    @rule()
    def bad(self) -> None:
        self._add(a_dead_letter(self.offset), late=False)

    @precondition(lambda self: not self.in_flight)
    @rule(count=st.integers(1, 4), size=st.integers(1, 40))
    def take(self, count: int, size: int) -> None:
        self.in_flight = self.queue.take(count_max=count, bytes_max=size)
        assert bool(self.in_flight) == bool(self.waiting)
        for one in self.in_flight:
            self.waiting.remove(one)

    @rule()
    def put_back(self) -> None:
        self.queue.put_back()
        self.waiting, self.in_flight = self.in_flight + self.waiting, []

    @rule()
    def settle(self) -> None:
        assert self.queue.settle() == self.in_flight
        self.carried += self.in_flight
        self.in_flight = []

    @invariant()
    def agrees(self) -> None:
        queue = self.queue
        assert len(queue) == len(self.waiting)
        assert sorted(map(id, queue)) == sorted(map(id, self.waiting))
        lowest = [(one.first_offset, one.opened_ms) for one in self.waiting]
        assert queue.oldest() == min(lowest, default=None)
        dead = [one.first_offset for one in self.waiting if isinstance(one, DeadLetter)]
        assert queue.oldest_dead_letter() == min(dead, default=None)
        held = sum(one.held_bytes for one in (*self.waiting, *self.in_flight))
        assert queue.held_bytes == held

    def teardown(self) -> None:
        self.put_back()
        while self.waiting:
            self.take(4, 40)
            self.settle()
        late = [one for one in self.carried if isinstance(one, Delivery) and one.late]
        for trace in range(1, 4):
            order = [o.first_offset for o in late if o.decision.trace_id[0] == trace]
            assert all(one <= other for one, other in pairwise(order))

    def _add(self, delivery: Undelivered, *, late: bool) -> None:
        self.offset += 1
        self.waiting.append(delivery)
        if late:
            assert isinstance(delivery, Delivery)
            self.queue.append_late(delivery)
        else:
            self.queue.append(delivery)


TestAgainstAList = AgainstAList.TestCase


@given(st.lists(st.integers(0, 9), max_size=12))
def test_dead_letters_of_one_record_are_taken_together_over_any_bound(found: list[int]) -> None:
    queue = DeliveryQueue()
    for offset in sorted(found):
        queue.append(a_dead_letter(offset))
    while queue:
        taken = offsets(queue.take(count_max=1, bytes_max=1))
        assert taken == [taken[0]] * found.count(taken[0])
        queue.settle()
