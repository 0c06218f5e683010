"""One verdict from the votes of all policies, in the Collector's order."""

from collections.abc import Sequence
from dataclasses import dataclass

from stream.sampling.decision import Verdict, Vote
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.policy import Policy, TraceSummary


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policies said of a trace.

    `policy` is the one that decided: the first to vote dropped, else the first to vote sampled,
    else "". `threshold` is that of a sampled trace, the lowest among those who voted for it, so 0
    where a filter did. `votes` are (policy name, vote) in the order they were cast.
    """

    verdict: Verdict
    policy: str
    threshold: int
    votes: list[tuple[str, Vote]]


class Policies:
    """All policies of a configuration: drop policies first, then the rest, each in file order.

    The first dropped vote ends it and beats every other. Until then every policy votes, also when
    the verdict is known, so that the votes of each can be counted.
    """

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = sorted(policies, key=lambda policy: not isinstance(policy, Drop))

    @property
    def names(self) -> list[str]:
        """The names of the policies in the order they vote."""
        return [policy.name for policy in self._policies]

    def judge(self, trace: TraceSummary) -> Judgement:
        """Ask every policy, and combine: dropped beats sampled beats not sampled."""
        votes: list[tuple[str, Vote]] = []
        winner: Policy | None = None
        threshold = 0
        for policy in self._policies:
            vote = policy.vote(trace)
            votes.append((policy.name, vote))
            if vote is Vote.DROPPED:
                return Judgement(Verdict.NOT_SAMPLED, policy.name, 0, votes)
            if vote is Vote.SAMPLED:
                threshold = min(threshold, policy.threshold) if winner else policy.threshold
                winner = winner or policy
        if winner is None:
            return Judgement(Verdict.NOT_SAMPLED, "", 0, votes)
        return Judgement(Verdict.SAMPLED, winner.name, threshold, votes)
