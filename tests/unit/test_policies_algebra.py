"""`and`, `not` and `drop` as an algebra, on any nesting of them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.otlp.fragment import Fragment
from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import Vote
from stream.sampling.matcher import BooleanIs, Matcher
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.attribute import Attribute
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.policy import Policy
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.span_count import SpanCount

MATCHER = Matcher()
LEAVES: list[Policy] = [
    AlwaysSample(""),
    Attribute("", BooleanIs("a", value=True), MATCHER),
    Attribute("", BooleanIs("b", value=True), MATCHER, invert_match=True),
    SpanCount("", 2, 4),
    Probabilistic("", 30),
    Probabilistic("", 60, "salt"),
]
POLICIES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(lambda sub: Not("", sub)),
        st.lists(inner, min_size=1, max_size=3).map(lambda subs: And("", subs)),
    ),
)
TRACES = st.builds(
    Fragment,
    trace_id=st.binary(min_size=16, max_size=16),
    spans=st.integers(1, 6),
    errors=st.just(0),
    start_ns=st.just(0),
    end_ns=st.just(0),
    root=st.just(True),
    bits=st.integers(0, 3),
    body=st.just(b""),
)


@given(POLICIES, TRACES)
def test_not_of_not_is_the_policy_itself(policy: Policy, trace: Fragment) -> None:
    assert Not("", Not("", policy)).vote(trace) is policy.vote(trace)


@given(POLICIES, TRACES)
def test_not_is_always_the_other_vote(policy: Policy, trace: Fragment) -> None:
    assert {policy.vote(trace), Not("", policy).vote(trace)} == {Vote.SAMPLED, Vote.NOT_SAMPLED}


@given(POLICIES, TRACES)
def test_and_of_one_is_that_one_and_has_its_threshold(policy: Policy, trace: Fragment) -> None:
    assert And("", [policy]).vote(trace) is policy.vote(trace)
    assert And("", [policy, policy]).vote(trace) is policy.vote(trace)
    assert And("", [policy]).threshold == policy.threshold


@given(st.lists(POLICIES, min_size=1, max_size=4), st.randoms(), TRACES)
def test_the_order_inside_and_changes_neither_vote_nor_threshold(
    policies: list[Policy], order: Random, trace: Fragment
) -> None:
    shuffled = list(policies)
    order.shuffle(shuffled)
    one, other = And("", policies), And("", shuffled)
    assert one.vote(trace) is other.vote(trace)
    assert one.threshold == other.threshold


@given(st.lists(POLICIES, min_size=1, max_size=4), TRACES)
def test_and_keeps_what_every_sub_policy_keeps_and_drop_drops_just_that(
    policies: list[Policy], trace: Fragment
) -> None:
    every = all(policy.vote(trace) is Vote.SAMPLED for policy in policies)
    assert (And("", policies).vote(trace) is Vote.SAMPLED) is every
    assert (Drop("", policies).vote(trace) is Vote.DROPPED) is every


@given(st.lists(POLICIES, min_size=1, max_size=4), st.lists(POLICIES, max_size=2), TRACES)
def test_stopping_at_the_first_match_changes_neither_the_verdict_nor_the_policy_that_decides(
    policies: list[Policy], dropping: list[Policy], trace: Fragment
) -> None:
    named: list[Policy] = [And(f"{number}", [policy]) for number, policy in enumerate(policies)]
    named += [Drop("drop", dropping)] if dropping else []
    every = Policies(named).judge(trace)
    first = Policies(named, sample_on_first_match=True).judge(trace)
    assert (first.verdict, first.policy) == (every.verdict, every.policy)
    assert first.votes == every.votes[: len(first.votes)]
    assert Vote.SAMPLED not in [vote for _, vote in first.votes[:-1]]
    if first.votes == every.votes:
        assert first.threshold == every.threshold
    else:  # of those who were not asked nobody knows
        assert first.threshold in {0, UNKNOWN_THRESHOLD}
        assert first.threshold >= every.threshold


def test_the_threshold_of_and_is_the_highest_inside_and_that_of_not_is_unknown() -> None:
    low, high = Probabilistic("", 60), Probabilistic("", 30)
    assert low.threshold < high.threshold
    assert And("", [AlwaysSample(""), low]).threshold == low.threshold
    assert And("", [low, high, AlwaysSample("")]).threshold == high.threshold
    assert And("", [low, And("", [high])]).threshold == high.threshold
    assert And("", [AlwaysSample("")]).threshold == 0
    assert Not("", AlwaysSample("")).threshold == 0
    assert Not("", high).threshold == UNKNOWN_THRESHOLD
    assert And("", [low, Not("", high)]).threshold == UNKNOWN_THRESHOLD
    assert And("", []).threshold == 0


def test_a_not_of_drop_is_our_own_bug() -> None:
    trace = Fragment(bytes(16), 1, 0, 0, 0, root=True, bits=0, body=b"")
    with pytest.raises(AssertionError):
        Not("", Drop("", [AlwaysSample("")])).vote(trace)
