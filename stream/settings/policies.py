"""The policies as the Collector writes them: values only. The objects that vote are made elsewhere.

Names, fields and meaning: contrib, processor/tailsamplingprocessor/config.go.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from stream.settings.fields import Block, FromList

NOT_SUPPORTED_YET: Final = (
    "and",
    "boolean_attribute",
    "bytes_limiting",
    "composite",
    "not",
    "numeric_attribute",
    "ottl_condition",
    "rate_limiting",
    "span_count",
    "string_attribute",
    "trace_flags",
    "trace_state",
)
"""The Collector's policy types that stop the start."""


class PolicyBlock(Block):
    """What every policy has. Names are unique; a sub-policy may go without one."""

    name: str = Field(default="", description="The policy's name, in every decision it takes.")

    def meaning(self) -> str:
        """Return in a few words why this policy votes to keep (or drop) a trace."""
        raise NotImplementedError


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


class LatencyOptions(Block):
    """How slow. Whole milliseconds, as the Collector has them."""

    threshold_ms: int = Field(
        default=0, ge=0, le=2**63 - 1, description="Keeps a trace that took longer than this."
    )
    upper_threshold_ms: int = Field(
        default=0, ge=0, le=2**63 - 1, description="And at most this long; 0: no upper bound."
    )


class LatencyPolicy(PolicyBlock):
    """Keeps a trace by the time from its first start to its last end."""

    type: Literal["latency"]
    latency: LatencyOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        text = f"trace took more than {self.latency.threshold_ms} ms"
        upper_ms = self.latency.upper_threshold_ms
        return f"{text}, at most {upper_ms} ms" if upper_ms else text


class ProbabilisticOptions(Block):
    """Which share of the traces."""

    sampling_percentage: float = Field(
        ge=0, le=100, description="Keeps this share of the traces, chosen by trace id, in percent."
    )
    hash_salt: str = Field(
        default="", description="Salt of the hash; equal salts choose the same traces everywhere."
    )


class ProbabilisticPolicy(PolicyBlock):
    """Keeps a share of the traces, chosen by trace id."""

    type: Literal["probabilistic"]
    probabilistic: ProbabilisticOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        return f"{self.probabilistic.sampling_percentage:g} % of traces, by trace id"


SubPolicy = Annotated[
    AlwaysSamplePolicy | StatusCodePolicy | LatencyPolicy | ProbabilisticPolicy,
    Field(discriminator="type"),
]


class DropOptions(Block):
    """Which traces."""

    drop_sub_policy: Annotated[tuple[SubPolicy, ...], FromList] = Field(
        min_length=1,
        description="Drops a trace for which all of these vote to keep, whatever others vote.",
    )


class DropPolicy(PolicyBlock):
    """Drops a trace for which all its sub-policies vote sampled. Beats every other policy."""

    type: Literal["drop"]
    drop: DropOptions

    def meaning(self) -> str:
        """Return why it drops a trace."""
        return "dropped: " + " and ".join(sub.meaning() for sub in self.drop.drop_sub_policy)


Policy = Annotated[
    AlwaysSamplePolicy | StatusCodePolicy | LatencyPolicy | ProbabilisticPolicy | DropPolicy,
    Field(discriminator="type"),
]

POLICY_BLOCKS: Final[dict[str, type[PolicyBlock]]] = {
    "always_sample": AlwaysSamplePolicy,
    "status_code": StatusCodePolicy,
    "latency": LatencyPolicy,
    "probabilistic": ProbabilisticPolicy,
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
