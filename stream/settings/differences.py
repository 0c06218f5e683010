"""Where the Collector v0.158 would give another verdict than `compatibility: fixed` does.

What it does was measured and read in contrib, processor/tailsamplingprocessor/internal/sampling.
"""

from collections.abc import Iterator
from typing import Final

from stream.sampling.regex import AnyRegex, BadRegex
from stream.settings import policies as configured
from stream.settings.limit_policies import (
    CompositeOptions,
    CompositePolicy,
    composite_problems,
)
from stream.settings.policies import sub_policies
from stream.settings.policy_block import PolicyBlock
from stream.settings.share_policies import ProbabilisticPolicy
from stream.settings.span_policies import OttlConditionPolicy, TraceStatePolicy
from stream.settings.tail_sampling import TailSampling

COLLECTOR: Final = "the Collector v0.158"


def differences(sampling: TailSampling, *, as_collector: bool) -> Iterator[str]:
    """Yield a line for each place of this block where verdicts differ, and the switch."""
    attributes = False
    for index, policy in enumerate(sampling.policies):
        for path, each in _asked(f"tail_sampling.policies[{index}]", policy):
            attributes = attributes or isinstance(each, configured.AnyAttributePolicy)
            for option, what in _of(each):
                place = f"{path}.{option} ({each.name})" if each.name else f"{path}.{option}"
                yield _line(place, what, as_collector=as_collector)
        if sampling.at_ingest and isinstance(policy, configured.DropPolicy):
            what = "a drop policy that has not matched defers every keep for ever"
            place = f"tail_sampling.policies[{index}].type ({policy.name})"
            yield _line(place, what, as_collector=as_collector)
    if attributes:
        what = "of a span's attributes with one key, which OTLP forbids, the first counts alone"
        yield _line("tail_sampling.policies", what, as_collector=as_collector)


def _line(place: str, what: str, *, as_collector: bool) -> str:
    if as_collector:
        return f"{place}: as in {COLLECTOR}, {what}; compatibility: fixed does otherwise"
    return f"{place}: in {COLLECTOR} {what}; compatibility: collector reproduces it"


def _asked(path: str, policy: PolicyBlock) -> Iterator[tuple[str, PolicyBlock]]:
    """Yield a policy and those below it, but for what no Collector has: `same_span`."""
    yield path, policy
    if isinstance(policy, configured.AndPolicy) and policy.and_.same_span:
        return
    for below, sub in sub_policies(policy):
        yield from _asked(f"{path}.{below}", sub)


def _of(policy: PolicyBlock) -> Iterator[tuple[str, str]]:  # noqa: C901, PLR0912 - one a type
    match policy:
        case configured.LatencyPolicy(latency=latency) if not latency.root:
            yield "latency.threshold_ms", "a span without a start counts as one from 1970"
            if latency.upper_threshold_ms:
                what = "the bounds are compared after each span, so the order of spans decides"
                yield "latency.upper_threshold_ms", what
        case configured.StatusCodePolicy(status_code=status) if "UNSET" in status.status_codes:
            what = "a status code that OTLP does not define is not UNSET"
            yield "status_code.status_codes", what
        case ProbabilisticPolicy(probabilistic=share) if share.mode == "trace_state":
            what = (
                "of several spans' `ot=rv` the first counts, and `ot` is read with capital hex "
                "digits, and with a key that occurs twice"
            )
            yield "probabilistic.mode", what
        case TraceStatePolicy(trace_state=state) if state.collector_values != state.values:
            what = "a value is ignored that has 256 bytes or more together with its key"
            yield "trace_state.values", what
        case configured.NumericAttributePolicy(numeric_attribute=options):
            yield from _of_number(options)
        case configured.BooleanAttributePolicy(boolean_attribute=boolean):
            if not boolean.value:
                what = "a value that is no boolean counts as false"
                yield "boolean_attribute.value", what
        case configured.StringAttributePolicy(string_attribute=string):
            yield from _of_string(string)
        case OttlConditionPolicy() if policy.propagates:
            what = "the first of a span that meets a condition and one that fails decides"
            yield "ottl_condition.error_mode", what
        case configured.AndPolicy(and_=options) if not options.and_sub_policy:
            yield "and.and_sub_policy", "an empty list keeps every trace"
        case CompositePolicy(composite=composite):
            yield from _of_composite(composite)
        case configured.DropPolicy(drop=options) if not options.drop_sub_policy:
            yield "drop.drop_sub_policy", "an empty list drops every trace"


def _of_number(options: configured.NumericAttributeOptions) -> Iterator[tuple[str, str]]:
    for name, bound in zip(("min_value", "max_value"), options.bounds, strict=True):
        if bound == 0:
            yield f"numeric_attribute.{name}", "a bound of 0 is none"
    low, high = options.collector_bounds
    reads = "matches" if (low or 0) <= 0 <= (high or 0) else "does not match"
    what = f"any value that is no whole number counts as 0, which {reads}"
    yield "numeric_attribute.key", what


def _of_composite(options: CompositeOptions) -> Iterator[tuple[str, str]]:
    if options.policy_order:
        yield "composite.policy_order", "it is ignored: sub-policies are asked as they are listed"
    if any(composite_problems("", options)):
        yield "composite", "names, shares and totals of a composite are not checked"
    what = "the first that votes to keep has the last word, and each has the total for itself"
    yield "composite.composite_sub_policy", what
    shares = {share.policy for share in options.rate_allocation}
    if any(sub.name not in shares for sub in options.composite_sub_policy):
        yield "composite.rate_allocation", "a sub-policy that is not in it keeps nothing"


def _of_string(options: configured.StringAttributeOptions) -> Iterator[tuple[str, str]]:
    if not options.enabled_regex_matching:
        if "" in options.values:
            yield "string_attribute.values", "an empty value is ignored"
        return
    try:
        matches_empty = AnyRegex(options.values)(b"")
    except BadRegex:  # told as a problem
        return
    if matches_empty:
        what = (
            "a span's empty attribute matches nothing, and a resource's that is no string counts "
            "as empty"
        )
        yield "string_attribute.values", what
