"""Limits: what passes, who pays, how partitions share them, and that levels are all they know."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

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
from stream.sampling.policies.composite import Composite
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.limit import Limit, limits_of
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.policy import Policy, TraceSummary
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.rate_limiting import BytesLimiting, RateLimiting
from stream.sampling.policies.span_count import SpanCount
from stream.sampling.policies.status_code import StatusCode

SAMPLED, NOT_SAMPLED = Vote.SAMPLED, Vote.NOT_SAMPLED


@dataclass(frozen=True)
class Asked:
    """A trace that a policy is asked of."""

    after_ms: int
    spans: int
    bits: int = 0


ASKED = st.lists(
    st.builds(
        Asked,
        st.sampled_from([0, 0, 1, 7, 30, 400, 1_000, 5_000]),
        st.sampled_from([1, 1, 2, 3, 5, 8, 20, 200]),
        st.integers(0, 3),
    ),
    max_size=40,
)


def a_trace(spans: int, bits: int = 0) -> Fragment:
    return Fragment(b"t" * 16, spans, 0, 0, 0, root=True, bits=bits, body=b"")


def votes_on(
    policies: Policies, asked: Sequence[Asked], *, time_ms: int = 1_000
) -> list[tuple[Vote, ...]]:
    """Ask of each trace in turn; its bytes are ten times its spans."""
    votes = []
    for one in asked:
        time_ms += one.after_ms
        trace = a_trace(one.spans, one.bits)
        judged = policies.judge(trace, body_bytes=10 * one.spans, due_ms=time_ms)
        votes.append(tuple(vote for _, vote in judged.votes))
    return votes


def alone(policy: Policy, partitions: int = 1) -> Policies:
    policies = Policies([policy])
    policies.fleet.spread_over(lambda: partitions)
    return policies


class GoBucket:
    """golang.org/x/time/rate, in exact numbers: `AllowN(now, n)`."""

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_second, self.burst = per_second, burst
        self.tokens, self.last_ms = Fraction(burst), 0

    def allows(self, now_ms: int, tokens: int) -> bool:
        gained = Fraction((now_ms - self.last_ms) * self.per_second, 1_000)
        there = min(Fraction(self.burst), self.tokens + gained)
        if tokens > self.burst or tokens > there:
            return False
        self.tokens, self.last_ms = there - tokens, now_ms
        return True


@given(st.integers(1, 50), st.sampled_from([0, 1, 4, 30]), ASKED)
def test_in_one_partition_a_rate_is_the_collectors_bucket(
    rate: int, burst: int, asked: list[Asked]
) -> None:
    bucket = GoBucket(rate, burst or 2 * rate)
    got = votes_on(alone(RateLimiting("p", rate, burst)), asked)
    now_ms, wanted = 1_000, []
    for one in asked:
        now_ms += one.after_ms
        wanted.append((SAMPLED if bucket.allows(now_ms, one.spans) else NOT_SAMPLED,))
    assert got == wanted


@given(st.integers(1, 50), ASKED)
def test_bytes_are_limited_as_spans_are(rate: int, asked: list[Asked]) -> None:
    by_bytes = votes_on(alone(BytesLimiting("p", 10 * rate)), asked)
    assert by_bytes == votes_on(alone(RateLimiting("p", rate)), asked)


@given(st.integers(1, 50), st.integers(1, 8), st.sampled_from([0, 1, 30]), ASKED)
def test_a_partition_keeps_no_more_than_its_share_of_the_rate_and_a_trace(
    rate: int, partitions: int, burst: int, asked: list[Asked]
) -> None:
    votes = votes_on(alone(RateLimiting("p", rate, burst), partitions), asked)
    kept = [one.spans for one, vote in zip(asked, votes, strict=True) if vote == (SAMPLED,)]
    passed_s = Fraction(sum(one.after_ms for one in asked), 1_000)
    share = (burst or 2 * rate) + rate * passed_s
    assert sum(kept) <= share / partitions + max(kept, default=0)
    assert max(kept, default=0) <= (burst or 2 * rate)


def test_partitions_together_have_the_burst() -> None:
    many = [Asked(0, 1)] * 50
    for partitions in (1, 2, 5, 10):
        policies = alone(RateLimiting("p", 10), partitions)
        kept = [votes_on(policies.of_partition(), many) for _ in range(partitions)]
        assert sum(votes.count((SAMPLED,)) for votes in kept) == 20


def test_a_share_that_is_smaller_than_a_trace_lets_it_pass_and_is_in_debt_until_paid() -> None:
    policies = alone(RateLimiting("p", 100), partitions=100)
    # A share is 1 span a second, 2 at once: 15 spans pass, and are paid after 15 s.
    asked = [Asked(0, 15), Asked(0, 1), Asked(13_999, 1), Asked(1, 1), Asked(0, 1)]
    wanted = [SAMPLED, NOT_SAMPLED, NOT_SAMPLED, SAMPLED, NOT_SAMPLED]
    assert votes_on(policies, asked) == [(vote,) for vote in wanted]


def test_a_trace_above_the_fleets_burst_never_passes() -> None:
    policies = alone(RateLimiting("p", 100, 150), partitions=4)
    assert votes_on(policies, [Asked(9_000, 151), Asked(9_000, 150)]) == [
        (NOT_SAMPLED,),
        (SAMPLED,),
    ]


def test_time_that_goes_back_brings_nothing_and_takes_nothing() -> None:
    policies = alone(RateLimiting("p", 1_000, 10))
    asked = [Asked(0, 10), Asked(-500, 1), Asked(500, 1), Asked(1, 1)]
    wanted = [SAMPLED, NOT_SAMPLED, NOT_SAMPLED, SAMPLED]
    assert votes_on(policies, asked) == [(vote,) for vote in wanted]


def test_who_is_asked_pays_whoever_decides() -> None:
    limit = RateLimiting("limit", 10, 10)
    policies = Policies([AlwaysSample("all"), limit])
    judged = [policies.judge(a_trace(6)) for _ in range(2)]
    assert [one.policy for one in judged] == ["all", "all"]
    assert [one.votes[1][1] for one in judged] == [SAMPLED, NOT_SAMPLED]


@given(asked=ASKED, partitions=st.sampled_from([1, 3, 40]))
def test_a_shadow_that_is_a_limit_charges_a_level_of_its_own_and_nobody_elses(
    asked: list[Asked], partitions: int
) -> None:
    def deciding() -> list[Policy]:
        return [RateLimiting("rate", 10, 30), Composite("c", 20, [(FIRST, 5), (SECOND, 9)])]

    def shadow() -> RateLimiting:
        return RateLimiting("shadow", 10, 20)

    by_itself, watched = Policies(deciding()), Policies(deciding(), shadows=[shadow()])
    shadowing = alone(shadow(), partitions)
    for policies in (by_itself, watched):
        policies.fleet.spread_over(lambda: partitions)
    decided, seen = votes_on(by_itself, asked), votes_on(watched.of_partition(), asked)
    assert [votes[:-1] for votes in seen] == decided
    assert [votes[-1:] for votes in seen] == votes_on(shadowing, asked)


def test_a_shadow_that_is_a_limit_goes_on_from_its_level() -> None:
    policies = Policies([AlwaysSample("all")], shadows=[RateLimiting("shadow", 1, 5)])
    first, successor = policies.of_partition(), policies.of_partition()
    judged = first.judge(a_trace(5), due_ms=1_000)
    assert judged.votes[1] == ("shadow", SAMPLED)
    successor.restore(judged.levels)
    assert votes_on(successor, [Asked(0, 1)]) == [(SAMPLED, NOT_SAMPLED)]
    assert votes_on(policies.of_partition(), [Asked(0, 1)]) == [(SAMPLED, SAMPLED)]


def test_behind_a_policy_that_says_no_a_limit_is_not_asked() -> None:
    policies = Policies([And("and", [SpanCount("", 5), RateLimiting("", 10, 10)])])
    assert votes_on(policies, [Asked(0, 4), Asked(0, 4), Asked(0, 4), Asked(0, 10)]) == [
        *[(NOT_SAMPLED,)] * 3,
        (SAMPLED,),
    ]


def test_a_trace_that_is_too_large_for_any_policy_pays_nothing() -> None:
    policies = Policies([RateLimiting("p", 10, 10)], maximum_trace_size_bytes=50)
    assert policies.judge(a_trace(8), body_bytes=51).votes == []
    assert policies.judge(a_trace(8), body_bytes=50).verdict is Verdict.SAMPLED


def test_nothing_is_claimed_of_what_a_limit_lets_pass() -> None:
    share, limit = Probabilistic("share", 25), RateLimiting("", 1)
    unknown = UNKNOWN_THRESHOLD
    assert limit.threshold == Composite("", 1, [(AlwaysSample(""), 1)]).threshold == unknown
    assert And("p", [share]).threshold < unknown
    assert And("p", [share, Not("", limit)]).threshold == unknown
    assert And("p", [And("", [limit, share]), share]).threshold == unknown
    assert And("p", [Composite("", 1, [(share, 1)]), share]).threshold == unknown
    assert Policies([limit]).judge(a_trace(1)).threshold == unknown
    assert Policies([RateLimiting("", 1), AlwaysSample("")]).judge(a_trace(1)).threshold == 0


# Composite

MATCHER = Matcher()
FIRST = Attribute("first", BooleanIs("first", value=True), MATCHER)
SECOND = Attribute("second", BooleanIs("second", value=True), MATCHER)


class GoComposite:
    """contrib v0.158, internal/sampling/composite.go, whose sub-policies vote by a bit each."""

    def __init__(self, total: int, rates: Sequence[int]) -> None:
        self.total, self.rates = total, rates
        self.second, self.used = 0, [0] * len(rates)

    def votes(self, now_ms: int, spans: int, bits: int) -> Vote:
        if self.second != now_ms // 1_000:
            self.second, self.used = now_ms // 1_000, [0] * len(self.rates)
        for place, rate in enumerate(self.rates):
            if bits >> place & 1:
                would_be = self.used[place] + spans
                if would_be <= rate and would_be <= self.total:
                    self.used[place] = would_be
                    return SAMPLED
                return NOT_SAMPLED
        return NOT_SAMPLED


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30), ASKED)
def test_in_one_partition_a_composite_can_be_the_collectors(
    total: int, first: int, second: int, asked: list[Asked]
) -> None:
    subs = [(FIRST, first), (SECOND, second)]
    got = votes_on(alone(Composite("p", total, subs, as_collector=True)), asked)
    go, now_ms, wanted = GoComposite(total, [first, second]), 1_000, []
    for one in asked:
        now_ms += one.after_ms
        wanted.append((go.votes(now_ms, one.spans, one.bits),))
    assert got == wanted


def kept_by(policy: Policy, asked: Sequence[Asked], partitions: int = 1) -> list[int]:
    """Return the spans of the traces that are kept, 0 for the others."""
    votes = votes_on(alone(policy, partitions), asked)
    return [one.spans * (vote == (SAMPLED,)) for one, vote in zip(asked, votes, strict=True)]


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30), st.integers(1, 6), ASKED)
def test_a_composite_keeps_no_more_than_its_total_and_a_trace(
    total: int, first: int, second: int, partitions: int, asked: list[Asked]
) -> None:
    subs = [(FIRST, first), (SECOND, second)]
    kept = kept_by(Composite("p", total, subs), asked, partitions)
    seconds = 1 + sum(one.after_ms for one in asked) // 1_000
    assert sum(kept) <= Fraction(total * seconds, partitions) + (partitions > 1) * max(
        kept, default=0
    )
    assert max(kept, default=0) <= min(total, max(first, second))


def test_what_has_no_room_in_one_share_may_have_it_in_the_next() -> None:
    subs: list[tuple[Policy, int]] = [(FIRST, 5), (AlwaysSample("rest"), 5)]
    asked = [Asked(0, 4, bits=1), Asked(0, 4, bits=1), Asked(0, 1, bits=1), Asked(0, 1, bits=1)]
    assert kept_by(Composite("p", 20, subs), asked) == [4, 4, 1, 1]
    assert kept_by(Composite("p", 20, subs, as_collector=True), asked) == [4, 0, 1, 0]


def test_all_shares_together_have_the_total() -> None:
    subs = [(FIRST, 9), (SECOND, 9)]
    asked = [Asked(0, 6, bits=1), Asked(0, 6, bits=2), Asked(0, 4, bits=2), Asked(0, 1, bits=1)]
    assert kept_by(Composite("p", 10, subs), asked) == [6, 0, 4, 0]
    assert kept_by(Composite("p", 10, subs, as_collector=True), asked) == [6, 6, 0, 1]


def test_a_second_begins_anew() -> None:
    asked = [Asked(0, 5), Asked(998, 1), Asked(2, 5), Asked(0, 1)]
    assert kept_by(Composite("p", 5, [(AlwaysSample("all"), 5)]), asked) == [5, 0, 5, 0]


def test_a_composites_small_share_owes_the_next_seconds() -> None:
    composite = Composite("p", 100, [(AlwaysSample("all"), 100)])
    # A share is 1 span a second: 15 spans are paid after 15 s, the first among them.
    asked = [Asked(0, 15), Asked(0, 1), Asked(13_999, 1), Asked(1_001, 101), Asked(0, 1)]
    assert kept_by(composite, asked, partitions=100) == [15, 0, 0, 0, 1]


def test_a_composite_has_no_vote_where_a_sub_policy_that_it_asks_has_none() -> None:
    class Failing:
        name, threshold = "failing", 0

        def vote(self, trace: TraceSummary) -> Vote:
            return Vote.ERROR if trace.bits else NOT_SAMPLED

    failed, kept = (Failing(), 5), (AlwaysSample("all"), 5)
    failing, behind = Composite("p", 10, (failed, kept)), Composite("p", 10, (kept, failed))
    asked = [Asked(0, 1, bits=1), Asked(0, 1)]
    assert votes_on(alone(failing), asked) == [(Vote.ERROR,), (SAMPLED,)]
    assert votes_on(alone(behind), asked) == [(SAMPLED,), (SAMPLED,)]


# Levels

LIMITED: dict[str, Callable[[], list[Policy]]] = {
    "rate": lambda: [RateLimiting("p", 10, 30)],
    "bytes": lambda: [FIRST, BytesLimiting("p", 100)],
    "composite": lambda: [Composite("p", 20, [(FIRST, 5), (AlwaysSample("all"), 10)])],
    "in others": lambda: [
        Drop("d", [FIRST, Not("", And("", [SECOND, RateLimiting("", 3)]))]),
        Composite("p", 20, [(RateLimiting("", 7), 5), (AlwaysSample("all"), 10)]),
    ],
}


@pytest.mark.parametrize("kind", LIMITED)
@given(asked=ASKED, at=st.integers(0, 40), partitions=st.sampled_from([1, 3, 40]))
def test_who_goes_on_from_the_levels_votes_as_if_it_had_been_asked_before(
    kind: str, asked: list[Asked], at: int, partitions: int
) -> None:
    policies = Policies(LIMITED[kind]())
    policies.fleet.spread_over(lambda: partitions)
    first, successor = policies.of_partition(), policies.of_partition()
    votes_on(first, asked[:at])
    successor.restore(first.levels)
    since_ms = 1_000 + sum(one.after_ms for one in asked[:at])
    rest = votes_on(successor, asked[at:], time_ms=since_ms)
    assert rest == votes_on(first, asked[at:], time_ms=since_ms)
    assert successor.levels == first.levels


@pytest.mark.parametrize("kind", LIMITED)
def test_a_judgement_tells_the_levels_after_it(kind: str) -> None:
    policies = Policies(LIMITED[kind]())
    before = policies.levels
    judged = policies.judge(a_trace(2, bits=3), body_bytes=20, due_ms=1_000)
    assert judged.levels == policies.levels != before
    assert all(abs(number) < 2**63 for of_one in judged.levels for number in of_one)


def test_each_partition_has_levels_of_its_own_and_all_one_fleet() -> None:
    policies = Policies([Not("not", RateLimiting("p", 10))])
    one, other = policies.of_partition(), policies.of_partition()
    one.judge(a_trace(5))
    assert one.levels != other.levels == policies.levels
    policies.fleet.spread_over(lambda: 7)
    assert one.fleet.partitions == other.fleet.partitions == 7
    limits = [limit for policy in (one, other) for limit in policy._limits]
    assert {limit.fleet.partitions for limit in limits} == {7}


def test_policies_without_limits_are_shared_and_tell_no_levels() -> None:
    policies = Policies([Latency("slow", 5), StatusCode("errors", ["ERROR"], Matcher())])
    assert policies.of_partition() is policies
    assert policies.judge(a_trace(1)).levels == policies.levels == ()


@pytest.mark.parametrize(
    "levels",
    [
        [[1]],
        [[1, 2, 3]],
        [[1, 2], [3, 4]],
        [],
        None,
        "ab",
        [5, 6],
        [["a", "b"]],
        [[True, 1]],
        [[1, 2**63]],
        [[1.0, 2]],
        {"a": 1},
    ],
)
def test_levels_that_these_policies_would_not_tell_are_ignored_whole(levels: object) -> None:
    policies = Policies([RateLimiting("p", 10)])
    before = policies.levels
    policies.restore(levels)  # type: ignore[arg-type] # whatever a topic may hold
    assert policies.levels == before


def test_a_level_above_a_smaller_bucket_is_a_full_one() -> None:
    policies = Policies([RateLimiting("p", 10, 5)])
    policies.restore(((10**9, 1_000),))
    assert votes_on(policies, [Asked(0, 5), Asked(0, 1)]) == [(SAMPLED,), (NOT_SAMPLED,)]


def test_limits_are_found_at_any_depth_in_their_order() -> None:
    names = [limit.name for limit in limits_of(_nested())]
    assert names == ["a", "c", "b", "d"]
    assert all(isinstance(limit, Limit) for limit in limits_of(_nested()))


def _nested() -> list[Policy]:
    inner = Composite("c", 1, [(RateLimiting("b", 1), 1)])
    return [And("", [Not("", RateLimiting("a", 1)), inner]), Drop("", [BytesLimiting("d", 1)])]
