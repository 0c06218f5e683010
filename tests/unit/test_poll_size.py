"""How many messages a poll takes."""

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.poll_size import LONG_S, MESSAGES_MAX, PollSize
from stream.poison.watch import LOOK_EVERY_S, LOOKS_MAX


@given(st.floats(0.000_001, LOOKS_MAX * LOOK_EVERY_S / 60))
def test_no_scan_takes_long_enough_to_be_ended_unless_one_record_does(record_s: float) -> None:
    size = PollSize()
    for _ in range(30):
        took_s = size.messages * record_s
        assert took_s < LOOKS_MAX * LOOK_EVERY_S
        size.took(size.messages, took_s)
    assert size.messages == 1 or size.messages * record_s <= 2 * LONG_S


def test_polls_of_quick_records_are_soon_as_large_as_they_may_be() -> None:
    size = PollSize()
    for _ in range(5):
        size.took(size.messages, 0.01)
    assert size.messages == MESSAGES_MAX


def test_polls_that_were_not_full_do_not_grow() -> None:
    size = PollSize()
    before = size.messages
    size.took(before - 1, 0.01)
    assert size.messages == before
