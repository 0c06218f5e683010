"""The policies that keep a share of the traces: values only.

Names, fields and meaning: contrib, processor/tailsamplingprocessor/config.go; `mode` is ours.
"""

from typing import ClassVar, Literal

from pydantic import Field

from stream.settings.policy_block import LaterOptions, PolicyBlock


class ProbabilisticOptions(LaterOptions):
    """Which share of the traces."""

    later: ClassVar[frozenset[str]] = frozenset({"mode"})

    sampling_percentage: float = Field(
        ge=0, le=100, description="Keeps this share of the traces, chosen by trace id, in percent."
    )
    hash_salt: str = Field(
        default="", description="Salt of the hash; equal salts choose the same traces everywhere."
    )
    mode: Literal["hash_seed", "trace_state"] = Field(
        default="hash_seed",
        description="By what a trace is chosen: hash_seed, its id's salted hash; trace_state, "
        "where a span's tracestate has `ot=th` or `ot=rv`, the randomness that samplers before and "
        "after this one compare with, so that their shares lie in each other, else the hash.",
    )


class ProbabilisticPolicy(PolicyBlock):
    """Keeps a share of the traces, chosen by trace id."""

    type: Literal["probabilistic"]
    probabilistic: ProbabilisticOptions

    def meaning(self) -> str:
        """Return why it keeps a trace."""
        by = "trace id" if self.probabilistic.mode == "hash_seed" else "randomness of the trace"
        return f"{self.probabilistic.sampling_percentage:g} % of traces, by {by}"
