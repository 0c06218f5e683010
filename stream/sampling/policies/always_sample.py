"""`type: always_sample`: keeps every trace."""

from dataclasses import dataclass

from stream.sampling.decision import Vote
from stream.sampling.policies.policy import TraceSummary


@dataclass(frozen=True, slots=True)
class AlwaysSample:
    """Votes sampled, whatever the trace."""

    name: str
    threshold: int = 0

    def vote(self, trace: TraceSummary) -> Vote:  # noqa: ARG002 - the contract's parameter
        """Judge a trace: sampled."""
        return Vote.SAMPLED
