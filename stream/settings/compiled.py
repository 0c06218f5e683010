"""From the policies as they are configured to the objects that vote."""

from dataclasses import dataclass

from stream.sampling.collector_reading import (
    AsCollector,
    ReadAsBoolean,
    ReadAsNumber,
    ReadAsString,
)
from stream.sampling.matcher import (
    AttributeIs,
    BooleanIs,
    Matcher,
    NumberWithin,
    PrefixTook,
    SampledFlagIsSet,
    SpanMeets,
    StringIs,
    TraceStateIs,
)
from stream.sampling.ottl.conditions import ErrorMode
from stream.sampling.policies.always_sample import AlwaysSample
from stream.sampling.policies.and_ import And
from stream.sampling.policies.attribute import Attribute
from stream.sampling.policies.completeness import Completeness
from stream.sampling.policies.composite import Composite
from stream.sampling.policies.consistent import ConsistentProbabilistic
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
from stream.settings.share_policies import ProbabilisticPolicy
from stream.settings.span_policies import (
    CompletenessPolicy,
    OttlConditionPolicy,
    TraceFlagsPolicy,
    TraceStatePolicy,
)
from stream.settings.tail_sampling import TailSampling


def policies_of(
    sampling: TailSampling, matcher: Matcher, *, as_collector: bool = False
) -> Policies:
    """Return what judges a trace. Leaf conditions are registered with the matcher.

    `as_collector`: with the known traps of the Collector v0.158 (`compatibility: collector`).
    """
    if sampling.root_condition:
        root_bit = matcher.mask(SpanMeets((sampling.root_condition,), (), ErrorMode.SILENT))
        assert root_bit == 1, "the fold looks at the lowest bit"
    made = _Compiler(matcher, sampling.root_condition, as_collector=as_collector)
    active = [made.policy(block) for block in sampling.policies if not block.is_shadow]
    shadows = [made.policy(block) for block in sampling.policies_in_order() if block.is_shadow]
    return Policies(
        active,
        shadows=shadows,
        sample_on_first_match=sampling.sample_on_first_match,
        maximum_trace_size_bytes=sampling.maximum_trace_size_bytes,
        look_back=matcher.look_back(sampling.root_condition),
        at_ingest=sampling.at_ingest,
        custom_root=bool(sampling.root_condition),
    )


