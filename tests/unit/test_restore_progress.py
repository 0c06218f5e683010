"""What a restore says of itself while it goes on, and when it does not."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from stream import clock
from stream.restoring import (
    STALLED_AFTER_S,
    STALLED_REMEDY,
    TELL_EVERY_S,
    WAITS_REMEDY,
    Patience,
    Progress,
)


@pytest.fixture
def pass_s(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what lets seconds pass on the clock."""
    now_s = 0.0

    def pass_s(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    return pass_s


def test_a_restore_tells_every_few_seconds_how_far_it_has_come(
    pass_s: Callable[[float], None],
) -> None:
    progress = Progress("restoring", 3, 200, remedy=STALLED_REMEDY)
    with capture_logs() as said:
        for remaining in (150, 100, 50):
            pass_s(TELL_EVERY_S / 2)
            progress.remaining(remaining)
    assert [(one["remaining_records"], one["percent"]) for one in said] == [(100, 50)]


def test_a_restore_that_stands_still_says_what_it_waits_for_and_what_ends_that(
    pass_s: Callable[[float], None],
) -> None:
    progress = Progress("restoring", 3, 200, remedy=STALLED_REMEDY)
    with capture_logs() as said:
        pass_s(TELL_EVERY_S)
        progress.remaining(50)
        pass_s(STALLED_AFTER_S)
        progress.remaining(progress.records)
        assert "error" not in [one["log_level"] for one in said]
        pass_s(TELL_EVERY_S)
        progress.remaining(progress.records)
    assert said[-1]["log_level"] == "error"
    assert (said[-1]["partition"], said[-1]["remedy"]) == (3, STALLED_REMEDY)
    assert said[-2]["remaining_records"] == 50


def test_a_replay_that_stands_still_is_not_blamed_on_a_transaction(
    pass_s: Callable[[float], None],
) -> None:
    progress = Progress("replaying", 3, 200)
    with capture_logs() as said:
        pass_s(2 * STALLED_AFTER_S)
        progress.remaining(200)
    assert [one["log_level"] for one in said] == ["info"]


def test_a_restore_that_cannot_begin_says_why_now_and_then_and_in_the_end_as_an_error(
    pass_s: Callable[[float], None],
) -> None:
    patience = Patience(3)
    with capture_logs() as said:
        for _ in range(int(STALLED_AFTER_S) + 2):
            patience.waits("an offset is unstable")
            pass_s(1)
    levels = [one["log_level"] for one in said]
    assert levels == ["info"] * int(STALLED_AFTER_S / TELL_EVERY_S + 1)
    pass_s(TELL_EVERY_S)
    with capture_logs() as said:
        patience.waits("an offset is unstable")
    (one,) = said
    assert (one["log_level"], one["partition"], one["remedy"]) == ("error", 3, WAITS_REMEDY)
