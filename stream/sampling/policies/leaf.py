"""Types that are one leaf condition each: `trace_state`, `trace_flags`, `latency` of the root."""

from stream.sampling.decision import Vote
from stream.sampling.matcher import Condition, Matcher
from stream.sampling.policies.policy import TraceSummary


class Leaf:
    """Votes sampled where some span meets the condition."""

    __slots__ = ("_mask", "name", "threshold")

    def __init__(self, name: str, condition: Condition, matcher: Matcher) -> None:
        self.name = name
        self.threshold = 0
        self._mask = matcher.mask(condition)

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by the bit that the scanner set."""
        return Vote.SAMPLED if trace.bits & self._mask else Vote.NOT_SAMPLED
