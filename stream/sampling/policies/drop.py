"""`type: drop`: drops a trace that all its sub-policies would keep, whatever the others vote."""

from collections.abc import Sequence

from stream.sampling.decision import Vote
from stream.sampling.policies.policy import Policy, TraceSummary


class Drop:
    """Votes dropped where every sub-policy votes sampled, not sampled otherwise.

    Without sub-policies it drops every trace, as in the Collector.
    """

    __slots__ = ("name", "sub_policies", "threshold")

    def __init__(self, name: str, sub_policies: Sequence[Policy]) -> None:
        self.name = name
        self.threshold = 0
        self.sub_policies = tuple(sub_policies)

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by what the sub-policies say of it, in order; one that errs ends it."""
        for policy in self.sub_policies:
            vote = policy.vote(trace)
            if vote is not Vote.SAMPLED:
                return Vote.ERROR if vote is Vote.ERROR else Vote.NOT_SAMPLED
        return Vote.DROPPED
