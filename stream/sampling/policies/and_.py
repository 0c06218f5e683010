"""`type: and`: keeps a trace that all its sub-policies would keep."""

from collections.abc import Sequence

from stream.sampling.decision import Vote
from stream.sampling.policies.ballot import Compound, all_sampled
from stream.sampling.policies.policy import Policy, TraceSummary
from stream.sampling.policies.shares import all_of


class And(Compound):
    """Votes sampled where every sub-policy votes sampled; so without one, as in the Collector.

    `threshold` is the highest of theirs: filters have 0, so that with one probabilistic sub-policy
    it is that one's. Of several that choose alike, each keeps only what the sharper ones keep; of
    others the probability is not known.
    """

    __slots__ = ("name", "sub_policies", "threshold")

    def __init__(self, name: str, sub_policies: Sequence[Policy]) -> None:
        self.name = name
        self.threshold = all_of(sub_policies)
        self.sub_policies = tuple(sub_policies)

    def parts(self) -> Sequence[Policy]:
        """Return the sub-policies."""
        return self.sub_policies

    def ballot(self, trace: TraceSummary) -> tuple[Vote, str]:
        """Judge a trace by what the sub-policies say of it, in order; one that errs ends it."""
        return all_sampled(self.sub_policies, trace)
