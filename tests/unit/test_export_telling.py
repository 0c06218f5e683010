"""An outage of an hour is some sixty lines, not one for each try."""

from stream.export.telling import TELL_EVERY_S, Telling


def test_the_first_time_is_told_at_once_and_the_next_a_minute_later_with_their_number() -> None:
    telling = Telling()
    times_s = [100.0 + 10.0 * turn for turn in range(13)]
    assert times_s[6] == times_s[0] + TELL_EVERY_S

    told = [telling.due("busy", now_s) for now_s in times_s]

    assert told == [1, *[0] * 5, 6, *[0] * 5, 6]


def test_another_thing_is_told_at_once_beside_it() -> None:
    telling = Telling()
    telling.due("busy", 100.0)

    assert [telling.due("denied", 101.0), telling.due("busy", 102.0)] == [1, 0]


def test_what_begins_anew_after_a_quiet_hour_is_told_at_once() -> None:
    telling = Telling()
    telling.due("busy", 100.0)

    assert telling.due("busy", 3_700.0) == 1
