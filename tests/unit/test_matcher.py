"""The matcher: conditions in, masks for the policies and a plan for the scanner out."""

import pytest

from stream.otlp.scan import ScanPlan
from stream.otlp.span import STATUS_ERROR, STATUS_OK, STATUS_UNSET
from stream.sampling.matcher import BooleanIs, Condition, Matcher, NumberWithin, StatusIs, StringIs
from stream.sampling.regex import BadRegex


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


def test_conditions_that_differ_in_anything_have_bits_of_their_own() -> None:
    conditions: list[Condition] = [
        StatusIs(1),
        StringIs("k", frozenset({"1"})),
        StringIs("k", frozenset({"1"}), regex=True),
        StringIs("k", frozenset({"1", "2"})),
        StringIs("j", frozenset({"1"})),
        NumberWithin("k", 0, None),
        NumberWithin("k", None, 0),
        NumberWithin("k", 0, 0),
        NumberWithin("k", 0, 1),
        BooleanIs("k", value=True),
        BooleanIs("k", value=False),
    ]
    matcher = Matcher()
    assert [matcher.mask(each) for each in conditions] == [1 << bit for bit in range(11)]
    assert matcher.mask(StringIs("k", frozenset({"2", "1"}))) == 8


def test_a_number_without_any_bound_is_our_own_bug() -> None:
    with pytest.raises(AssertionError):
        NumberWithin("k", None, None)


def test_a_bad_expression_is_told_when_the_plan_is_made() -> None:
    matcher = Matcher()
    matcher.mask(StringIs("k", frozenset({"("}), regex=True))
    with pytest.raises(BadRegex):
        matcher.plan()
