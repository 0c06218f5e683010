"""The deliveries of one partition that no committed transaction has carried yet, in their order."""

from collections import deque
from collections.abc import Container, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.delivery import DeadLetter, Delivery, Undelivered, of_one_record

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._delivery import Queue
else:
    Queue = object


class DeliveryQueue(Queue):
    """First in, first out, with what is `in_flight` apart.

    Late spans of a trace share a delivery until it is taken, or full. Only the first delivery of a
    trace's late spans queues; the next one queues, at the end, when that has been taken. So a trace
    that never stops sending has one place among the others, and one delivery in a transaction.

    `_lowest` are those of `_waiting` before whose first offsets nothing lies that is behind them
    there: the first is the lowest, and is asked for in every transaction. Each enters and leaves
    once; a heap took a microsecond for each.

    `held_bytes` is what all of them hold in memory, those in flight too. `_returned` of them, the
    first ones, were put back: the late ones among these are in `_late` no more.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self.in_flight: list[Undelivered] = []
        self._waiting: deque[Undelivered] = deque()
        self._late: dict[bytes, deque[Delivery]] = {}
        self._behind = 0
        self._returned = 0
        self._dead_letters: deque[DeadLetter] = deque()
        self._lowest: deque[Undelivered] = deque()

    def __len__(self) -> int:
        """Return how many wait for a transaction."""
        return len(self._waiting) + self._behind

    def __iter__(self) -> Iterator[Undelivered]:
        """Yield what waits for a transaction."""
        yield from self._waiting
        for of_a_trace in self._late.values():
            yield from islice(of_a_trace, 1, None)

    def append(self, delivery: Undelivered) -> None:
        """Queue a delivery."""
        self._waiting.append(delivery)
        self._enter(delivery)
        if isinstance(delivery, DeadLetter):
            self._dead_letters.append(delivery)
        self.held_bytes += delivery.held_bytes

    def append_late(self, delivery: Delivery) -> None:
        """Queue a delivery of late spans, behind those of the same trace."""
        trace_id = delivery.decision.trace_id
        of_the_trace = self._late.get(trace_id)
        if of_the_trace is None:
            self._late[trace_id] = deque((delivery,))
            self.append(delivery)
            return
        # The one that queues for all of them tells of their offsets, too.
        assert delivery.first_offset >= of_the_trace[-1].first_offset, "late spans come in order"
        of_the_trace.append(delivery)
        self._behind += 1
        self.held_bytes += delivery.held_bytes

    def last_late(self, trace_id: bytes) -> Delivery | None:
        """Return the last delivery of this trace's late spans that waits, None without one."""
        of_the_trace = self._late.get(trace_id)
        return of_the_trace[-1] if of_the_trace else None

    def late_traces(self) -> Container[bytes]:
        """Return the traces of which late spans, or a promotion, wait."""
        if not self._returned:
            return self._late
        late = [one for one in self if isinstance(one, Delivery) and one.late]
        return {one.decision.trace_id for one in late}

    def grow(self, delivery: Delivery, held_bytes: int) -> None:
        """A delivery that waits holds so many bytes more."""
        delivery.held_bytes += held_bytes
        self.held_bytes += held_bytes

    def take(self, *, count_max: int, bytes_max: int) -> list[Undelivered]:
        """Detach what is next: one at least, if there is any.

        Dead letters of one record go together, also over the bounds: that they were delivered is
        remembered by their record's offset.
        """
        assert not self.in_flight, "one transaction at a time"
        if compiled.RUNS:
            return self.take_in_c(count_max, bytes_max)
        size = 0
        following: list[Delivery] = []
        while self._waiting and (
            (len(self.in_flight) < count_max and size < bytes_max) or self._inside_a_record()
        ):
            delivery = self._waiting.popleft()
            if self._lowest[0] is delivery:
                self._lowest.popleft()
            size += delivery.body_bytes
            self.in_flight.append(delivery)
            if isinstance(delivery, DeadLetter):
                self._dead_letters.popleft()
            elif delivery.late:
                following += self._next_of_its_trace(delivery)
        for delivery in following:
            self._waiting.append(delivery)
            self._enter(delivery)
        return list(self.in_flight)

    def settle(self) -> list[Undelivered]:
        """What is in flight has committed: let go of it, and return it."""
        self._returned = max(0, self._returned - len(self.in_flight))
        if compiled.RUNS:
            return self.settle_in_c()
        settled, self.in_flight = self.in_flight, []
        for delivery in settled:
            self.held_bytes -= delivery.held_bytes
        return settled

    def put_back(self) -> None:
        """What is in flight comes again, before the rest and in its order."""
        returned, self.in_flight = self.in_flight, []
        self._returned = max(self._returned, len(returned))
        self._waiting.extendleft(reversed(returned))
        dead_letters = [one for one in returned if isinstance(one, DeadLetter)]
        self._dead_letters.extendleft(reversed(dead_letters))
        for delivery in reversed(returned):
            if not self._lowest or _place(delivery) <= _place(self._lowest[0]):
                self._lowest.appendleft(delivery)

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self.in_flight = []
        self._late.clear()
        self._behind = 0
        self._returned = 0
        self._dead_letters.clear()
        self._lowest.clear()
        self.held_bytes = 0

    def oldest(self) -> tuple[int, int] | None:
        """Return the lowest first offset that waits and the partition time there."""
        return _place(self._lowest[0]) if self._lowest else None

    def oldest_dead_letter(self) -> int | None:
        """Return the offset of the first dead letter that waits: they wait in its order."""
        return self._dead_letters[0].first_offset if self._dead_letters else None

    def _enter(self, delivery: Undelivered) -> None:
        """It is the last one that waits: whatever lies above it is not asked for before it."""
        place, lowest = _place(delivery), self._lowest
        while lowest and _place(lowest[-1]) > place:
            lowest.pop()
        lowest.append(delivery)

    def _next_of_its_trace(self, delivery: Delivery) -> list[Delivery]:
        """What arrives from now on is a delivery of its own; return the one that is there."""
        trace_id = delivery.decision.trace_id
        of_the_trace = self._late.get(trace_id)
        if of_the_trace is None or of_the_trace[0] is not delivery:
            return []  # it was put back, and the next one queues already
        of_the_trace.popleft()
        if not of_the_trace:
            del self._late[trace_id]
            return []
        self._behind -= 1
        return [of_the_trace[0]]

    def _inside_a_record(self) -> bool:
        return bool(self.in_flight) and of_one_record(self.in_flight[-1], self._waiting[0])


def _place(delivery: Undelivered) -> tuple[int, int]:
    return delivery.first_offset, delivery.opened_ms
