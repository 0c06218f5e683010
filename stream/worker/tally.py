"""What the metrics tell of a transaction's deliveries once it has committed, counted at once."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.decision import Decision, Trigger, Verdict
from stream.sampling.delivery import DeadLetter, Settled

if TYPE_CHECKING or compiled.RUNS:
    from stream.worker import _plan as in_c

Label = tuple[Verdict, str, Trigger]
Shown = tuple[bytes, int]
"""The id of a kept trace, and what was measured of it."""


@dataclass(slots=True)
class Durations:
    """Durations of kept traces, in microseconds: by bucket, their sum, a trace of each bucket."""

    counts: list[int]
    sum_us: int = 0
    exemplars: dict[int, Shown] = field(default_factory=dict)


class Tally:
    """Counts of deliveries.

    `decided` are traces by verdict, policy and trigger; `dead_letters` by reason. `delays` are the
    traces whose decision came so many milliseconds after it was due, by the first of `bounds_ms`
    that is not exceeded, the last of them by none; `delay_ms` is the sum.
    `durations` are of the kept traces, by policy. `delay_exemplars` have for some of the delays'
    buckets a kept trace of it, with its delay in milliseconds.
    """

    def __init__(self, bounds_ms: Sequence[int], duration_bounds_us: Sequence[int]) -> None:
        self.decided: Counter[Label] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.bounds_ms = list(bounds_ms)
        self.delays = [0] * (len(self.bounds_ms) + 1)
        self.delay_ms = 0
        self.duration_bounds_us = list(duration_bounds_us)
        self.durations: dict[str, Durations] = {}
        self.delay_exemplars: dict[int, Shown] = {}

    def durations_of(self, policy: str) -> "Durations":
        """Return those of one policy, to be added to."""
        found = self.durations.get(policy)
        if found is None:
            buckets = len(self.duration_bounds_us) + 1
            found = self.durations[policy] = Durations([0] * buckets)
        return found

    def add(self, settled: Sequence[Settled], now_ms: int) -> None:
        """Count these; they committed at `now_ms`."""
        if compiled.RUNS:
            in_c.tally(self, settled, now_ms)
        else:
            self.add_in_python(settled, now_ms)

    def add_in_python(self, settled: Sequence[Settled], now_ms: int) -> None:
        """See `add`; by the pure-Python twin."""
        for one in settled:
            delivered = one.delivered
            if isinstance(delivered, DeadLetter):
                self.dead_letters[delivered.bad.reason.value] += 1
                continue
            if one.dead_lettered:
                reason = "undeliverable" if delivered.undeliverable else "span_too_large"
                self.dead_letters[reason] += 1
            if not delivered.late:
                decision = delivered.decision
                self.decided[decision.verdict, decision.policy, decision.trigger] += 1
                delay_ms = max(0, now_ms - delivered.due_ms)
                bucket = bisect_left(self.bounds_ms, delay_ms)
                self.delays[bucket] += 1
                self.delay_ms += delay_ms
                if decision.verdict is Verdict.SAMPLED and not one.dead_lettered:
                    self.delay_exemplars[bucket] = (decision.trace_id, delay_ms)
                    self._add_duration(decision)

    def _add_duration(self, decision: Decision) -> None:
        bucket = bisect_left(self.duration_bounds_us, decision.duration_us)
        of = self.durations_of(decision.policy)
        of.counts[bucket] += 1
        of.sum_us += decision.duration_us
        of.exemplars[bucket] = (decision.trace_id, decision.duration_us)
