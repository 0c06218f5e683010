"""From the settings to what votes: each option arrives."""

import pytest

from stream.otlp.scan import scan
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.load import load
from stream.testing.spans import Attribute, a_span, span_id_of, traces_data


def kept(policy: str, attributes: dict[str, Attribute], spans: int = 1) -> bool:
    """Whether a configuration of this policy alone keeps a trace of such spans."""
    settings = load(None, [f"tail_sampling.policies=[{{name: p, {policy}}}]"], {})
    matcher = Matcher()
    policies = policies_of(settings.tail_sampling.policies, matcher)
    record = traces_data(
        a_span(span_id=span_id_of(i + 1), attributes=attributes) for i in range(spans)
    )
    (fragment,) = scan(record, matcher.plan()).fragments
    return policies.judge(fragment).policy == "p"


STRING = "type: string_attribute, string_attribute: {key: k, values: [a.c, ''], %s}"
NUMERIC = "type: numeric_attribute, numeric_attribute: {key: k, %s}"
BOOLEAN = "type: boolean_attribute, boolean_attribute: {key: k, %s}"
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
