"""From the policies as they are configured to the objects that vote."""

from stream.sampling.matcher import (
    AttributeIs,
    BooleanIs,
    Matcher,
    NumberWithin,
    SampledFlagIsSet,
    SpanMeets,
    StringIs,
    TraceStateIs,
)
from stream.sampling.ottl.conditions import ErrorMode
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.attribute import Attribute
from stream.sampling.policies.composite import Composite
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.leaf import Leaf
from stream.sampling.policies.not_ import Not
from stream.sampling.policies.ottl_condition import OttlCondition
from stream.sampling.policies.policy import Policy
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.rate_limiting import BytesLimiting, RateLimiting
from stream.sampling.policies.span_count import SpanCount
from stream.sampling.policies.status_code import StatusCode
from stream.settings import policies as configured
from stream.settings.limit_policies import (
    BytesLimitingPolicy,
    CompositePolicy,
    RateLimitingPolicy,
)
from stream.settings.same_span import condition_of
from stream.settings.span_policies import (
    OttlConditionPolicy,
    TraceFlagsPolicy,
    TraceStatePolicy,
)
from stream.settings.tail_sampling import TailSampling


def policies_of(sampling: TailSampling, matcher: Matcher) -> Policies:
    """Return what judges a trace. Leaf conditions are registered with the matcher."""
    return Policies(
        [_policy(block, matcher) for block in sampling.policies],
        sample_on_first_match=sampling.sample_on_first_match,
        maximum_trace_size_bytes=sampling.maximum_trace_size_bytes,
    )


def _policy(  # noqa: C901, PLR0911 - one a type
    block: configured.Policy, matcher: Matcher
) -> Policy:
    match block:
        case configured.AlwaysSamplePolicy():
            return AlwaysSample(block.name)
        case configured.StatusCodePolicy():
            return StatusCode(block.name, block.status_code.status_codes, matcher)
        case configured.LatencyPolicy():
            return _latency(block, matcher)
        case configured.ProbabilisticPolicy():
            share = block.probabilistic
            return Probabilistic(block.name, share.sampling_percentage, share.hash_salt)
        case configured.SpanCountPolicy():
            return SpanCount(block.name, block.span_count.min_spans, block.span_count.max_spans)
        case OttlConditionPolicy() | TraceStatePolicy() | TraceFlagsPolicy():
            return _of_spans(block, matcher)
        case configured.DropPolicy():
            subs = [_policy(sub, matcher) for sub in block.drop.drop_sub_policy]
            return Drop(block.name, subs)
        case configured.AndPolicy():
            return _and(block, matcher)
        case configured.NotPolicy():
            return Not(block.name, _policy(block.not_.not_sub_policy, matcher))
        case RateLimitingPolicy() | BytesLimitingPolicy() | CompositePolicy():
            return _limit(block, matcher)
        case _:
            return _attribute(block, matcher)


def _limit(
    block: RateLimitingPolicy | BytesLimitingPolicy | CompositePolicy, matcher: Matcher
) -> Policy:
    match block:
        case RateLimitingPolicy(rate_limiting=spans):
            return RateLimiting(block.name, spans.spans_per_second, spans.burst_capacity)
        case BytesLimitingPolicy(bytes_limiting=size):
            return BytesLimiting(block.name, size.bytes_per_second, size.burst_capacity)
        case CompositePolicy(composite=options):
            subs = [(_policy(sub, matcher), rate) for sub, rate in options.shares()]
            return Composite(block.name, options.max_total_spans_per_second, subs)


def _and(block: configured.AndPolicy, matcher: Matcher) -> Policy:
    if block.and_.same_span:
        conditions = SpanMeets((condition_of(block),), (), ErrorMode.IGNORE)
        return OttlCondition(block.name, conditions, matcher)
    return And(block.name, [_policy(sub, matcher) for sub in block.and_.and_sub_policy])


def _latency(block: configured.LatencyPolicy, matcher: Matcher) -> Policy:
    options = block.latency
    if not options.root:
        return Latency(block.name, options.threshold_ms, options.upper_threshold_ms)
    took_ms = "(span.end_time_unix_nano - span.start_time_unix_nano) / 1000000"
    condition = f"IsRootSpan() and span.start_time_unix_nano > 0 and {took_ms} > "
    condition += str(options.threshold_ms)
    if options.upper_threshold_ms:
        condition += f" and {took_ms} <= {options.upper_threshold_ms}"
    return Leaf(block.name, SpanMeets((condition,), (), ErrorMode.SILENT), matcher)


def _of_spans(
    block: OttlConditionPolicy | TraceStatePolicy | TraceFlagsPolicy, matcher: Matcher
) -> Policy:
    match block:
        case TraceStatePolicy(trace_state=options):
            condition = TraceStateIs(options.key, frozenset(options.values))
            return Leaf(block.name, condition, matcher)
        case TraceFlagsPolicy():
            return Leaf(block.name, SampledFlagIsSet(), matcher)
        case OttlConditionPolicy(ottl_condition=ottl):
            conditions = SpanMeets(ottl.span, ottl.spanevent, ErrorMode(ottl.error_mode))
            return OttlCondition(block.name, conditions, matcher)


def _attribute(block: configured.AnyAttributePolicy, matcher: Matcher) -> Attribute:
    options: configured.AttributeOptions
    condition: AttributeIs
    match block:
        case configured.StringAttributePolicy(string_attribute=options):
            values, regex = frozenset(options.values), options.enabled_regex_matching
            condition = StringIs(options.key, values, regex=regex)
        case configured.NumericAttributePolicy(numeric_attribute=options):
            condition = NumberWithin(options.key, *options.bounds)
        case configured.BooleanAttributePolicy(boolean_attribute=options):
            condition = BooleanIs(options.key, options.value)
    return Attribute(block.name, condition, matcher, invert_match=options.invert_match)
