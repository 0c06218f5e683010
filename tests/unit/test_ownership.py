"""A worker is not ready on the strength of a first answer that gives it nothing."""

from stream.ownership import EMPTY_BELIEVED_AFTER_S, Ownership


def test_before_the_group_has_answered_nothing_is_settled() -> None:
    assert not Ownership().settled(1_000.0)


def test_a_first_answer_without_partitions_is_not_believed_at_once() -> None:
    ownership = Ownership()
    ownership.assigned(0, 100.0)

    assert not ownership.settled(100.0)
    assert not ownership.settled(99.0 + EMPTY_BELIEVED_AFTER_S)


def test_partitions_settle_it_whether_they_come_first_or_second() -> None:
    at_once, later = Ownership(), Ownership()
    at_once.assigned(3, 100.0)
    later.assigned(0, 100.0)
    later.assigned(3, 102.0)

    assert at_once.settled(100.0)
    assert later.settled(102.0)


def test_a_worker_that_is_to_stand_idle_is_settled_in_the_end() -> None:
    ownership = Ownership()
    ownership.assigned(0, 100.0)
    ownership.assigned(0, 105.0)

    assert ownership.settled(100.0 + EMPTY_BELIEVED_AFTER_S)


def test_who_had_partitions_and_gave_them_up_stays_settled() -> None:
    ownership = Ownership()
    ownership.assigned(3, 100.0)
    ownership.assigned(0, 101.0)

    assert ownership.settled(101.0)


def test_who_lost_all_is_out_of_the_group_until_it_answers_again() -> None:
    ownership = Ownership()
    ownership.assigned(3, 100.0)
    ownership.lost(left=1)
    with_one_left = ownership.settled(101.0)
    ownership.lost(left=0)
    with_none = ownership.settled(500.0)
    ownership.assigned(2, 501.0)

    assert (with_one_left, with_none, ownership.settled(501.0)) == (True, False, True)
