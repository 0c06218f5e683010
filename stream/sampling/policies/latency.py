"""`type: latency`: keeps a trace by the time from its earliest start to its latest end."""

from dataclasses import dataclass

from stream.sampling.decision import Vote
from stream.sampling.policies.policy import TraceSummary

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Latency:
    """Votes sampled where threshold < duration <= upper threshold, in whole milliseconds.

    An upper threshold of 0 is none. The duration is truncated, as the Collector does (Go's
    `Duration.Milliseconds`): 1000.9 ms is 1000 ms, so not above a threshold of 1000.
    """

    name: str
    threshold_ms: int
    upper_threshold_ms: int = 0
    threshold: int = 0

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by its time bounds."""
        took_ms = duration_ms(trace)
        if took_ms <= self.threshold_ms:
            return Vote.NOT_SAMPLED
        if self.upper_threshold_ms > 0 and took_ms > self.upper_threshold_ms:
            return Vote.NOT_SAMPLED
        return Vote.SAMPLED


def duration_ms(trace: TraceSummary) -> int:
    """Whole milliseconds from the earliest start to the latest end, truncated.

    0 where no span has a start, or the latest end lies before the earliest start.
    """
    if trace.start_ns == 0 or trace.end_ns <= trace.start_ns:
        return 0
    return (trace.end_ns - trace.start_ns) // NS_PER_MS
