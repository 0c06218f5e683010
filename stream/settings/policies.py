"""The policies as the Collector writes them: values only. The objects that vote are made elsewhere.

Names, fields and meaning: contrib, processor/tailsamplingprocessor/config.go.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from stream.sampling.regex import CACHED_VALUES_MAX
from stream.settings import limit_policies as limits
from stream.settings.fields import Block, FromList
from stream.settings.policy_block import LaterOptions, PolicyBlock
from stream.settings.share_policies import ProbabilisticOptions, ProbabilisticPolicy
from stream.settings.span_policies import (
    CompletenessPolicy,
    OttlConditionPolicy,
    TraceFlagsPolicy,
    TraceStatePolicy,
)
from stream.settings.yaml_text import inline_yaml


class AlwaysSamplePolicy(PolicyBlock):
    """Keeps every trace."""

    type: Literal["always_sample"]

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        return "every trace"


class StatusCodeOptions(Block):
    """Which status codes."""

    status_codes: Annotated[tuple[Literal["OK", "ERROR", "UNSET"], ...], FromList] = Field(
        min_length=1, description="Keeps a trace with a span that has one of these status codes."
    )


class StatusCodePolicy(PolicyBlock):
    """Keeps a trace by its spans' status."""

    type: Literal["status_code"]
    status_code: StatusCodeOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        return f"a span has status {' or '.join(self.status_code.status_codes)}"


class LatencyOptions(LaterOptions):
    """How slow. Whole milliseconds, as the Collector has them."""

    later: ClassVar[frozenset[str]] = frozenset({"root"})

    threshold_ms: int = Field(
        default=0, ge=0, le=2**63 - 1, description="Keeps a trace that took longer than this."
    )
    upper_threshold_ms: int = Field(
        default=0, ge=0, le=2**63 - 1, description="And at most this long; 0: no upper bound."
    )
    root: bool = Field(
        default=False,
        description="Asks how long the root span took, not the trace: for clocks that disagree. A "
        "trace without its root span is not kept.",
    )


class LatencyPolicy(PolicyBlock):
    """Keeps a trace by the time from its first start to its last end."""

    type: Literal["latency"]
    latency: LatencyOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        what = "root span" if self.latency.root else "trace"
        text = f"{what} took more than {self.latency.threshold_ms} ms"
        upper_ms = self.latency.upper_threshold_ms
        return f"{text}, at most {upper_ms} ms" if upper_ms else text


REGEX_CACHE: Final = f"the results for {CACHED_VALUES_MAX:,} values are remembered"
"""What does the job of `cache_max_size`."""


class AttributeOptions(Block):
    """Which attribute."""

    key: str = Field(min_length=1, description="The attribute's key; in any span or resource.")
    invert_match: bool = Field(
        default=False,
        description="Keeps a trace of which nothing matches, also where none has the key.",
    )

    def inverted(self, matching: str) -> str:
        """Return in words what is kept, from what matches."""
        return f"not ({matching})" if self.invert_match else matching


class StringAttributeOptions(AttributeOptions):
    """Which texts."""

    values: Annotated[tuple[str, ...], FromList] = Field(
        min_length=1,
        description="Keeps a trace with a span or resource of which the attribute is a string that "
        "equals one of these. An empty string equals an empty one.",
    )
    enabled_regex_matching: bool = Field(
        default=False,
        description="The values are RE2 expressions; one that matches anywhere in the string is "
        "enough (`^` and `$` anchor).",
    )
    cache_max_size: int = Field(default=0, description=f"Not needed here: {REGEX_CACHE}.")


class StringAttributePolicy(PolicyBlock):
    """Keeps a trace by a string attribute of its spans or resources."""

    type: Literal["string_attribute"]
    string_attribute: StringAttributeOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.string_attribute
        verb = "matches" if options.enabled_regex_matching else "is"
        values = " or ".join(inline_yaml(value) for value in options.values)
        return options.inverted(f"{options.key} {verb} {values}")


