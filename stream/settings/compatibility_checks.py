"""What is wrong under one `compatibility` and right under the other, or wrong at each ingest."""

from collections.abc import Iterator
from typing import Any

from stream.sampling.ottl.compile import compile_condition
from stream.sampling.ottl.errors import BadCondition
from stream.settings import policies as configured
from stream.settings.errors import Problem
from stream.settings.limit_policies import (
    BytesLimitingPolicy,
    CompositePolicy,
    RateLimitingPolicy,
    composite_problems,
)
from stream.settings.policies import flattened
from stream.settings.policy_block import PolicyBlock
from stream.settings.span_policies import CompletenessPolicy
from stream.settings.tail_sampling import TailSampling


def fixed_checks(sampling: TailSampling) -> Iterator[Problem]:
    """Yield what only the Collector takes."""
    for path, each in _all(sampling):
        match each:
            case configured.AndPolicy(and_=options) if not options.and_sub_policy:
                yield _empty(f"{path}.and.and_sub_policy", "keeps")
            case configured.DropPolicy(drop=options) if not options.drop_sub_policy:
                yield _empty(f"{path}.drop.drop_sub_policy", "drops")
            case CompositePolicy(composite=options):
                yield from composite_problems(f"{path}.composite", options)
        if isinstance(each, configured.NumericAttributePolicy):
            yield from _order(path, *each.numeric_attribute.bounds)


def collector_checks(sampling: TailSampling) -> Iterator[Problem]:
    """Yield what the Collector takes, and dies of."""
    for path, each in _all(sampling):
        if not isinstance(each, configured.NumericAttributePolicy):
            continue
        options = each.numeric_attribute
        yield from _order(path, *options.collector_bounds)
        if options.bounds != (None, None) and options.collector_bounds == (None, None):
            given = {"min_value": options.bounds[0], "max_value": options.bounds[1]}
            wrong = "a bound of 0 is none under compatibility: collector, and the Collector panics"
            remedy = "write a bound that is not 0, or compatibility: fixed"
            yield Problem(f"{path}.numeric_attribute", given, wrong, remedy)


def strategy_checks(sampling: TailSampling, *, as_collector: bool) -> Iterator[Problem]:
    """Yield what cannot be judged at each ingest, and a root condition that is none."""
    if sampling.root_condition:
        try:
            compile_condition(sampling.root_condition, "span")
        except BadCondition as bad:
            wrong, remedy = f"{bad.place}: {bad.wrong}", f"{bad.remedy}\n{bad.shown}"
            yield Problem("tail_sampling.root_condition", sampling.root_condition, wrong, remedy)
    if not sampling.at_ingest:
        return
    for path, each in _all(sampling):
        option, value = _not_at_ingest(each)
        if option:
            wrong = "more spans can make a vote to keep wrong, and span-ingest does not wait"
            remedy = "remove it, or set tail_sampling.sampling_strategy to trace-complete"
            yield Problem(f"{path}.{option}", value, wrong, remedy)
    drops = [each for each in sampling.policies if each.type == "drop" and not each.is_shadow]
    if drops and not as_collector:
        wrong = "under span-ingest a drop policy that has not matched defers every keep for ever"
        remedy = "remove it, or sampling_strategy (compatibility: collector keeps nothing, too)"
        index = sampling.policies.index(drops[0])
        yield Problem(f"tail_sampling.policies[{index}].type", "drop", wrong, remedy)


def _not_at_ingest(policy: PolicyBlock) -> tuple[str, Any]:
    match policy:
        case configured.LatencyPolicy(latency=latency) if latency.upper_threshold_ms:
            return "latency.upper_threshold_ms", latency.upper_threshold_ms
        case configured.SpanCountPolicy(span_count=counts) if counts.max_spans:
            return "span_count.max_spans", counts.max_spans
        case (
            CompletenessPolicy() | RateLimitingPolicy() | BytesLimitingPolicy() | CompositePolicy()
        ):
            return "type", policy.type
    return "", None


def _order(path: str, low: int | None, high: int | None) -> Iterator[Problem]:
    if low is not None and high is not None and low > high:
        wrong = f"below min_value ({low}), so no number would match"
        place = f"{path}.numeric_attribute.max_value"
        yield Problem(place, high, wrong, "set it to min_value or more")


def _empty(path: str, does: str) -> Problem:
    remedy = (
        f"write at least one: the Collector {does} every trace when it is empty "
        "(compatibility: collector does, too)"
    )
    return Problem(path, [], "empty", remedy)


def _all(sampling: TailSampling) -> Iterator[tuple[str, PolicyBlock]]:
    for index, policy in enumerate(sampling.policies):
        yield from flattened(f"tail_sampling.policies[{index}]", policy)
