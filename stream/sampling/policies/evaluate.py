"""One verdict from the votes of all policies, in the Collector's order."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stream import compiled
from stream.otlp.fragment import Fragment
from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.decision import Verdict, Vote
from stream.sampling.look_back import LookBack
from stream.sampling.policies.ballot import NOT_ASKED, cast
from stream.sampling.policies.boundaries import boundaries
from stream.sampling.policies.drop import Drop
from stream.sampling.policies.limit import Fleet, Levels, limits_of, sound
from stream.sampling.policies.policy import Policy, TraceSummary
from stream.sampling.policies.shares import any_of, sources
from stream.sampling.trace import OpenTrace

Ballot = tuple[Vote, str]

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._judge import Judge


@dataclass(slots=True)
class Judgement:
    """What the policies said of a trace. Traces that look alike share one: it is not changed.

    `policy` is the one that decided: the first to vote dropped, else the first to vote sampled,
    else "". `threshold` is that of a sampled trace: 0 where a filter voted for it, the lowest of
    shares that choose alike, else `UNKNOWN_THRESHOLD`. `votes` are (policy name, vote) in the order
    they were cast, `ballot` all of them as a decision record has them (`ballot.py`). `levels` are
    those of all limits after it, nothing where there are none.
    """

    verdict: Verdict
    policy: str
    threshold: int
    votes: list[tuple[str, Vote]]
    ballot: str = ""
    levels: Levels = ()


class Policies:
    """All policies of a configuration: drop policies first, then the rest, each in file order.

    The first dropped vote ends it and beats every other. Until then every policy votes, also when
    the verdict is known, so that the votes of each can be counted; with `sample_on_first_match` the
    first sampled vote ends it. The verdict and the policy that decides are the same either way.

    A trace whose bodies have more than `maximum_trace_size_bytes` is not sampled, and nobody is
    asked; 0: no such limit.

    `shadows` vote last, whatever was said before, and decide nothing.

    `look_back` is what they ask of whole traces. `at_ingest`: each fragment is judged alone as it
    comes (`sampling_strategy: span-ingest`). `custom_root`: the lowest bit tells of a root span.

    Where a policy is a limit (`limits_of`), each partition has policies of its own, with their own
    levels: those of `of_partition`. All have one `fleet`, over which the limits are spread.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        *,
        sample_on_first_match: bool = False,
        maximum_trace_size_bytes: int = 0,
        shadows: Sequence[Policy] = (),
        look_back: LookBack | None = None,
        at_ingest: bool = False,
        custom_root: bool = False,
        fleet: Fleet | None = None,
    ) -> None:
        self.look_back = look_back
        self.at_ingest = at_ingest
        self.custom_root = custom_root
        self._policies = sorted(policies, key=lambda policy: not isinstance(policy, Drop))
        self._shadows = tuple(shadows)
        self._sample_on_first_match = sample_on_first_match
        self.maximum_trace_size_bytes = maximum_trace_size_bytes
        drops = [policy for policy in policies if isinstance(policy, Drop)]
        self._drops = [drop.name for drop in drops]
        self._drops_a_share = bool(sources(drops))
        self._alike = len(sources(policies)) <= 1
        self.fleet = fleet or Fleet()
        everyone = (*self._policies, *self._shadows)
        self._limits = list(limits_of(everyone))
        for limit in self._limits:
            limit.fleet = self.fleet
        self._unknown: Sequence[None] = [None] * len(everyone)
        self._others = [None if any(limits_of([one])) else one for one in everyone]
        self._judge: Judge | None = None
        between = boundaries(filter(None, self._others)) if compiled.RUNS else None
        if between is not None:
            self._judge = Judge(between, maximum_trace_size_bytes)

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
            shadows=deepcopy(self._shadows),
            look_back=self.look_back,
            at_ingest=self.at_ingest,
            custom_root=self.custom_root,
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

    @property
    def names(self) -> list[str]:
        """The names of the policies in the order they vote."""
        return [policy.name for policy in (*self._policies, *self._shadows)]

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

    @property
    def judges_plainly(self) -> bool:
        """Whether a cut trace's summary is all that `judge` needs."""
        return self.look_back is None and not self.at_ingest

    @property
    def judge_in_c(self) -> "Judge | None":
        """The compiled judge, where it alone is all of `judge`; None elsewhere."""
        return self._judge if self.judges_plainly and not self._limits else None

    def judge_cut(
        self, trace: OpenTrace, bodies: Callable[[], Sequence[bytes]], *, due_ms: int
    ) -> Judgement:
        """Return the judgement of a trace that is cut; `bodies` gives its bodies, in their order.

        One that was judged at each ingest, and not decided, is not sampled.
        """
        if self.at_ingest or self.too_large(trace.body_bytes):
            return Judgement(Verdict.NOT_SAMPLED, "", 0, [], levels=self.levels)
        if self.look_back is not None:
            trace.bits = self.look_back(trace.bits, bodies)
            incomplete = self.look_back.incomplete
            if incomplete is not None and trace.bits & incomplete.met:
                trace.root = False  # what the decision tells as `complete`
        return self.judge(trace, body_bytes=trace.body_bytes, due_ms=due_ms)

    def judge_ingest(self, fragment: Fragment, spans: int) -> Judgement | None:
        """Return the judgement of a trace by its last fragment alone, None while it may change.

        `spans` is how many the trace has by now. A `drop` policy that may still match defers it.
        """
        bits = fragment.bits
        if self.look_back is not None:
            bits = self.look_back(bits, lambda: [fragment.body])
        judgement = self.judge(replace(fragment, spans=spans, bits=bits))
        if judgement.verdict is Verdict.SAMPLED:
            votes = dict(judgement.votes)
            pending = any(votes[drop] is Vote.NOT_SAMPLED for drop in self._drops)
            return None if pending else judgement
        return judgement if judgement.policy else None

    def ask(self, trace: TraceSummary, *, body_bytes: int = 0) -> Judgement:
        """Ask every policy, and combine: dropped beats sampled beats not sampled."""
        if self.too_large(body_bytes):
            return Judgement(Verdict.NOT_SAMPLED, "", 0, [])
        known = self._known(trace)
        judgement = self._decide(trace, known)
        for policy, its in zip(self._shadows, known[len(self._policies) :], strict=True):
            vote, text = its or cast(policy, trace)
            judgement.votes.append((policy.name, vote))
            judgement.ballot += text.upper()
        return judgement

    def _known(self, trace: TraceSummary) -> Sequence[Ballot | None]:
        """Return what the others say where some are limits, None for each still to be asked."""
        if self._judge is None or not self._limits:
            return self._unknown
        return self._judge.judge(trace, 0, self._ask_the_others)

    def _ask_the_others(self, trace: TraceSummary, *, body_bytes: int) -> Sequence[Ballot | None]:  # noqa: ARG002 - the judge's
        return [cast(other, trace) if other else None for other in self._others]

    def _decide(self, trace: TraceSummary, known: Sequence[Ballot | None]) -> Judgement:
        votes: list[tuple[str, Vote]] = []
        judgement = Judgement(Verdict.NOT_SAMPLED, "", 0, votes)
        ballot = ""
        thresholds: list[int] = []
        for policy, its in zip(self._policies, known, strict=False):
            vote, text = its or cast(policy, trace)
            ballot += text
            votes.append((policy.name, vote))
            if vote is Vote.DROPPED:
                judgement = Judgement(Verdict.NOT_SAMPLED, policy.name, 0, votes)
                break
            if vote is Vote.SAMPLED:
                thresholds.append(policy.threshold)
                if judgement.verdict is not Verdict.SAMPLED:
                    judgement = Judgement(Verdict.SAMPLED, policy.name, 0, votes)
                if self._sample_on_first_match:
                    break
        not_asked = len(self._policies) - len(votes)
        if judgement.verdict is Verdict.SAMPLED:
            # One that was not asked may keep it for sure.
            judgement.threshold = any_of(thresholds, alike=self._alike and not not_asked)
            if self._drops_a_share:
                judgement.threshold = UNKNOWN_THRESHOLD
        judgement.ballot = ballot + NOT_ASKED * not_asked
        return judgement
