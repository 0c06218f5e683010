"""`type: ottl_condition`: keeps a trace with a span, or span event, that meets a condition."""

from stream.sampling.decision import Vote
from stream.sampling.matcher import Matcher, SpanFails, SpanMeets
from stream.sampling.ottl.conditions import ErrorMode
from stream.sampling.policies.policy import TraceSummary


class OttlCondition:
    """Votes sampled where some span meets one of the conditions, whatever failed beside it.

    Where none does and a condition failed for some span, error mode `propagate` makes it an error,
    which is no vote, and `ignore` a vote that is counted as `ignored_error`.
    """

    __slots__ = ("_failed", "_failed_vote", "_met", "name", "threshold")

    def __init__(self, name: str, conditions: SpanMeets, matcher: Matcher) -> None:
        self.name = name
        self.threshold = 0
        self._met = matcher.mask(conditions)
        self._failed = 0
        self._failed_vote = Vote.NOT_SAMPLED
        if conditions.error_mode is not ErrorMode.SILENT:
            self._failed = matcher.mask(SpanFails(conditions))
            propagates = conditions.error_mode is ErrorMode.PROPAGATE
            self._failed_vote = Vote.ERROR if propagates else Vote.IGNORED_ERROR

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by the bits that the scanner set."""
        if trace.bits & self._met:
            return Vote.SAMPLED
        return self._failed_vote if trace.bits & self._failed else Vote.NOT_SAMPLED
