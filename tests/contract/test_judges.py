"""The compiled judge, which remembers, says of every trace what asking the policies says."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from stream.otlp.fragment import Fragment
from stream.sampling.decision import Vote
from stream.sampling.matcher import BooleanIs, Matcher, NumberWithin, SpanMeets, StringIs
from stream.sampling.ottl.conditions import ErrorMode
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.attribute import Attribute
from stream.sampling.policies.boundaries import BOUNDARIES_MAX, boundaries
from stream.sampling.policies.composite import Composite
from stream.sampling.policies.consistent import ConsistentProbabilistic
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.ottl_condition import OttlCondition
from stream.sampling.policies.policy import Policy, TraceSummary
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.rate_limiting import RateLimiting
from stream.sampling.policies.span_count import SpanCount
from stream.sampling.policies.status_code import StatusCode

SEED = 20_261_122
MATCHER = Matcher()
LEAVES: Sequence[Policy] = (
    AlwaysSample("always"),
    StatusCode("errors", ["ERROR"], MATCHER),
    Attribute("a", BooleanIs("a", value=True), MATCHER),
    Attribute("not b", StringIs("b", frozenset({"x"})), MATCHER, invert_match=True),
    Attribute("c", NumberWithin("c", 0, 1), MATCHER),
    OttlCondition("ottl", SpanMeets(("IsRootSpan()",), (), ErrorMode.PROPAGATE), MATCHER),
    OttlCondition("ignored", SpanMeets(("IsRootSpan()",), (), ErrorMode.IGNORE), MATCHER),
    *(Latency("l0", 0), Latency("l1", 1), Latency("l100", 100, 200), Latency("l-", -5, 2**70)),
    *(SpanCount("s0", 0), SpanCount("s2", 2, 4), SpanCount("s5", 5, 2**70)),
    *(Probabilistic("p30", 30), Probabilistic("p60", 60, "salt"), Probabilistic("p0", 0)),
    *(
        ConsistentProbabilistic("c30", 30, "", MATCHER),
        ConsistentProbabilistic("c0", 0, "", MATCHER),
    ),
    ConsistentProbabilistic("c99", 99, "salt", MATCHER),
)
DURATIONS_NS = (
    *(0, 1, 999_999, 1_000_000, 1_999_999, 2_000_000, 100_999_999, 101_000_000),
    *(200_999_999, 201_000_000, 2**63),
)


def policies_of(rng: Random) -> Policies:
    """Policies of any kinds in any nesting, with any options."""
    return Policies(
        [Drop("drop", [_policy(rng)]) for _ in range(rng.choice((0, 0, 1)))]
        + [_policy(rng) for _ in range(rng.randrange(6))],
        sample_on_first_match=rng.random() < 0.3,
        maximum_trace_size_bytes=rng.choice((0, 0, 100)),
        shadows=[_policy(rng) for _ in range(rng.choice((0, 0, 1, 2)))],
    )


def _policy(rng: Random, depth: int = 0) -> Policy:
    if depth == 3 or rng.random() < 0.6:
        return rng.choice(LEAVES)
    if rng.random() < 0.4:
        return Not("not", _policy(rng, depth + 1))
    return And("and", [_policy(rng, depth + 1) for _ in range(rng.randint(1, 3))])


def a_trace(rng: Random) -> Fragment:
    """A trace on or beside the boundaries."""
    start_ns = rng.choice((0, 1, 10**18, 2**63))
    return Fragment(
        trace_id=rng.randbytes(16),
        spans=rng.choice((1, 2, 3, 4, 5, 6, 100_000)),
        errors=0,
        start_ns=start_ns,
        end_ns=max(0, min(start_ns + rng.choice((-1, *DURATIONS_NS)), 2**64 - 1)),
        root=rng.random() < 0.5,
        bits=rng.choice((rng.getrandbits(16), rng.getrandbits(8), 1 << 63, 1 << 64, 1 << 5_000)),
        body=b"",
    )


def test_it_says_what_the_policies_say() -> None:
    rng = Random(SEED)
    for _ in range(150):
        policies = policies_of(rng)
        for _ in range(60):
            trace, size = a_trace(rng), rng.choice((0, 100, 101))
            judged = policies.judge(trace, body_bytes=size)
            assert judged == policies.ask(trace, body_bytes=size)


def test_beside_limits_it_says_what_the_policies_say_and_limits_are_asked_each_time() -> None:
    rng = Random(SEED)
    judged_of_limits = set()
    for _ in range(150):
        kinds: list[Policy] = [
            RateLimiting("rate", 40, 9),
            Composite("few", 9, [(rng.choice(LEAVES), 5)]),
        ]
        others = [_policy(rng) for _ in range(rng.randrange(5))]
        limit = And("and", [rng.choice(LEAVES), rng.choice(kinds)])
        chosen: list[Policy] = [*others, limit, *rng.sample(kinds, rng.randrange(3))]
        chosen += [Drop("drop", [_policy(rng), rng.choice(kinds)])] * (rng.random() < 0.3)
        policies = Policies(
            rng.sample(chosen, len(chosen)), sample_on_first_match=rng.random() < 0.3
        )
        remembering, asking = policies.of_partition(), policies.of_partition()
        asking._judge = None
        for at in range(60):
            trace, due_ms = a_trace(rng), 1_000 + at * rng.choice((0, 30, 90))
            judged = [one.judge(trace, due_ms=due_ms) for one in (remembering, asking)]
            assert judged[0] == judged[1]
            judged_of_limits.add(judged[0].levels)
    assert len(judged_of_limits) > 500


def test_traces_that_look_alike_are_asked_for_once() -> None:
    policies = Policies([Latency("slow", 1_000), Probabilistic("share", 50)])
    rng = Random(SEED)
    judgements = [policies.judge(replace(a_trace(rng), bits=1)) for _ in range(500)]
    assert len({id(judgement) for judgement in judgements}) == 4, "slow or not, shared or not"


def test_what_it_remembers_is_bounded() -> None:
    asked = []

    class Counting(Policies):
        def ask(self, trace: TraceSummary, *, body_bytes: int = 0) -> object:  # type: ignore[override] # the same
            asked.append(trace.bits)
            return super().ask(trace, body_bytes=body_bytes)

    policies = Counting([AlwaysSample("all")])
    trace = a_trace(Random(SEED))
    for bits in (*range(10_000), 9_999, 0):
        trace.bits = bits
        policies.judge(trace)
    assert asked == [*range(10_000), 0]


def test_policies_that_it_does_not_know_are_asked_each_time() -> None:
    class OfItsOwnKind:
        name, threshold = "own", 0

        def vote(self, trace: TraceSummary) -> Vote:
            return Vote.SAMPLED if trace.errors else Vote.NOT_SAMPLED

    policies = Policies([And("and", [Not("not", OfItsOwnKind())])])
    trace = a_trace(Random(SEED))
    votes = []
    for trace.errors in (0, 1, 0):
        votes.append(policies.judge(trace).votes[0][1])
    assert votes == [Vote.SAMPLED, Vote.NOT_SAMPLED, Vote.SAMPLED]
    limited = Policies([Not("not", And("and", [AlwaysSample("all"), RateLimiting("", 1, 1)]))])
    verdicts = [limited.judge(replace(trace, spans=1)).votes[0][1] for _ in range(2)]
    assert verdicts == [Vote.NOT_SAMPLED, Vote.SAMPLED]
    assert boundaries([Latency("l", ms) for ms in range(BOUNDARIES_MAX + 1)]) is None
    assert boundaries([Latency("l", ms) for ms in range(BOUNDARIES_MAX)]) is not None
