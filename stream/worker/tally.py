"""What the metrics tell of a transaction's deliveries once it has committed, counted at once."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stream import compiled
from stream.sampling.decision import Trigger, Verdict
from stream.sampling.delivery import DeadLetter, Settled

if TYPE_CHECKING or compiled.RUNS:
    from stream.worker import _plan as in_c

Label = tuple[Verdict, str, Trigger]


class Tally:
    """Counts of deliveries.

    `decided` are traces by verdict, policy and trigger; `dead_letters` by reason. `delays` are the
    traces whose decision came so many milliseconds after it was due, by the first of `bounds_ms`
    that is not exceeded, the last of them by none; `delay_ms` is the sum.
    """

    def __init__(self, bounds_ms: Sequence[int]) -> None:
        self.decided: Counter[Label] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.bounds_ms = list(bounds_ms)
        self.delays = [0] * (len(self.bounds_ms) + 1)
        self.delay_ms = 0

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
                self.delays[bisect_left(self.bounds_ms, delay_ms)] += 1
                self.delay_ms += delay_ms
