"""One verdict from the votes of all policies, in the Collector's order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.decision import Verdict, Vote
from stream.sampling.policies.boundaries import boundaries
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.policy import Policy, TraceSummary

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._judge import Judge


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policies said of a trace.

    `policy` is the one that decided: the first to vote dropped, else the first to vote sampled,
    else "". `threshold` is that of a sampled trace, the lowest among those who voted for it, so 0
    where a filter did, and where not every policy was asked. `votes` are (policy name, vote) in the
    order they were cast.
    """

    verdict: Verdict
    policy: str
    threshold: int
    votes: list[tuple[str, Vote]]


class Policies:
    """All policies of a configuration: drop policies first, then the rest, each in file order.

    The first dropped vote ends it and beats every other. Until then every policy votes, also when
    the verdict is known, so that the votes of each can be counted; with `sample_on_first_match` the
    first sampled vote ends it. The verdict and the policy that decides are the same either way.

    A trace whose bodies have more than `maximum_trace_size_bytes` is not sampled, and nobody is
    asked; 0: no such limit.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        *,
        sample_on_first_match: bool = False,
        maximum_trace_size_bytes: int = 0,
    ) -> None:
        self._policies = sorted(policies, key=lambda policy: not isinstance(policy, Drop))
        self._sample_on_first_match = sample_on_first_match
        self.maximum_trace_size_bytes = maximum_trace_size_bytes
        self._judge: Judge | None = None
        between = boundaries(policies) if compiled.RUNS else None
        if between is not None:
            self._judge = Judge(between, maximum_trace_size_bytes)

    @property
    def names(self) -> list[str]:
        """The names of the policies in the order they vote."""
        return [policy.name for policy in self._policies]

    def too_large(self, body_bytes: int) -> bool:
        """Return whether a trace of this size is not sampled whatever the policies say."""
        return 0 < self.maximum_trace_size_bytes < body_bytes

    def judge(self, trace: TraceSummary, *, body_bytes: int = 0) -> Judgement:
        """Return what the policies say of a trace; of two that look alike to them, once."""
        if self._judge is not None:
            return self._judge.judge(trace, body_bytes, self.ask)
        return self.ask(trace, body_bytes=body_bytes)

    def ask(self, trace: TraceSummary, *, body_bytes: int = 0) -> Judgement:
        """Ask every policy, and combine: dropped beats sampled beats not sampled."""
        votes: list[tuple[str, Vote]] = []
        if self.too_large(body_bytes):
            return Judgement(Verdict.NOT_SAMPLED, "", 0, votes)
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
                if self._sample_on_first_match:
                    break
        if winner is None:
            return Judgement(Verdict.NOT_SAMPLED, "", 0, votes)
        if len(votes) < len(self._policies):
            threshold = 0  # one that was not asked may keep it for sure, so no share is claimed
        return Judgement(Verdict.SAMPLED, winner.name, threshold, votes)