NO_MIN: Final = -(2**63)
NO_MAX: Final = 2**63 - 1


class NumericAttributeOptions(AttributeOptions):
    """Which numbers."""

    min_value: int = Field(
        default=NO_MIN,
        ge=NO_MIN,
        le=NO_MAX,
        description="Keeps a trace with a span or resource of which the attribute is a number (int "
        "or double) from this value. Unset: no bound; 0 is a bound.",
    )
    max_value: int = Field(
        default=NO_MAX,
        ge=NO_MIN,
        le=NO_MAX,
        description="And at most this one. Unset: no bound. One of the two is needed.",
    )

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The lowest and the highest value, None for no bound."""
        return (
            None if self.min_value == NO_MIN else self.min_value,
            None if self.max_value == NO_MAX else self.max_value,
        )

    @property
    def collector_bounds(self) -> tuple[int | None, int | None]:
        """The bounds as the Collector v0.158 has them: 0 is none."""
        low, high = self.bounds
        return low or None, high or None


class NumericAttributePolicy(PolicyBlock):
    """Keeps a trace by a numeric attribute of its spans or resources."""

    type: Literal["numeric_attribute"]
    numeric_attribute: NumericAttributeOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.numeric_attribute
        low, high = options.bounds
        bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
        return options.inverted(f"{options.key} is {' and '.join(bounds)}")


class BooleanAttributeOptions(AttributeOptions):
    """Which boolean."""

    value: bool = Field(
        default=False,
        description="Keeps a trace with a span or resource of which the attribute is this boolean.",
    )


class BooleanAttributePolicy(PolicyBlock):
    """Keeps a trace by a boolean attribute of its spans or resources."""

    type: Literal["boolean_attribute"]
    boolean_attribute: BooleanAttributeOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.boolean_attribute
        return options.inverted(f"{options.key} is {inline_yaml(options.value)}")


AnyAttributePolicy = StringAttributePolicy | NumericAttributePolicy | BooleanAttributePolicy


class SpanCountOptions(Block):
    """How many spans."""

    min_spans: int = Field(
        default=0, ge=0, description="Keeps a trace with at least this many spans."
    )
    max_spans: int = Field(default=0, ge=0, description="And at most this many; 0: no upper bound.")


class SpanCountPolicy(PolicyBlock):
    """Keeps a trace by how many spans it has."""

    type: Literal["span_count"]
    span_count: SpanCountOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.span_count
        most = f", at most {options.max_spans}" if options.max_spans else ""
        return f"trace has at least {options.min_spans} spans{most}"


class AndOptions(LaterOptions):
    """Which traces."""

    later: ClassVar[frozenset[str]] = frozenset({"same_span"})

    and_sub_policy: Annotated[tuple["SubPolicy", ...], FromList] = Field(
        description="Keeps a trace for which all of these vote to keep; policies of any type but "
        "drop, to any depth.",
    )
    same_span: bool = Field(
        default=False,
        description="One span must meet all of these, not each its own: policies on status, "
        "attributes, tracestate, trace flags and OTTL, and `and` and `not` of them.",
    )


class AndPolicy(PolicyBlock):
    """Keeps a trace for which all its sub-policies vote sampled."""

    type: Literal["and"]
    and_: AndOptions = Field(alias="and")

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        meaning = " and ".join(sub.meaning() for sub in self.and_.and_sub_policy)
        return f"of one span: {meaning}" if self.and_.same_span else meaning


class NotOptions(Block):
    """Which traces."""

    not_sub_policy: "SubPolicy" = Field(
        description="Keeps a trace for which this policy does not vote to keep; of any type but "
        "drop, to any depth."
    )


class NotPolicy(PolicyBlock):
    """Keeps a trace for which its sub-policy votes not sampled."""

    type: Literal["not"]
    not_: NotOptions = Field(alias="not")

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        return f"not ({self.not_.not_sub_policy.meaning()})"


SubPolicy = Annotated[
    AlwaysSamplePolicy
    | StatusCodePolicy
    | LatencyPolicy
    | ProbabilisticPolicy
    | AnyAttributePolicy
    | SpanCountPolicy
    | OttlConditionPolicy
    | TraceStatePolicy
    | TraceFlagsPolicy
    | CompletenessPolicy
    | limits.RateLimitingPolicy
    | limits.BytesLimitingPolicy
    | limits.CompositePolicy
    | AndPolicy
    | NotPolicy,
    Field(discriminator="type"),
]
limits.rebuild({"SubPolicy": SubPolicy})
for _block in (AndOptions, NotOptions, AndPolicy, NotPolicy):
    _block.model_rebuild()


class DropOptions(Block):
    """Which traces."""

    drop_sub_policy: Annotated[tuple[SubPolicy, ...], FromList] = Field(
        description="Drops a trace for which all of these vote to keep, whatever others vote.",
    )


class DropPolicy(PolicyBlock):
    """Drops a trace for which all its sub-policies vote sampled. Beats every other policy."""

    type: Literal["drop"]
    drop: DropOptions

    def meaning(self) -> str:
        """Return why it drops a trace."""
        return "dropped: " + " and ".join(sub.meaning() for sub in self.drop.drop_sub_policy)


Policy = Annotated[SubPolicy | DropPolicy, Field(discriminator="type")]


def sub_policies(policy: PolicyBlock) -> tuple[tuple[str, SubPolicy], ...]:
    """Return a policy's sub-policies, each with its path below it; none for most types."""
    match policy:
        case DropPolicy():
            subs, name = policy.drop.drop_sub_policy, "drop.drop_sub_policy"
        case AndPolicy():
            subs, name = policy.and_.and_sub_policy, "and.and_sub_policy"
        case limits.CompositePolicy():
            subs, name = policy.composite.composite_sub_policy, "composite.composite_sub_policy"
        case NotPolicy():
            return (("not.not_sub_policy", policy.not_.not_sub_policy),)
        case _:
            return ()
    return tuple((f"{name}[{index}]", sub) for index, sub in enumerate(subs))


