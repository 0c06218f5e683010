"""One verdict from the votes of all policies, in the Collector's order."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.decision import Verdict, Vote
from stream.sampling.policies.boundaries import boundaries
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.limit import Fleet, Levels, limits_of, sound
from stream.sampling.policies.policy import Policy, TraceSummary

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._judge import Judge


@dataclass(slots=True)
class Judgement:
    """What the policies said of a trace. Traces that look alike share one: nobody changes it.

    `policy` is the one that decided: the first to vote dropped, else the first to vote sampled,
    else "". `threshold` is that of a sampled trace, the lowest among those who voted for it, so 0
    where a filter did, and where not every policy was asked. `votes` are (policy name, vote) in the
    order they were cast. `levels` are those of all limits after it, nothing where there are none.
    """

    verdict: Verdict
    policy: str
    threshold: int
    votes: list[tuple[str, Vote]]
    levels: Levels = ()


class Policies:
    """All policies of a configuration: drop policies first, then the rest, each in file order.

    The first dropped vote ends it and beats every other. Until then every policy votes, also when
    the verdict is known, so that the votes of each can be counted; with `sample_on_first_match` the
    first sampled vote ends it. The verdict and the policy that decides are the same either way.

    A trace whose bodies have more than `maximum_trace_size_bytes` is not sampled, and nobody is
    asked; 0: no such limit.

    Where a policy is a limit (`limits_of`), each partition has policies of its own, with their own
    levels: those of `of_partition`. All have one `fleet`, over which the limits are spread.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        *,
        sample_on_first_match: bool = False,
        maximum_trace_size_bytes: int = 0,
        fleet: Fleet | None = None,
    ) -> None:
        self._policies = sorted(policies, key=lambda policy: not isinstance(policy, Drop))
        self._sample_on_first_match = sample_on_first_match
        self.maximum_trace_size_bytes = maximum_trace_size_bytes
        self.fleet = fleet or Fleet()
        self._limits = list(limits_of(self._policies))
        for limit in self._limits:
            limit.fleet = self.fleet
        self._is_limit = [any(limits_of([policy])) for policy in self._policies]
        self._unknown: Sequence[None] = [None] * len(self._policies)
        self._judge: Judge | None = None
        unlimited = [p for p, is_limit in self._with_limits() if not is_limit]
        between = boundaries(unlimited) if compiled.RUNS else None
        if between is not None:
            self._judge = Judge(between, maximum_trace_size_bytes)

    @property
    def names(self) -> list[str]:
        """The names of the policies in the order they vote."""
        return [policy.name for policy in self._policies]

    def of_partition(self) -> "Policies":
        """Return policies with levels of their own; these themselves, where none is a limit.

        The levels are as they are here: full, for nobody asks these.
        """
        if not self._limits:
            return self
        return Policies(
            deepcopy(self._policies),
            sample_on_first_match=self._sample_on_first_match,
            maximum_trace_size_bytes=self.maximum_trace_size_bytes,
            fleet=self.fleet,
        )

    @property
    def levels(self) -> Levels:
        """How much of each limit has been used: what a decision record says of it."""
        return tuple([limit.levels for limit in self._limits])

    def restore(self, levels: Levels) -> None:
        """Go on from levels that policies of the same settings told; others are ignored whole."""
        sizes = [len(limit.levels) for limit in self._limits]
        if not sound(levels) or [len(of_one) for of_one in levels] != sizes:
            return
        for limit, of_one in zip(self._limits, levels, strict=True):
            limit.restore(of_one)

    def too_large(self, body_bytes: int) -> bool:
        """Return whether a trace of this size is not sampled whatever the policies say."""
        return 0 < self.maximum_trace_size_bytes < body_bytes

    def judge(self, trace: TraceSummary, *, body_bytes: int = 0, due_ms: int = 0) -> Judgement:
        """Return what the policies say of a trace; of two that look alike to them, once.

        `due_ms` is the partition time at which it was due: the time of the limits.
        """
        if not self._limits:
            if self._judge is None:
                return self.ask(trace, body_bytes=body_bytes)
            return self._judge.judge(trace, body_bytes, self.ask)
        for limit in self._limits:
            limit.judging(due_ms=due_ms, body_bytes=body_bytes)
        judgement = self.ask(trace, body_bytes=body_bytes)
        judgement.levels = self.levels
        return judgement

    def ask(self, trace: TraceSummary, *, body_bytes: int = 0) -> Judgement:
        """Ask every policy, and combine: dropped beats sampled beats not sampled."""
        votes: list[tuple[str, Vote]] = []
        if self.too_large(body_bytes):
            return Judgement(Verdict.NOT_SAMPLED, "", 0, votes)
        winner: Policy | None = None
        threshold = 0
        for policy, known in zip(self._policies, self._known(trace), strict=True):
            vote = policy.vote(trace) if known is None else known
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

    def _known(self, trace: TraceSummary) -> Sequence[Vote | None]:
        """Return the votes of the others where some are limits, None for each still to be asked."""
        if self._judge is None or not self._limits:
            return self._unknown
        return self._judge.judge(trace, 0, self._ask_the_others)

    def _ask_the_others(self, trace: TraceSummary, *, body_bytes: int) -> Sequence[Vote | None]:  # noqa: ARG002 - the judge's
        return [None if is_limit else p.vote(trace) for p, is_limit in self._with_limits()]

    def _with_limits(self) -> Iterator[tuple[Policy, bool]]:
        """Yield the policies, each with whether it is a limit or holds one."""
        return zip(self._policies, self._is_limit, strict=True)