@dataclass(frozen=True, slots=True)
class _Compiler:
    matcher: Matcher
    root_condition: str
    as_collector: bool

    def policy(  # noqa: C901, PLR0911 - one a type
        self, block: configured.Policy
    ) -> Policy:
        match block:
            case configured.AlwaysSamplePolicy():
                return AlwaysSample(block.name)
            case configured.StatusCodePolicy():
                codes = block.status_code.status_codes
                return StatusCode(block.name, codes, self.matcher, as_collector=self.as_collector)
            case configured.LatencyPolicy():
                return self._latency(block)
            case ProbabilisticPolicy():
                return self._share(block)
            case configured.SpanCountPolicy():
                counts = block.span_count
                return SpanCount(block.name, counts.min_spans, counts.max_spans)
            case CompletenessPolicy(completeness=options):
                return Completeness(block.name, self.matcher, complete=options.complete)
            case OttlConditionPolicy() | TraceStatePolicy() | TraceFlagsPolicy():
                return self._of_spans(block)
            case configured.DropPolicy():
                return Drop(block.name, [self.policy(sub) for sub in block.drop.drop_sub_policy])
            case configured.AndPolicy():
                return self._and(block)
            case configured.NotPolicy():
                return Not(block.name, self.policy(block.not_.not_sub_policy))
            case RateLimitingPolicy() | BytesLimitingPolicy() | CompositePolicy():
                return self._limit(block)
            case _:
                return self._attribute(block)

    def _share(self, block: ProbabilisticPolicy) -> Policy:
        options = block.probabilistic
        share = block.name, options.sampling_percentage, options.hash_salt
        if options.mode == "trace_state":
            return ConsistentProbabilistic(*share, self.matcher, as_collector=self.as_collector)
        return Probabilistic(*share)

    def _limit(self, block: RateLimitingPolicy | BytesLimitingPolicy | CompositePolicy) -> Policy:
        match block:
            case RateLimitingPolicy(rate_limiting=spans):
                return RateLimiting(block.name, spans.spans_per_second, spans.burst_capacity)
            case BytesLimitingPolicy(bytes_limiting=size):
                return BytesLimiting(block.name, size.bytes_per_second, size.burst_capacity)
            case CompositePolicy(composite=options):
                subs = [self.policy(sub) for sub in options.composite_sub_policy]
                rates = options.collector_rates() if self.as_collector else options.rates()
                return Composite(
                    block.name,
                    options.max_total_spans_per_second,
                    list(zip(subs, rates, strict=True)),
                    order=() if self.as_collector else options.order(),
                    as_collector=self.as_collector,
                )

    def _and(self, block: configured.AndPolicy) -> Policy:
        if block.and_.same_span:
            conditions = SpanMeets((condition_of(block),), (), ErrorMode.IGNORE)
            return OttlCondition(block.name, conditions, self.matcher)
        return And(block.name, [self.policy(sub) for sub in block.and_.and_sub_policy])

    def _latency(self, block: configured.LatencyPolicy) -> Policy:
        options = block.latency
        above_ms, upto_ms = options.threshold_ms, options.upper_threshold_ms
        if not options.root:
            if self.as_collector:
                return Leaf(block.name, PrefixTook(above_ms, upto_ms), self.matcher)
            return Latency(block.name, above_ms, upto_ms)
        is_root = f"({self.root_condition or 'IsRootSpan()'})"
        took_ms = "(span.end_time_unix_nano - span.start_time_unix_nano) / 1000000"
        condition = f"{is_root} and span.start_time_unix_nano > 0 and {took_ms} > {above_ms}"
        if upto_ms:
            condition += f" and {took_ms} <= {upto_ms}"
        return Leaf(block.name, SpanMeets((condition,), (), ErrorMode.SILENT), self.matcher)

    def _of_spans(self, block: OttlConditionPolicy | TraceStatePolicy | TraceFlagsPolicy) -> Policy:
        match block:
            case TraceStatePolicy(trace_state=options):
                values = options.collector_values if self.as_collector else options.values
                condition = TraceStateIs(options.key, frozenset(values))
                return Leaf(block.name, condition, self.matcher)
            case TraceFlagsPolicy():
                return Leaf(block.name, SampledFlagIsSet(), self.matcher)
            case OttlConditionPolicy(ottl_condition=ottl):
                conditions = SpanMeets(ottl.span, ottl.spanevent, ErrorMode(ottl.error_mode))
                return OttlCondition(
                    block.name, conditions, self.matcher, first_counts=self.as_collector
                )

    def _attribute(self, block: configured.AnyAttributePolicy) -> Attribute:
        options: configured.AttributeOptions
        condition: AttributeIs | AsCollector
        match block:
            case configured.StringAttributePolicy(string_attribute=options):
                values, regex = frozenset(options.values), options.enabled_regex_matching
                strings = ReadAsString if self.as_collector else StringIs
                condition = strings(options.key, values, regex=regex)
            case configured.NumericAttributePolicy(numeric_attribute=options):
                condition = NumberWithin(options.key, *options.bounds)
                if self.as_collector:
                    condition = ReadAsNumber(options.key, *options.collector_bounds)
            case configured.BooleanAttributePolicy(boolean_attribute=options):
                booleans = ReadAsBoolean if self.as_collector else BooleanIs
                condition = booleans(options.key, options.value)
        inverted = options.invert_match
        return Attribute(block.name, condition, self.matcher, invert_match=inverted)
