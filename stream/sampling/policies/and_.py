"""`type: and`: keeps a trace that all its sub-policies would keep."""

from collections.abc import Sequence

from stream.sampling.decision import Vote
from stream.sampling.policies.ballot import Compound, all_sampled
from stream.sampling.policies.policy import Policy, TraceSummary


class And(Compound):
    """Votes sampled where every sub-policy votes sampled. It has one at least.

    `threshold` is the highest of theirs: filters have 0, so that with one probabilistic sub-policy
    it is that one's. Of several, each keeps only what the sharper ones keep where their salts are
    equal; where they differ, the share is their product, and the highest alone says too little.
    """

    __slots__ = ("name", "sub_policies", "threshold")

    def __init__(self, name: str, sub_policies: Sequence[Policy]) -> None:
        assert sub_policies, "an empty `and` would keep every trace: the settings refuse it"
        self.name = name
        self.threshold = max(policy.threshold for policy in sub_policies)
        self.sub_policies = tuple(sub_policies)

    def ballot(self, trace: TraceSummary) -> tuple[Vote, str]:
        """Judge a trace by what the sub-policies say of it, in order; one that errs ends it."""
        return all_sampled(self.sub_policies, trace)
