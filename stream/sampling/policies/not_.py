"""`type: not`: keeps a trace that its sub-policy would not keep."""

from collections.abc import Sequence

from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import Vote
from stream.sampling.policies.ballot import Compound, cast
from stream.sampling.policies.policy import Policy, TraceSummary
from stream.sampling.policies.shares import sources


class Not(Compound):
    """Votes sampled where its sub-policy votes not sampled, and the other way round.

    Around a probabilistic policy the threshold is not known: what that one rejects is no share that
    a threshold could tell.
    """

    __slots__ = ("name", "sub_policy", "threshold")

    def __init__(self, name: str, sub_policy: Policy) -> None:
        self.name = name
        self.threshold = UNKNOWN_THRESHOLD if sources([sub_policy]) else 0
        self.sub_policy = sub_policy

    def parts(self) -> Sequence[Policy]:
        """Return the sub-policy."""
        return (self.sub_policy,)

    def ballot(self, trace: TraceSummary) -> tuple[Vote, str]:
        """Judge a trace by what the sub-policy says of it, turned round; an error stays one."""
        vote, votes = cast(self.sub_policy, trace)
        assert vote is not Vote.DROPPED, "a drop policy stands at the top: the settings refuse it"
        if vote is Vote.ERROR:
            return vote, votes
        return (Vote.NOT_SAMPLED if vote is Vote.SAMPLED else Vote.SAMPLED), votes
