"""What the attribute policies keep, as tables from record to vote; each trap of the Collector's."""

from collections.abc import Mapping

import pytest

from stream.otlp.scan import scan
from stream.sampling.decision import Vote
from stream.sampling.matcher import AttributeIs, BooleanIs, Matcher, NumberWithin, StringIs
from stream.sampling.policies.attribute import Attribute
from stream.testing.spans import Attribute as Value
from stream.testing.spans import a_span, resource_spans, span_id_of, traces_data


def kept(
    condition: AttributeIs,
    *spans: Mapping[str, Value],
    resource: Mapping[str, Value] | None = None,
    invert_match: bool = False,
) -> bool:
    """Whether a trace is kept whose spans, in one resource, have these attributes."""
    matcher = Matcher()
    policy = Attribute("p", condition, matcher, invert_match=invert_match)
    of = [a_span(span_id=span_id_of(i + 1), attributes=span) for i, span in enumerate(spans)]
    record = traces_data(resource_spans(of, resource=resource))
    (fragment,) = scan(record, matcher.plan()).fragments
    return policy.vote(fragment) is Vote.SAMPLED


TEXTS = StringIs("k", frozenset({"x", "y"}))
EMPTY = StringIs("k", frozenset({""}))
REGEX = StringIs("k", frozenset({"^/health", "ready$"}), regex=True)
EMPTY_REGEX = StringIs("k", frozenset({"^$"}), regex=True)


@pytest.mark.parametrize(
    ("condition", "value", "matches"),
    [
        (TEXTS, "x", True),
        (TEXTS, "y", True),
        (TEXTS, "X", False),
        (TEXTS, "xx", False),
        (TEXTS, "", False),
        (EMPTY, "", True),  # an empty string is compared as any other
        (EMPTY, "x", False),
        (REGEX, "/healthz", True),
        (REGEX, "/api/health", False),
        (REGEX, "/api/ready", True),  # not anchored
        (REGEX, "/ready/api", False),
        (EMPTY_REGEX, "", True),
        # What is no string never matches, however it would be written as one.
        *((EMPTY, value, False) for value in (0, 0.0, False, b"", ["x"])),
        *((EMPTY_REGEX, value, False) for value in (0, 0.0, False, b"", ["x"])),
        (StringIs("k", frozenset({"1", "true"})), 1, False),
        (StringIs("k", frozenset({"1", "true"})), True, False),
        (TEXTS, b"x", False),
        (NumberWithin("k", 400, 499), 399, False),
        (NumberWithin("k", 400, 499), 400, True),
        (NumberWithin("k", 400, 499), 499, True),
        (NumberWithin("k", 400, 499), 500, False),
        (NumberWithin("k", 400, 499), 400.0, True),
        (NumberWithin("k", 400, 499), 399.999, False),
        (NumberWithin("k", 400, 499), 499.5, False),
        # A bound of 0 is a bound, an unset one is none.
        (NumberWithin("k", 0, None), -1, False),
        (NumberWithin("k", 0, None), -0.5, False),
        (NumberWithin("k", 0, None), 0, True),
        (NumberWithin("k", 0, None), 2**63 - 1, True),
        (NumberWithin("k", 0, None), float("inf"), True),
        (NumberWithin("k", None, 0), 1, False),
        (NumberWithin("k", None, 0), 0, True),
        (NumberWithin("k", None, 0), -(2**63), True),
        (NumberWithin("k", None, 0), -1e300, True),
        (NumberWithin("k", 0, 0), 0, True),
        (NumberWithin("k", 0, 0), 1, False),
        (NumberWithin("k", 2**53 + 1, None), 2**53, False),
        (NumberWithin("k", 2**53 + 1, None), 2.0**53, False),
        # What is no number is not 0.
        *((NumberWithin("k", -1, 1), value, False) for value in ("", "0", False, True, b"", ["0"])),
        (NumberWithin("k", -1, 1), float("nan"), False),
        (BooleanIs("k", value=True), True, True),
        (BooleanIs("k", value=True), False, False),
        (BooleanIs("k", value=False), False, True),
        (BooleanIs("k", value=False), True, False),
        # What is no boolean is not false.
        *((BooleanIs("k", value=False), value, False) for value in ("", "false", 0, 0.0, b"")),
        *((BooleanIs("k", value=True), value, False) for value in ("true", 1, 1.0)),
    ],
)
def test_an_attribute_matches_by_its_value_and_type_wherever_it_is(
    condition: AttributeIs, value: Value, *, matches: bool
) -> None:
    attribute = {"other": "x", "k": value, "j": "x"}
    assert kept(condition, attribute) is matches
    assert kept(condition, {}, {}, attribute) is matches
    assert kept(condition, {}, resource=attribute) is matches
    assert kept(condition, attribute, invert_match=True) is not matches
    assert kept(condition, {}, attribute, invert_match=True) is not matches
    assert kept(condition, {}, resource=attribute, invert_match=True) is not matches


@pytest.mark.parametrize(
    "condition", [TEXTS, EMPTY, REGEX, EMPTY_REGEX, NumberWithin("k", -1, 1), BooleanIs("k", False)]
)
def test_without_the_key_nothing_matches_so_inverted_it_is_kept(condition: AttributeIs) -> None:
    for key in ("kk", "K", ""):
        assert not kept(condition, {key: ""}, resource={key: False})
        assert kept(condition, {key: ""}, resource={key: False}, invert_match=True)


def test_inverted_one_match_anywhere_is_enough_not_to_keep() -> None:
    assert not kept(TEXTS, {"k": "z"}, {"k": "x"}, {"k": "z"}, invert_match=True)
    assert not kept(TEXTS, {"k": "z"}, resource={"k": "x"}, invert_match=True)
    assert kept(TEXTS, {"k": "z"}, {"k": "z"}, resource={"k": "z"}, invert_match=True)
