"""The policies that look into whole spans: values only.

Names, fields and meaning: contrib, processor/tailsamplingprocessor/config.go.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from stream.settings.fields import Block, FromList
from stream.settings.policy_block import PolicyBlock

COLLECTOR_MEMBER_BYTES: Final = 256
"""A key and a value of a tracestate that the Collector compares have fewer bytes together."""


class OttlConditionOptions(Block):
    """Which spans. Language: contrib, pkg/ottl/LANGUAGE.md."""

    error_mode: Literal["propagate", "ignore", "silent"] = Field(
        default="ignore",
        description="What a condition that fails for a span counts as (it divides by 0, or it "
        "indexes what is no map): `ignore`: not met, counted; `silent`: not met; `propagate`: the "
        "policy has no vote, unless another span meets a condition.",
    )
    span: Annotated[tuple[str, ...], FromList] = Field(
        default=(),
        description="Keeps a trace with a span that meets one of these OTTL conditions, e.g. "
        '`span.attributes["http.status_code"] >= 500`.',
    )
    spanevent: Annotated[tuple[str, ...], FromList] = Field(
        default=(),
        description="Or with a span event that meets one of these, e.g. "
        '`spanevent.name == "exception"`.',
    )


class OttlConditionPolicy(PolicyBlock):
    """Keeps a trace by conditions on a span as a whole, or on one of its events."""

    type: Literal["ottl_condition"]
    ottl_condition: OttlConditionOptions

    @property
    def propagates(self) -> bool:
        """Whether a condition that fails can take the policy's vote."""
        return self.ottl_condition.error_mode == "propagate"

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.ottl_condition
        conditions = [
            *(f"a span meets {text}" for text in options.span),
            *(f"a span event meets {text}" for text in options.spanevent),
        ]
        return " or ".join(conditions)


class TraceStateOptions(Block):
    """Which member."""

    key: str = Field(min_length=1, description="The key of a member of the W3C tracestate.")
    values: Annotated[tuple[str, ...], FromList] = Field(
        min_length=1,
        description="Keeps a trace with a span of which that member has one of these values. A "
        "tracestate that breaks W3C's grammar has no members.",
    )

    @property
    def collector_values(self) -> tuple[str, ...]:
        """The values that the Collector v0.158 looks for: with the key below 256 bytes."""
        size = len(self.key.encode())
        return tuple(v for v in self.values if size + len(v.encode()) < COLLECTOR_MEMBER_BYTES)


class TraceStatePolicy(PolicyBlock):
    """Keeps a trace by a member of its spans' tracestate."""

    type: Literal["trace_state"]
    trace_state: TraceStateOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        options = self.trace_state
        return f"a tracestate has {options.key}={' or '.join(options.values)}"


class TraceFlagsPolicy(PolicyBlock):
    """Keeps a trace of which some span has the sampled flag of W3C's trace flags."""

    type: Literal["trace_flags"]

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        return "a span has the sampled flag"


class CompletenessOptions(Block):
    """Which traces."""

    complete: bool = Field(
        default=False,
        description="false: keeps a trace that has no root span, or of which a span's parent was "
        "not received; true: one that is complete. Every trace's spans are read again at its "
        "decision, which then tells of it, too.",
    )


class CompletenessPolicy(PolicyBlock):
    """Keeps a trace by whether all of it was received."""

    type: Literal["completeness"]
    completeness: CompletenessOptions = Field(default_factory=CompletenessOptions)

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        if self.completeness.complete:
            return "trace has a root span and no parent is missing"
        return "trace has no root span, or a parent is missing"