def flattened(path: str, policy: PolicyBlock) -> Iterator[tuple[str, PolicyBlock]]:
    """Yield a policy and, to any depth, its sub-policies, each with its path."""
    yield path, policy
    for below, sub in sub_policies(policy):
        yield from flattened(f"{path}.{below}", sub)


POLICY_BLOCKS: Final[dict[str, type[PolicyBlock]]] = {
    "always_sample": AlwaysSamplePolicy,
    "status_code": StatusCodePolicy,
    "latency": LatencyPolicy,
    "probabilistic": ProbabilisticPolicy,
    "string_attribute": StringAttributePolicy,
    "numeric_attribute": NumericAttributePolicy,
    "boolean_attribute": BooleanAttributePolicy,
    "span_count": SpanCountPolicy,
    "ottl_condition": OttlConditionPolicy,
    "trace_state": TraceStatePolicy,
    "trace_flags": TraceFlagsPolicy,
    "completeness": CompletenessPolicy,
    "rate_limiting": limits.RateLimitingPolicy,
    "bytes_limiting": limits.BytesLimitingPolicy,
    "composite": limits.CompositePolicy,
    "and": AndPolicy,
    "not": NotPolicy,
    "drop": DropPolicy,
}
"""The policies that are honoured, by type."""


def default_policies() -> tuple[Policy, ...]:
    """Return the policies of a worker that was told none: errors, slow traces, 5 % of the rest."""
    return (
        StatusCodePolicy(
            name="errors",
            type="status_code",
            status_code=StatusCodeOptions(status_codes=("ERROR",)),
        ),
        LatencyPolicy(name="slow", type="latency", latency=LatencyOptions(threshold_ms=1000)),
        ProbabilisticPolicy(
            name="rest",
            type="probabilistic",
            probabilistic=ProbabilisticOptions(sampling_percentage=5),
        ),
    )
