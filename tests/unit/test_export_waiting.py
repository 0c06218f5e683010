"""Records between Kafka and the backend: order, batches, what may be committed."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from stream.export.waiting import Held, Waiting, closed, span_count
from stream.kafka.group_reader import GroupRecord
from stream.testing.spans import a_trace, resource_spans, spans_of, traces_data

VALUE = traces_data(a_trace(1))
SIZE = len(VALUE)


def record(partition: int, offset: int, value: bytes = VALUE) -> GroupRecord:
    return GroupRecord(partition, offset, None, b"key", value, [])


def waiting_with(*places: tuple[int, int]) -> Waiting:
    waiting = Waiting()
    for place in places:
        waiting.add(record(*place))
    return waiting


def places(batch: Iterable[Held]) -> list[tuple[int, int]]:
    return [(held.record.partition, held.record.offset) for held in batch]


def test_a_request_holds_records_of_several_partitions_up_to_its_size() -> None:
    waiting = waiting_with((0, 5), (1, 8), (1, 9), (0, 6))
    assert sorted(places(waiting.take(4 * SIZE))) == [(0, 5), (0, 6), (1, 8), (1, 9)]
    waiting = waiting_with((0, 5), (0, 6), (0, 7))
    assert places(waiting.take(3 * SIZE - 1)) == [(0, 5), (0, 6)]


def test_a_record_above_the_size_goes_alone() -> None:
    waiting = waiting_with((0, 5), (0, 6))
    assert places(waiting.take(SIZE - 1)) == [(0, 5)]


def test_a_partition_is_in_one_request_at_a_time() -> None:
    waiting = waiting_with((0, 5), (0, 6))
    first = waiting.take(SIZE)
    assert waiting.take(SIZE) == []
    waiting.add(record(1, 1))
    assert places(waiting.take(SIZE)) == [(1, 1)]
    waiting.release(first)
    assert places(waiting.take(SIZE)) == [(0, 6)]


def test_no_partition_waits_behind_a_full_one() -> None:
    waiting = waiting_with(*((0, offset) for offset in range(9)), (1, 1), (2, 1))
    seen = set()
    for _ in range(3):
        batch = waiting.take(SIZE)
        seen |= {partition for partition, _ in places(batch)}
        waiting.release(batch)
    assert seen == {0, 1, 2}


def test_only_what_is_acknowledged_is_committed_and_only_once() -> None:
    waiting = waiting_with((0, 5), (0, 7), (1, 1))
    batch = waiting.take(SIZE)
    batch += waiting.take(SIZE)
    assert waiting.to_commit() == {}
    for held in batch:
        held.acknowledge()
    moved = {partition: offset + 1 for partition, offset in places(batch)}
    assert len(moved) == 2
    assert waiting.to_commit() == moved
    waiting.committed(moved)
    assert waiting.to_commit() == {}


def test_of_a_partition_given_up_what_is_acknowledged_until_then_counts_and_nothing_later() -> None:
    waiting = waiting_with((0, 5), (0, 6), (0, 7))
    first, second = waiting.take(2 * SIZE)
    lanes = waiting.give_up([0, 3])
    first.acknowledge()
    assert second.lane.ours
    assert closed(lanes) == {0: 6}
    assert not second.lane.ours

    second.acknowledge()
    waiting.add(record(0, 6))  # the partition came back, at what was committed
    assert waiting.to_commit() == {}
    assert places(waiting.take(9 * SIZE)) == [(0, 6)]


@given(st.lists(st.sampled_from(["add", "take", "end", "give up"]), max_size=40))
def test_held_bytes_are_those_of_what_waits_and_is_under_way(steps: list[str]) -> None:
    waiting = Waiting()
    under_way: list[list[Held]] = []
    queued = offset = 0
    for step in steps:
        if step == "add":
            waiting.add(record(offset % 2, offset))
            offset += 1
            queued += 1
        elif step == "take":
            under_way.append(waiting.take(3 * SIZE))
            queued -= len(under_way[-1])
        elif step == "end" and under_way:
            waiting.release(under_way.pop())
        elif step == "give up":
            waiting.give_up([0, 1])
            queued = 0
        assert waiting.held_bytes == SIZE * (queued + sum(map(len, under_way)))


def test_spans_are_counted_over_all_envelopes_and_what_is_malformed_has_no_count() -> None:
    several = traces_data(resource_spans(a_trace(1)), resource_spans(a_trace(2, spans=7)))
    assert span_count(several) == len(spans_of(several)) == 10
    assert span_count(b"") == 0
    assert span_count(several[:-1]) is None
    assert span_count(b"\x0a\x7f") is None
    assert span_count(b'{"resourceSpans": []}') is None


def test_the_oldest_record_of_a_partition_is_the_first_that_is_not_acknowledged() -> None:
    waiting = waiting_with((0, 5), (0, 6), (0, 7), (1, 8))
    batch = waiting.take(2 * SIZE)
    assert {n: record.offset for n, record in waiting.oldest().items()} == {0: 5, 1: 8}

    (first, *_) = [held for held in batch if held.record.partition == 0]
    first.acknowledge()
    assert waiting.oldest()[0].offset == 6

    for held in batch:
        if held is not first:
            held.acknowledge()
    waiting.release(batch)
    rest = waiting.take(4 * SIZE)
    for held in rest:
        held.acknowledge()
    waiting.release(rest)
    assert waiting.oldest() == {}
