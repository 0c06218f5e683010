"""`type: and`: keeps a trace that all its sub-policies would keep."""

from collections.abc import Sequence

from stream.sampling.decision import Vote
from stream.sampling.policies.limit import limits_of
from stream.sampling.policies.policy import Policy, TraceSummary


class And:
    """Votes sampled where every sub-policy votes sampled. It has one at least.

    `threshold` is the highest of theirs: filters have 0, so that with one probabilistic sub-policy
    it is that one's. Of several, each keeps only what the sharper ones keep where their salts are
    equal; where they differ, the share is their product, and the highest alone says too little.
    With a limit among them nothing is claimed: what it lets through is no share.
    """

    __slots__ = ("name", "sub_policies", "threshold")

    def __init__(self, name: str, sub_policies: Sequence[Policy]) -> None:
        assert sub_policies, "an empty `and` would keep every trace: the settings refuse it"
        self.name = name
        limited = any(limits_of(sub_policies))
        self.threshold = 0 if limited else max(policy.threshold for policy in sub_policies)
        self.sub_policies = tuple(sub_policies)

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by what the sub-policies say of it, in order; one that errs ends it."""
        for policy in self.sub_policies:
            vote = policy.vote(trace)
            if vote is not Vote.SAMPLED:
                return Vote.ERROR if vote is Vote.ERROR else Vote.NOT_SAMPLED
        return Vote.SAMPLED
