"""The laws that hold for every policy, whatever its type."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from stream.otlp.fragment import Fragment
from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import Vote
from stream.sampling.matcher import (
    BooleanIs,
    Matcher,
    NumberWithin,
    SampledFlagIsSet,
    SpanMeets,
    StringIs,
)
from stream.sampling.ottl.conditions import ErrorMode
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.attribute import Attribute
from stream.sampling.policies.consistent import ConsistentProbabilistic
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.leaf import Leaf
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.ottl_condition import OttlCondition
from stream.sampling.policies.policy import Policy, TraceSummary
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.span_count import SpanCount
from stream.sampling.policies.status_code import StatusCode
from stream.sampling.trace import OpenTrace

EPOCH_NS = 1_700_000_000_000_000_000
Build = Callable[[Matcher], Policy]

TEXT = StringIs("k", frozenset({"x"}))
OTTL = SpanMeets(("IsRootSpan()",), (), ErrorMode.SILENT)
REGEX = StringIs("k", frozenset({"x"}), regex=True)

POLICIES: dict[str, Build] = {
    "always_sample": lambda _: AlwaysSample("p"),
    "status_code": lambda matcher: StatusCode("p", ["ERROR"], matcher),
    "status_code of two": lambda matcher: StatusCode("p", ["OK", "ERROR"], matcher),
    "latency": lambda _: Latency("p", 1000),
    "latency with an upper bound": lambda _: Latency("p", 100, 1500),
    "probabilistic": lambda _: Probabilistic("p", 37.5),
    "probabilistic with a salt": lambda _: Probabilistic("p", 62.5, "pepper"),
    "string_attribute": lambda matcher: Attribute("p", TEXT, matcher),
    "string_attribute by regex": lambda matcher: Attribute("p", REGEX, matcher),
    "string_attribute, inverted": lambda matcher: Attribute("p", TEXT, matcher, invert_match=True),
    "numeric_attribute": lambda matcher: Attribute("p", NumberWithin("k", 0, 9), matcher),
    "boolean_attribute": lambda matcher: Attribute("p", BooleanIs("k", value=True), matcher),
    "ottl_condition": lambda matcher: OttlCondition("p", OTTL, matcher),
    "trace_flags": lambda matcher: Leaf("p", SampledFlagIsSet(), matcher),
    "span_count": lambda _: SpanCount("p", 10, 20),
    "span_count without a maximum": lambda _: SpanCount("p", 10),
    "and": lambda matcher: And("p", [Attribute("", TEXT, matcher), SpanCount("", 5)]),
    "and of a share": lambda _: And("p", [SpanCount("", 5), Probabilistic("", 50)]),
    "and of shares": lambda _: And("p", [Probabilistic("", 80), Probabilistic("", 50)]),
    "and of shares with two salts": lambda _: And(
        "p", [Probabilistic("", 80), Probabilistic("", 50, "salt")]
    ),
    "probabilistic by the trace state": lambda matcher: ConsistentProbabilistic(
        "p", 37.5, "", matcher
    ),
    "not": lambda matcher: Not("p", StatusCode("", ["ERROR"], matcher)),
    "not of a share": lambda _: Not("p", Probabilistic("", 50)),
    "not of and of not": lambda matcher: Not(
        "p", And("", [Not("", Attribute("", TEXT, matcher)), Latency("", 500)])
    ),
    "drop": lambda matcher: Drop("p", [StatusCode("", ["OK"], matcher), Latency("", 500)]),
    "drop a share": lambda _: Drop("p", [Probabilistic("", 50)]),
}
CONSTANT = {"always_sample"}
UNKNOWABLE = {"not of a share", "and of shares with two salts"}
SHARES = {kind for kind in POLICIES if kind.startswith(("probabilistic", "and of"))}


def fragments(seed: int) -> list[Fragment]:
    """Up to six fragments of one trace, some without a start, some that span a second or two."""
    dice = random.Random(seed)
    trace_id = dice.randbytes(16)
    return [
        Fragment(
            trace_id=trace_id,
            spans=dice.randint(1, 9),
            errors=dice.randint(0, 1),
            start_ns=dice.choice([0, EPOCH_NS + dice.randrange(2 * 10**9)]),
            end_ns=EPOCH_NS + dice.randrange(2 * 10**9),
            root=dice.random() < 0.3,
            bits=dice.choice([0, 0, 0, 1, 2, 3]),
            body=b"",
        )
        for _ in range(dice.randint(1, 6))
    ]


def folded(parts: list[Fragment]) -> OpenTrace:
    trace = OpenTrace(parts[0].trace_id, first_offset=0, opened_ms=0, deadline_ms=0)
    for offset, part in enumerate(parts):
        trace.fold(part, offset)
    return trace


@pytest.fixture(params=POLICIES)
def build(request: pytest.FixtureRequest) -> Build:
    return POLICIES[request.param]


@pytest.fixture
def policy(build: Build) -> Policy:
    return build(Matcher())


def votes(policy: Policy) -> list[Vote]:
    return [policy.vote(folded(fragments(seed))) for seed in range(200)]


def test_the_order_in_which_fragments_came_does_not_change_the_vote(policy: Policy) -> None:
    for seed in range(100):
        parts = fragments(seed)
        shuffled = random.Random(seed).sample(parts, len(parts))
        assert policy.vote(folded(shuffled)) is policy.vote(folded(parts)), seed


def test_the_way_fragments_are_cut_into_records_does_not_change_the_vote(policy: Policy) -> None:
    for seed in range(100):
        parts = fragments(seed)
        whole = folded(parts)
        one = Fragment(
            whole.trace_id,
            whole.spans,
            whole.errors,
            whole.start_ns,
            whole.end_ns,
            whole.root,
            whole.bits,
            b"",
        )
        assert policy.vote(folded([one])) is policy.vote(whole), seed


def test_a_vote_depends_on_the_summary_and_not_on_what_was_asked_before(build: Build) -> None:
    asked_in_order, asked_backwards = build(Matcher()), build(Matcher())
    backwards = [asked_backwards.vote(folded(fragments(seed))) for seed in reversed(range(200))]
    assert votes(asked_in_order) == backwards[::-1]


def test_voting_leaves_the_summary_as_it_was(policy: Policy) -> None:
    for seed in range(50):
        trace = folded(fragments(seed))
        before = replace(trace, offsets=list(trace.offsets))
        policy.vote(trace)
        assert trace == before


def test_a_plain_fragment_is_a_summary_too(policy: Policy) -> None:
    (fragment,) = fragments(seed=1)
    assert policy.vote(fragment) is policy.vote(folded([fragment]))


def test_only_drop_policies_vote_dropped_and_they_never_vote_sampled(policy: Policy) -> None:
    allowed = {Vote.DROPPED if isinstance(policy, Drop) else Vote.SAMPLED, Vote.NOT_SAMPLED}
    assert set(votes(policy)) <= allowed


def test_the_suite_sees_every_policy_vote_both_ways() -> None:
    undivided = {kind for kind, build in POLICIES.items() if len(set(votes(build(Matcher())))) == 1}
    assert undivided == CONSTANT


@pytest.mark.parametrize("kind", POLICIES)
def test_only_what_keeps_a_share_has_a_threshold_and_it_fits_56_bits(kind: str) -> None:
    policy = POLICIES[kind](Matcher())
    assert 0 <= policy.threshold <= UNKNOWN_THRESHOLD
    assert (policy.threshold > 0) is (kind in SHARES | UNKNOWABLE)
    assert (policy.threshold == UNKNOWN_THRESHOLD) is (kind in UNKNOWABLE)


def test_a_policy_alone_gives_the_verdict_of_its_vote(policy: Policy) -> None:
    policies = Policies([policy])
    for seed in range(50):
        trace: TraceSummary = folded(fragments(seed))
        vote = policy.vote(trace)
        judgement = policies.judge(trace)
        assert judgement.votes == [("p", vote)]
        assert (judgement.verdict.value == "sampled") is (vote is Vote.SAMPLED)
        assert judgement.policy == ("" if vote is Vote.NOT_SAMPLED else "p")
