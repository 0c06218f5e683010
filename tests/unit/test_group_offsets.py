"""What a group's member commits: markers are passed, records that are not done never."""

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.group_offsets import GroupOffsets


def test_behind_the_last_record_the_marker_is_committed_too() -> None:
    offsets = GroupOffsets()
    offsets.started(0, None)
    offsets.client_is_at({0: 11})
    offsets.done({0: 10})
    assert offsets.to_commit({0: 10}) == {0: 11}


def test_a_marker_that_comes_later_is_committed_though_nothing_new_is_done() -> None:
    offsets = GroupOffsets()
    offsets.started(0, None)
    offsets.client_is_at({0: 10})
    offsets.done({0: 10})
    offsets.committed(offsets.to_commit({0: 10}))
    assert offsets.to_commit({0: 10}) == {}
    offsets.client_is_at({0: 11})
    assert offsets.to_commit({0: 10}) == {0: 11}


def test_a_marker_is_not_passed_while_a_record_before_it_is_not_done() -> None:
    offsets = GroupOffsets()
    offsets.client_is_at({0: 12})
    offsets.done({0: 10})
    assert offsets.to_commit({0: 11}) == {0: 10}


def test_nothing_that_is_committed_is_taken_back() -> None:
    offsets = GroupOffsets()
    offsets.client_is_at({0: 11})
    offsets.done({0: 10})
    offsets.committed(offsets.to_commit({0: 10}))
    # The record behind the marker was taken, and is not done.
    offsets.client_is_at({0: 12})
    assert offsets.to_commit({0: 12}) == {}


def test_a_start_at_a_marker_is_behind_it_when_the_client_is() -> None:
    offsets = GroupOffsets()
    offsets.started(0, 10)
    assert offsets.to_commit({0: 10}) == {}
    offsets.client_is_at({0: 11})
    assert offsets.to_commit({0: 10}) == {0: 11}


def test_what_the_client_said_of_a_partition_that_went_and_came_back_does_not_count() -> None:
    offsets = GroupOffsets()
    offsets.started(0, 5)
    offsets.client_is_at({0: 100})
    offsets.forget([0])
    offsets.started(0, 5)
    offsets.client_is_at({0: 100})  # it has not heard yet
    assert offsets.to_commit({0: 5}) == {}


def test_where_the_client_begins_anew_its_old_position_does_not_count() -> None:
    offsets = GroupOffsets()
    offsets.client_is_at({0: 100})
    offsets.begin_anew(0)
    offsets.done({0: 60})
    assert offsets.to_commit({0: 60}) == {0: 60}


@given(
    log=st.lists(st.booleans(), min_size=4, max_size=12),
    steps=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 2)), max_size=8),
)
def test_no_record_that_is_not_done_is_ever_committed(
    log: list[bool], steps: list[tuple[int, bool, int]]
) -> None:
    """`log`: a record or a marker at each offset, of which all that is taken is noted or not."""
    offsets = GroupOffsets()
    client, done = 0, 0
    for taken, noted, finished in steps:
        client = min(len(log), client + taken)
        if noted:
            offsets.client_is_at({0: client})
        records = [offset + 1 for offset in range(client) if log[offset]]
        done = [done, *(each for each in records if each > done)][: finished + 1][-1]
        offsets.done({0: done})

        asked = offsets.to_commit({0: max(records, default=None)})
        offsets.committed(asked)

        assert not any(log[done : asked.get(0, 0)])
