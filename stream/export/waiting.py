"""Records on their way to the backend, by partition. Pure bookkeeping, on one thread."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from stream.kafka.group_reader import GroupRecord
from stream.otlp.frames import RESOURCE_SPANS, SCOPE_SPANS, SPAN
from stream.otlp.wire import Malformed, children


@dataclass(slots=True, eq=False)
class Lane:
    """A partition while it is ours: one request at a time, so its order holds.

    `next_offset` is the record to read next once all acknowledged ones are behind.
    """

    number: int
    queue: deque["Held"] = field(default_factory=deque)
    under_way: deque["Held"] = field(default_factory=deque)
    busy: bool = False
    ours: bool = True
    next_offset: int | None = None
    committed: int | None = None


@dataclass(slots=True, eq=False)
class Held:
    """A record that waits or is under way. `spans` is None where it is not OTLP protobuf."""

    lane: Lane
    record: GroupRecord
    body: bytes
    spans: int | None

    def acknowledge(self) -> None:
        """It is done with, and so are all before it in its partition."""
        assert self.lane.next_offset is None or self.lane.next_offset <= self.record.offset
        self.lane.next_offset = self.record.offset + 1
        first = self.lane.under_way.popleft()
        assert first is self


class Waiting:
    """What was read and is not acknowledged yet. `held_bytes` counts what is under way, too."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self._lanes: dict[int, Lane] = {}
        self._turn = 0

    def add(self, record: GroupRecord) -> None:
        """Take over a record that was read."""
        lane = self._lanes.get(record.partition)
        if lane is None:
            lane = self._lanes[record.partition] = Lane(record.partition)
        body = record.value or b""
        lane.queue.append(Held(lane, record, body, span_count(body)))
        self.held_bytes += len(body)

    def take(self, bytes_max: int) -> list[Held]:
        """Return the next request's records, none if every partition that has any is busy.

        Together they have at most `bytes_max`, but for a record that alone has more. The partitions
        take turns to be the first. What was taken goes back through `release`.
        """
        batch: list[Held] = []
        size = 0
        for lane in self._rotated():
            taken = 0
            while lane.queue and (not batch or size + len(lane.queue[0].body) <= bytes_max):
                held = lane.queue.popleft()
                size += len(held.body)
                batch.append(held)
                lane.under_way.append(held)
                taken += 1
            lane.busy = taken > 0
            if lane.queue and batch:
                break
        return batch

    def release(self, batch: Iterable[Held]) -> None:
        """A request has ended, however: its partitions are free for the next."""
        for held in batch:
            held.lane.busy = False
            self.held_bytes -= len(held.body)

    def to_commit(self) -> dict[int, int]:
        """Return the offset to read next of each partition where it has moved since `committed`."""
        return _moved(self._lanes.values())

    def committed(self, offsets: dict[int, int]) -> None:
        """These offsets are committed, of partitions that may have gone meanwhile."""
        for number, offset in offsets.items():
            if number in self._lanes:
                self._lanes[number].committed = offset

    def oldest(self) -> dict[int, GroupRecord]:
        """Return the first record of each partition that is not acknowledged, if there is one."""
        waiting = {n: lane.under_way or lane.queue for n, lane in self._lanes.items()}
        return {number: some[0].record for number, some in waiting.items() if some}

    def give_up(self, numbers: Iterable[int]) -> list[Lane]:
        """Drop what waits of these partitions. What is under way may still be acknowledged."""
        lanes = [self._lanes.pop(number) for number in numbers if number in self._lanes]
        for lane in lanes:
            self.held_bytes -= sum(len(held.body) for held in lane.queue)
            lane.queue.clear()
        return lanes

    def _rotated(self) -> list[Lane]:
        free = [lane for lane in self._lanes.values() if lane.queue and not lane.busy]
        self._turn += 1
        start = self._turn % len(free) if free else 0
        return free[start:] + free[:start]


def closed(lanes: Iterable[Lane]) -> dict[int, int]:
    """Return the offsets to commit of partitions that were given up; later ones no longer count."""
    lanes = list(lanes)
    for lane in lanes:
        lane.ours = False
    return _moved(lanes)


def span_count(value: bytes) -> int | None:
    """Return how many spans an OTLP `TracesData` holds; None if its envelopes are malformed.

    Such a record joined to others could swallow their spans, and be accepted all the same.
    """
    try:
        return sum(
            len(children(value, scope_start, scope_end, SPAN))
            for _, start, end in children(value, 0, len(value), RESOURCE_SPANS)
            for _, scope_start, scope_end in children(value, start, end, SCOPE_SPANS)
        )
    except Malformed:
        return None


def _moved(lanes: Iterable[Lane]) -> dict[int, int]:
    return {
        lane.number: lane.next_offset
        for lane in lanes
        if lane.next_offset is not None and lane.next_offset != lane.committed
    }
