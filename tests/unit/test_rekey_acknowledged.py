"""Which offsets may be committed while pieces come back in any order."""

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.acknowledged import Acknowledged, Pending


def read(acknowledged: Acknowledged, offset: int, pieces: int, *, partition: int = 0) -> Pending:
    pending = acknowledged.read(partition, offset)
    pending.pieces = pieces
    return pending


def test_an_offset_is_committed_when_all_below_it_is_done() -> None:
    acknowledged = Acknowledged()
    first, second = read(acknowledged, 5, 2), read(acknowledged, 9, 1)
    second.done()
    first.done()
    assert acknowledged.to_commit() == {}
    first.done()
    assert acknowledged.to_commit() == {0: 10}
    assert len(acknowledged) == 0


def test_a_record_of_which_nothing_is_made_is_done_at_once() -> None:
    acknowledged = Acknowledged()
    read(acknowledged, 5, 0)
    assert acknowledged.to_commit() == {0: 6}


def test_what_is_committed_is_not_committed_again() -> None:
    acknowledged = Acknowledged()
    read(acknowledged, 5, 0)
    acknowledged.committed(acknowledged.to_commit())
    assert acknowledged.to_commit() == {}
    read(acknowledged, 6, 0)
    assert acknowledged.to_commit() == {0: 7}


def test_pieces_of_a_partition_given_up_do_not_count_when_it_comes_back() -> None:
    acknowledged = Acknowledged()
    before = read(acknowledged, 5, 1)
    read(acknowledged, 1, 0, partition=1)
    acknowledged.forget([0])
    again = read(acknowledged, 5, 1)
    before.done()
    assert acknowledged.to_commit() == {1: 2}
    again.done()
    assert acknowledged.to_commit([0]) == {0: 6}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.randoms())
def test_no_offset_above_an_unfinished_record_is_ever_committed(
    pieces: list[int], random: object
) -> None:
    acknowledged = Acknowledged()
    records = [read(acknowledged, offset, count) for offset, count in enumerate(pieces)]
    left = [record for record in records for _ in range(record.pieces)]
    random.shuffle(left)  # type: ignore[attr-defined]  # Hypothesis's own Random
    for record in [*left, None]:
        unfinished = [each.offset for each in records if each.pieces]
        upto = acknowledged.to_commit().get(0, 0)
        assert upto == min(unfinished, default=len(pieces))
        if record is not None:
            record.done()
