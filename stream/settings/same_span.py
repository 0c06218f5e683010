"""Policies of which one span must meet all, as one OTTL condition."""

from collections.abc import Iterable
from typing import Final

from stream.settings import policies as configured
from stream.settings.policy_block import PolicyBlock
from stream.settings.span_policies import OttlConditionPolicy, TraceFlagsPolicy, TraceStatePolicy

TYPES: Final = (
    *("status_code", "string_attribute", "numeric_attribute", "boolean_attribute"),
    *("ottl_condition", "trace_state", "trace_flags", "and", "not"),
)
"""The policies that can be asked of one span."""


class NotOfASpan(ValueError):  # noqa: N818 - an operator's mistake, told as a problem
    """This policy is about a trace, or about a span's events, so no span can meet it."""


def condition_of(policy: PolicyBlock) -> str:  # noqa: PLR0911 - one a type
    """Return the OTTL condition that a span meets where the policy would keep it.

    Raises:
        NotOfASpan: it cannot be asked of one span.
    """
    match policy:
        case configured.AndPolicy():
            return _joined("and", map(condition_of, policy.and_.and_sub_policy))
        case configured.NotPolicy():
            return f"(not {condition_of(policy.not_.not_sub_policy)})"
        case configured.StatusCodePolicy():
            codes = policy.status_code.status_codes
            return _joined("or", (f"span.status.code == STATUS_CODE_{code}" for code in codes))
        case OttlConditionPolicy(ottl_condition=ottl) if ottl.span and not ottl.spanevent:
            return _joined("or", (f"({condition})" for condition in ottl.span))
        case TraceStatePolicy(trace_state=options):
            member = f"span.trace_state[{quoted(options.key)}]"
            return _joined("or", (f"{member} == {quoted(value)}" for value in options.values))
        case TraceFlagsPolicy():
            return "(span.flags - span.flags / 2 * 2 == 1)"  # its lowest bit
        case (
            configured.StringAttributePolicy()
            | configured.NumericAttributePolicy()
            | configured.BooleanAttributePolicy()
        ):
            return _of_attribute(policy)
    raise NotOfASpan


def quoted(text: str) -> str:
    """Return the text as OTTL writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _joined(word: str, conditions: Iterable[str]) -> str:
    return f"({f' {word} '.join(conditions)})"


def _of_attribute(policy: configured.AnyAttributePolicy) -> str:
    match policy:
        case configured.StringAttributePolicy():
            options: configured.AttributeOptions = policy.string_attribute
        case configured.NumericAttributePolicy():
            options = policy.numeric_attribute
        case configured.BooleanAttributePolicy():
            options = policy.boolean_attribute
    key = quoted(options.key)
    places = (f"{place}.attributes[{key}]" for place in ("span", "resource"))
    condition = _joined("or", (_of_value(place, options) for place in places))
    return f"(not {condition})" if options.invert_match else condition


def _of_value(place: str, options: configured.AttributeOptions) -> str:
    match options:
        case configured.StringAttributeOptions(values=values, enabled_regex_matching=True):
            matches = _joined("or", (f"IsMatch({place}, {quoted(value)})" for value in values))
            return f"(IsString({place}) and {matches})"
        case configured.StringAttributeOptions(values=values):
            return _joined("or", (f"{place} == {quoted(value)}" for value in values))
        case configured.NumericAttributeOptions(bounds=(low, high)):
            bounds = [f"{place} >= {low}"] * (low is not None)
            return _joined("and", bounds + [f"{place} <= {high}"] * (high is not None))
        case configured.BooleanAttributeOptions(value=value):
            return f"{place} == {str(value).lower()}"
        case _:
            raise NotOfASpan
