"""`type: completeness`: keeps a trace by whether all of it was received."""

from stream.sampling.decision import Vote
from stream.sampling.matcher import Matcher, TraceIsIncomplete
from stream.sampling.policies.policy import TraceSummary


class Completeness:
    """Votes sampled where the trace is complete, or where it is not.

    Complete is one that has a root span, and the parent of every other span.
    """

    __slots__ = ("_complete", "_mask", "name", "threshold")

    def __init__(self, name: str, matcher: Matcher, *, complete: bool) -> None:
        self.name = name
        self.threshold = 0
        self._complete = complete
        self._mask = matcher.mask(TraceIsIncomplete())

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by the bit that was set when it was cut."""
        complete = not trace.bits & self._mask
        return Vote.SAMPLED if complete is self._complete else Vote.NOT_SAMPLED
