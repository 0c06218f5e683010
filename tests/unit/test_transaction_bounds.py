"""How large a transaction may be, and what it must hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.worker.transaction import LONG_S, Bounds, Transaction

SHORT_S = 0.1


def test_a_failure_halves_what_was_tried_and_commits_grow_it_back() -> None:
    bounds = Bounds(deliveries_max=1_000, bytes_max=1 << 20)
    bounds.failed(600)
    assert (bounds.deliveries, bounds.bytes) == (300, 1 << 19)
    for _ in range(3):
        bounds.committed(SHORT_S)
    assert (bounds.deliveries, bounds.bytes) == (1_000, 1 << 20)


def test_a_transaction_that_took_long_is_made_smaller_although_it_committed() -> None:
    bounds = Bounds(deliveries_max=1_000, bytes_max=1 << 20)
    bounds.committed(LONG_S + 0.1)
    assert (bounds.deliveries, bounds.bytes) == (500, 1 << 19)


@given(st.lists(st.integers(0, 5_000) | st.floats(0, 10), max_size=40))
def test_bounds_stay_between_one_delivery_and_their_ceilings(ends: list[int | float]) -> None:
    bounds = Bounds(deliveries_max=100, bytes_max=1 << 20)
    for end in ends:
        if isinstance(end, float):
            bounds.committed(end)
        else:
            bounds.failed(end)
        assert 1 <= bounds.deliveries <= 100
        assert 64 * 1024 <= bounds.bytes <= 1 << 20


@given(st.integers(1, 100_000))
def test_failures_alone_come_down_to_a_single_delivery(deliveries_max: int) -> None:
    bounds = Bounds(deliveries_max=deliveries_max)
    tries = 0
    while bounds.deliveries > 1:
        bounds.failed(bounds.deliveries)
        tries += 1
    assert tries <= deliveries_max.bit_length()


def test_a_transaction_without_offsets_would_not_be_fenced_so_it_cannot_be_made() -> None:
    with pytest.raises(AssertionError, match="at least one offset"):
        Transaction([])


def test_an_abort_that_carried_no_delivery_says_nothing_about_their_number() -> None:
    bounds = Bounds(deliveries_max=1_000, bytes_max=1 << 20)

    bounds.failed(0)

    assert (bounds.deliveries, bounds.bytes) == (1_000, 1 << 20)
