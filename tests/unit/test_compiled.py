"""From the settings to what votes: each option arrives."""

import pytest

from stream.otlp.scan import scan
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.load import load
from stream.settings.model import Settings
from stream.testing.spans import Attribute, a_span, span_id_of, traces_data


def configured(policies: str, *options: str) -> Settings:
    return load(None, [f"tail_sampling.policies={policies}", *options], {})


def kept(policy: str, attributes: dict[str, Attribute], spans: int = 1) -> bool:
    """Whether a configuration of this policy alone keeps a trace of such spans."""
    settings = configured(f"[{{name: p, {policy}}}]")
    matcher = Matcher()
    policies = policies_of(settings.tail_sampling, matcher)
    record = traces_data(
        a_span(span_id=span_id_of(i + 1), attributes=attributes) for i in range(spans)
    )
    (fragment,) = scan(record, matcher.plan()).fragments
    return policies.judge(fragment).policy == "p"


STRING = "type: string_attribute, string_attribute: {key: k, values: [a.c, ''], %s}"
NUMERIC = "type: numeric_attribute, numeric_attribute: {key: k, %s}"
BOOLEAN = "type: boolean_attribute, boolean_attribute: {key: k, %s}"
ALL = "type: always_sample"
AND = "type: and, and: {and_sub_policy: [{%s}, {%s}]}"
NOT = "type: not, not: {not_sub_policy: {%s}}"
SPANS = "type: span_count, span_count: {%s}"


@pytest.mark.parametrize(
    ("policy", "value", "keeps"),
    [
        (STRING % "", "a.c", True),
        (STRING % "", "", True),
        (STRING % "", "abc", False),
        (STRING % "invert_match: true", "abc", True),
        (STRING % "cache_max_size: 5", "a.c", True),
        (STRING.replace(", ''", "") % "enabled_regex_matching: true", "xabcx", True),
        (STRING.replace(", ''", "") % "enabled_regex_matching: true", "ac", False),
        (NUMERIC % "min_value: 0", 0, True),
        (NUMERIC % "min_value: 0", -1, False),
        (NUMERIC % "max_value: 0", 0.0, True),
        (NUMERIC % "max_value: 0", -1e300, True),
        (NUMERIC % "max_value: 0", 1, False),
        (NUMERIC % "min_value: 1, max_value: 2, invert_match: true", 2, False),
        (NUMERIC % "min_value: 1, max_value: 2, invert_match: true", 3, True),
        (BOOLEAN % "value: true", True, True),
        (BOOLEAN % "value: true", False, False),
        (BOOLEAN % "", False, True),
        (BOOLEAN % "value: false, invert_match: true", False, False),
        (AND % (STRING % "", SPANS % "min_spans: 1"), "", True),
        (AND % (STRING % "", SPANS % "min_spans: 2"), "", False),
        (NOT % (STRING % ""), "", False),
        (NOT % (STRING % ""), "x", True),
        (AND % (NOT % (AND % (STRING % "", ALL)), ALL), "", False),
        (AND % (NOT % (AND % (STRING % "", ALL)), ALL), 0, True),
        (SPANS % "min_spans: 1", "", True),
        (SPANS % "min_spans: 2", "", False),
        (SPANS % "max_spans: 1", "", True),
    ],
)
def test_an_option_means_for_the_vote_what_it_says(
    policy: str, value: Attribute, *, keeps: bool
) -> None:
    assert kept(policy, {"k": value}) is keeps


def test_a_maximum_of_spans_is_honoured() -> None:
    assert kept(SPANS % "min_spans: 1, max_spans: 2", {}, spans=2)
    assert not kept(SPANS % "min_spans: 1, max_spans: 2", {}, spans=3)


def test_a_drop_policy_may_hold_and_and_not_to_any_depth() -> None:
    inside = AND % (NOT % (NOT % (STRING % "")), NOT % (SPANS % "min_spans: 2"))
    settings = configured(
        f"[{{name: d, type: drop, drop: {{drop_sub_policy: [{{{inside}}}]}}}}, {{name: p, {ALL}}}]"
    )
    matcher = Matcher()
    policies = policies_of(settings.tail_sampling, matcher)

    def decided_by(value: str, spans: int) -> str:
        record = traces_data(
            a_span(span_id=span_id_of(i + 1), attributes={"k": value}) for i in range(spans)
        )
        return policies.judge(scan(record, matcher.plan()).fragments[0]).policy

    assert (decided_by("", 1), decided_by("", 2), decided_by("x", 1)) == ("d", "p", "p")


def test_the_mode_of_a_share_arrives_and_the_delivery_knows_of_it() -> None:
    every = "type: probabilistic, probabilistic: {sampling_percentage: 100, mode: trace_state}"
    none = every.replace("100", "0")
    by_hash = none.replace("trace_state", "hash_seed")
    for first, second, independent, expected in (
        (none, every, False, "b"),
        (none, every.replace("trace_state", "hash_seed"), True, "b"),
        (none, f"type: not, not: {{not_sub_policy: {{{every}}}}}", False, ""),
        (none, f"type: not, not: {{not_sub_policy: {{{by_hash}}}}}", True, "b"),
    ):
        policies = f"[{{name: a, {first}}}, {{name: b, {second}}}]"
        sampling = configured(policies).tail_sampling
        assert sampling.chooses_by_hash() is independent
        matcher = Matcher()
        judge = policies_of(sampling, matcher)
        span = a_span(trace_state="ot=rv:00000000000000")
        (fragment,) = scan(traces_data(span), matcher.plan()).fragments
        assert judge.judge(fragment).policy == expected


def test_shadows_arrive_and_vote_in_the_order_in_which_they_are_told() -> None:
    policies = f"""[
      {{name: watched, mode: shadow, {ALL}}}, {{name: kept, {ALL}}},
      {{name: gone, mode: shadow, type: drop, drop: {{drop_sub_policy: [{{{ALL}}}]}}}},
      {{name: d, type: drop, drop: {{drop_sub_policy: [
        {{type: latency, latency: {{threshold_ms: 9999}}}}]}}}}]"""
    (fragment,) = scan(traces_data(a_span()), Matcher().plan()).fragments
    sampling = configured(policies).tail_sampling

    judgement = policies_of(sampling, Matcher()).judge(fragment)

    order = [policy.name for policy in sampling.policies_in_order()]
    assert [name for name, _ in judgement.votes] == order == ["d", "kept", "gone", "watched"]
    assert (judgement.policy, judgement.ballot) == ("kept", "n(n)sD(S)S")


def test_sample_on_first_match_and_maximum_trace_size_bytes_arrive() -> None:
    both = f"[{{name: a, {ALL}}}, {{name: b, {ALL}}}]"
    (fragment,) = scan(traces_data(a_span()), Matcher().plan()).fragments
    for options, votes, large in (
        ([], 2, False),
        (["tail_sampling.sample_on_first_match=true"], 1, False),
        (["tail_sampling.maximum_trace_size_bytes=10"], 2, True),
    ):
        policies = policies_of(configured(both, *options).tail_sampling, Matcher())
        assert len(policies.judge(fragment).votes) == votes
        assert policies.too_large(11) is large
        assert not policies.too_large(10)
