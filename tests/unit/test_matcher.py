"""The matcher: conditions in, masks for the policies and a plan for the scanner out."""

import pytest

from stream.otlp.scan import ScanPlan
from stream.otlp.span import STATUS_ERROR, STATUS_OK, STATUS_UNSET
from stream.sampling.matcher import Matcher, StatusIs


def test_each_condition_has_one_bit_and_no_two_conditions_share_it() -> None:
    matcher = Matcher()
    masks = [matcher.mask(StatusIs(code)) for code in (STATUS_ERROR, STATUS_OK, STATUS_UNSET)]
    assert sorted(masks) == [1, 2, 4]


def test_a_condition_that_two_policies_ask_for_is_looked_for_once() -> None:
    matcher = Matcher()
    first = matcher.mask(StatusIs(STATUS_OK))
    matcher.mask(StatusIs(STATUS_ERROR))
    assert matcher.mask(StatusIs(STATUS_OK)) == first


def test_the_plan_sets_for_each_status_code_the_bit_of_its_condition_and_no_other() -> None:
    matcher = Matcher()
    error = matcher.mask(StatusIs(STATUS_ERROR))
    unset = matcher.mask(StatusIs(STATUS_UNSET))
    assert matcher.plan() == ScanPlan(status_bits=(unset, 0, error))


def test_without_conditions_the_plan_looks_for_nothing() -> None:
    assert Matcher().plan() == ScanPlan()


@pytest.mark.parametrize("code", [-1, 3])
def test_a_status_code_that_otlp_does_not_define_is_our_own_bug(code: int) -> None:
    with pytest.raises(AssertionError):
        StatusIs(code)
