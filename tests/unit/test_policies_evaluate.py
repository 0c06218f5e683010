"""How the votes of several policies become one verdict."""

from dataclasses import dataclass

import pytest

from stream.otlp.fragment import Fragment
from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import Verdict, Vote
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.ballot import read_ballot
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Judgement, Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.policy import Policy, TraceSummary
from stream.sampling.policies.probabilistic import Probabilistic

TRACE = Fragment(bytes(range(16)), 3, 0, 1, 2, root=True, bits=0, body=b"")
S, N, D = Vote.SAMPLED, Vote.NOT_SAMPLED, Vote.DROPPED


@dataclass(frozen=True)
class Keeps:
    """A probabilistic policy that kept the trace, with the threshold it has."""

    name: str
    threshold: int

    def vote(self, trace: TraceSummary) -> Vote:
        assert trace is TRACE
        return Vote.SAMPLED


@dataclass(frozen=True)
class Vetoes:
    """A policy of another type than `drop` that votes dropped."""

    name: str
    threshold: int = 0

    def vote(self, trace: TraceSummary) -> Vote:
        assert trace is TRACE
        return Vote.DROPPED


def keep(name: str) -> Policy:
    return AlwaysSample(name)


def pass_by(name: str) -> Policy:
    return Latency(name, threshold_ms=10**9)


def drop(name: str) -> Policy:
    return Drop(name, [AlwaysSample("")])


def drop_nothing(name: str) -> Policy:
    return Drop(name, [pass_by("")])


@pytest.mark.parametrize(
    ("policies", "verdict", "policy", "votes"),
    [
        ([], "not_sampled", "", []),
        ([pass_by("a")], "not_sampled", "", [("a", N)]),
        ([keep("a")], "sampled", "a", [("a", S)]),
        ([pass_by("a"), keep("b"), keep("c")], "sampled", "b", [("a", N), ("b", S), ("c", S)]),
        ([keep("a"), pass_by("b")], "sampled", "a", [("a", S), ("b", N)]),
        ([keep("a"), drop("b")], "not_sampled", "b", [("b", D)]),
        ([drop("a"), keep("b")], "not_sampled", "a", [("a", D)]),
        ([keep("a"), drop_nothing("b")], "sampled", "a", [("b", N), ("a", S)]),
        ([drop_nothing("a"), pass_by("b")], "not_sampled", "", [("a", N), ("b", N)]),
        (
            [keep("a"), drop_nothing("b"), keep("c"), drop("d"), drop("e")],
            "not_sampled",
            "d",
            [("b", N), ("d", D)],
        ),
    ],
)
def test_drop_policies_come_first_dropped_beats_sampled_and_the_first_voter_is_named(
    policies: list[Policy], verdict: str, policy: str, votes: list[tuple[str, Vote]]
) -> None:
    judgement = Policies(policies).judge(TRACE)
    told = (judgement.verdict, judgement.policy, judgement.threshold, judgement.votes)
    assert told == (Verdict(verdict), policy, 0, votes)


def test_a_dropped_vote_beats_those_cast_before_it_and_is_not_a_share_of_anything() -> None:
    judgement = Policies([Keeps("a", 7), Vetoes("b"), keep("c")]).judge(TRACE)
    votes = [("a", S), ("b", D)]
    assert judgement == Judgement(Verdict.NOT_SAMPLED, "b", 0, votes, "sd-")


@pytest.mark.parametrize(
    ("policies", "policy", "votes", "threshold"),
    [
        ([keep("a"), keep("b")], "a", [("a", S)], 0),
        ([pass_by("a"), keep("b"), pass_by("c")], "b", [("a", N), ("b", S)], 0),
        ([keep("a"), drop_nothing("b")], "a", [("b", N), ("a", S)], 0),
        ([keep("a"), drop_nothing("b"), drop("c")], "c", [("b", N), ("c", D)], 0),
        ([pass_by("a")], "", [("a", N)], 0),
        ([pass_by("a"), Keeps("b", 7)], "b", [("a", N), ("b", S)], 7),
        # The one that was not asked may keep it for sure: nobody knows the share.
        ([Keeps("a", 7), keep("b")], "a", [("a", S)], UNKNOWN_THRESHOLD),
    ],
)
def test_with_sample_on_first_match_the_first_sampled_vote_ends_it_after_the_drop_policies(
    policies: list[Policy], policy: str, votes: list[tuple[str, Vote]], threshold: int
) -> None:
    judgement = Policies(policies, sample_on_first_match=True).judge(TRACE)
    assert (judgement.policy, judgement.votes, judgement.threshold) == (policy, votes, threshold)


