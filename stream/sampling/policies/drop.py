"""`type: drop`: drops a trace that all its sub-policies would keep, whatever the others vote."""

from collections.abc import Sequence

from stream.sampling.decision import Vote
from stream.sampling.policies.ballot import Compound, all_sampled
from stream.sampling.policies.policy import Policy, TraceSummary


class Drop(Compound):
    """Votes dropped where every sub-policy votes sampled, not sampled otherwise.

    Without sub-policies it drops every trace, as in the Collector.
    """

    __slots__ = ("name", "sub_policies", "threshold")

    def __init__(self, name: str, sub_policies: Sequence[Policy]) -> None:
        self.name = name
        self.threshold = 0
        self.sub_policies = tuple(sub_policies)

    def parts(self) -> Sequence[Policy]:
        """Return the sub-policies."""
        return self.sub_policies

    def ballot(self, trace: TraceSummary) -> tuple[Vote, str]:
        """Judge a trace by what the sub-policies say of it, in order; one that errs ends it."""
        vote, votes = all_sampled(self.sub_policies, trace)
        return (Vote.DROPPED if vote is Vote.SAMPLED else vote), votes
