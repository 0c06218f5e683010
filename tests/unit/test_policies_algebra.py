"""`and`, `not` and `drop` as an algebra, on any nesting of them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.otlp.fragment import Fragment
from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import Verdict, Vote
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


def named(policies: list[Policy]) -> list[Policy]:
    return [And(f"{number}", [policy]) for number, policy in enumerate(policies)]


@given(st.lists(POLICIES, min_size=1, max_size=4), TRACES)
def test_not_of_and_of_nots_keeps_what_any_keeps(policies: list[Policy], trace: Fragment) -> None:
    any_of_them = Not("", And("", [Not("", policy) for policy in policies]))
    keeps = any(policy.vote(trace) is Vote.SAMPLED for policy in policies)
    assert (any_of_them.vote(trace) is Vote.SAMPLED) is keeps
    # What any of them keeps is what they keep side by side, at the top.
    assert (Policies(named(policies)).judge(trace).verdict is Verdict.SAMPLED) is keeps


@given(st.lists(POLICIES, min_size=1, max_size=4), TRACES)
def test_not_of_and_keeps_what_not_all_keep(policies: list[Policy], trace: Fragment) -> None:
    some_do_not = any(Not("", policy).vote(trace) is Vote.SAMPLED for policy in policies)
    assert (Not("", And("", policies)).vote(trace) is Vote.SAMPLED) is some_do_not


@given(
    st.lists(POLICIES, max_size=4),
    st.lists(st.lists(POLICIES, min_size=1, max_size=2), max_size=2),
    st.randoms(),
    TRACES,
)
def test_the_order_of_policies_changes_who_is_named_and_nothing_else(
    policies: list[Policy], dropping: list[list[Policy]], order: Random, trace: Fragment
) -> None:
    drops: list[Policy] = [Drop(f"drop {at}", subs) for at, subs in enumerate(dropping)]
    everyone = [*named(policies), *drops]
    shuffled = list(everyone)
    order.shuffle(shuffled)
    one, other = Policies(everyone).judge(trace), Policies(shuffled).judge(trace)
    assert (one.verdict, one.threshold) == (other.verdict, other.threshold)
    assert bool(one.policy) is bool(other.policy)
    votes = dict(other.votes)
    assert votes[other.policy] is dict(one.votes)[one.policy] if one.policy else not other.policy
    if Vote.DROPPED not in votes.values():
        assert votes == dict(one.votes)


@given(st.lists(POLICIES, max_size=4), st.lists(POLICIES, min_size=1, max_size=2), TRACES)
def test_a_drop_that_matches_beats_all_others_and_one_that_does_not_changes_no_verdict(
    policies: list[Policy], dropping: list[Policy], trace: Fragment
) -> None:
    drop = Drop("drop", dropping)
    without, with_it = Policies(named(policies)), Policies([*named(policies), drop])
    if drop.vote(trace) is Vote.DROPPED:
        dropped = with_it.judge(trace)
        assert (dropped.verdict, dropped.policy) == (Verdict.NOT_SAMPLED, "drop")
        assert dropped.votes == [("drop", Vote.DROPPED)]
    else:
        verdicts = [
            (each.verdict, each.policy) for each in (without.judge(trace), with_it.judge(trace))
        ]
        assert verdicts[0] == verdicts[1]


@given(
    st.lists(POLICIES, max_size=3),
    st.lists(POLICIES, max_size=2),
    st.lists(st.one_of(POLICIES, POLICIES.map(lambda sub: Drop("", [sub]))), max_size=3),
    TRACES,
)
def test_a_shadow_changes_nothing_but_the_votes_that_are_told(
    policies: list[Policy], dropping: list[Policy], shadows: list[Policy], trace: Fragment
) -> None:
    everyone = named(policies)
    everyone += [Drop("drop", dropping)] if dropping else []
    without = Policies(everyone).judge(trace)
    with_them = Policies(everyone, shadows=shadows).judge(trace)
    decided = len(without.votes)
    assert with_them.votes[:decided] == without.votes
    assert [vote for _, vote in with_them.votes[decided:]] == [each.vote(trace) for each in shadows]
    assert with_them.ballot.startswith(without.ballot)
    assert (with_them.verdict, with_them.policy, with_them.threshold) == (
        without.verdict,
        without.policy,
        without.threshold,
    )


@given(TRACES)
def test_inverting_a_match_is_the_other_vote_and_is_what_not_does(trace: Fragment) -> None:
    condition = BooleanIs("a", value=True)
    plain = Attribute("", condition, MATCHER)
    inverted = Attribute("", condition, MATCHER, invert_match=True)
    assert {plain.vote(trace), inverted.vote(trace)} == {Vote.SAMPLED, Vote.NOT_SAMPLED}
    assert inverted.vote(trace) is Not("", plain).vote(trace)
    assert plain.vote(trace) is Not("", inverted).vote(trace)


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