def test_a_trace_above_the_maximum_size_is_not_sampled_and_nobody_is_asked() -> None:
    policies = Policies([keep("a")], maximum_trace_size_bytes=10)
    assert policies.judge(TRACE, body_bytes=11) == Judgement(Verdict.NOT_SAMPLED, "", 0, [])
    assert policies.judge(TRACE, body_bytes=10).policy == "a"
    assert Policies([keep("a")]).judge(TRACE, body_bytes=2**40).policy == "a"


def test_every_policy_is_named_in_the_order_it_votes() -> None:
    assert Policies([keep("a"), drop("b"), pass_by("c"), drop("d")]).names == ["b", "d", "a", "c"]


@pytest.mark.parametrize(
    ("policies", "threshold"),
    [
        ([Keeps("a", 7)], 7),
        ([Keeps("a", 7), Keeps("b", 5), Keeps("c", 9)], 5),
        ([Keeps("a", 7), keep("b")], 0),
        ([keep("a"), Keeps("b", 7)], 0),
        ([pass_by("a"), Keeps("b", 7), drop_nothing("c")], 7),
        ([Keeps("a", 7), Probabilistic("b", 0)], 7),
        ([Keeps("a", 7), drop("b")], 0),
    ],
)
def test_the_threshold_is_the_lowest_of_those_who_voted_sampled(
    policies: list[Policy], threshold: int
) -> None:
    assert Policies(policies).judge(TRACE).threshold == threshold


@pytest.mark.parametrize(
    "deciding",
    [[keep("a")], [pass_by("a")], [drop("a"), keep("b")], [Keeps("a", 7), keep("b")], []],
)
@pytest.mark.parametrize("first_match", [False, True])
@pytest.mark.parametrize(
    "shadows",
    [[keep("s")], [drop("s")], [pass_by("s"), Keeps("t", 3)], [Not("s", pass_by("")), drop("t")]],
)
def test_shadows_vote_last_whatever_was_said_and_decide_nothing(
    deciding: list[Policy], shadows: list[Policy], *, first_match: bool
) -> None:
    alone = Policies(deciding, sample_on_first_match=first_match)
    watched = Policies(deciding, sample_on_first_match=first_match, shadows=shadows)

    without, judged = alone.judge(TRACE), watched.judge(TRACE)

    decided = (judged.verdict, judged.policy, judged.threshold)
    assert decided == (without.verdict, without.policy, without.threshold)
    theirs = [(policy.name, policy.vote(TRACE)) for policy in shadows]
    assert judged.votes == without.votes + theirs
    assert judged.ballot.startswith(without.ballot)
    assert [each.shadow for each in read_ballot(judged.ballot)] == [
        *(False for _ in deciding),
        *(True for _ in shadows),
    ]
    assert watched.names == [*alone.names, *(policy.name for policy in shadows)]


def test_a_trace_above_the_maximum_size_asks_no_shadow_either() -> None:
    policies = Policies([keep("a")], maximum_trace_size_bytes=10, shadows=[keep("s")])
    assert policies.judge(TRACE, body_bytes=11).votes == []


HALF, ALWAYS = Probabilistic("half", 99.99999), AlwaysSample("all")
SALTED = Probabilistic("salted", 99.99999, "salt")


@pytest.mark.parametrize(
    ("policies", "threshold"),
    [
        ([HALF, Probabilistic("sharper", 99.9999)], HALF.threshold),
        ([HALF, And("both", [ALWAYS, HALF])], HALF.threshold),
        ([HALF, And("both", [Probabilistic("", 99.9999), HALF])], HALF.threshold),
        ([HALF, SALTED], UNKNOWN_THRESHOLD),
        ([And("two", [HALF, SALTED])], UNKNOWN_THRESHOLD),
        ([Not("not", Probabilistic("", 1e-9))], UNKNOWN_THRESHOLD),
        ([Not("not", Probabilistic("", 1e-9)), HALF], UNKNOWN_THRESHOLD),
        ([Drop("some", [Probabilistic("", 1e-9)]), ALWAYS], UNKNOWN_THRESHOLD),
        # A filter keeps it for sure, whatever the others would have done.
        ([HALF, SALTED, ALWAYS], 0),
        ([Not("not", Probabilistic("", 1e-9)), ALWAYS], 0),
        ([Not("not", pass_by("")), SALTED], 0),
    ],
)
def test_a_threshold_is_claimed_only_of_shares_that_choose_alike(
    policies: list[Policy], threshold: int
) -> None:
    judgement = Policies(policies).judge(TRACE)
    assert (judgement.verdict, judgement.threshold) == (Verdict.SAMPLED, threshold)
