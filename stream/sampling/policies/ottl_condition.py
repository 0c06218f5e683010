"""`type: ottl_condition`: keeps a trace with a span, or span event, that meets a condition."""

from stream.sampling.decision import Vote
from stream.sampling.matcher import Matcher, SpanFails, SpanFailsFirst, SpanMeets
from stream.sampling.ottl.conditions import ErrorMode
from stream.sampling.policies.policy import TraceSummary


class OttlCondition:
    """Votes sampled where some span meets one of the conditions, whatever failed beside it.

    Where none does and a condition failed for some span, error mode `propagate` makes it an error,
    which is no vote, and `ignore` a vote that is counted as `ignored_error`.

    `first_counts`: with `propagate` the first of the two to come decides, as in the Collector.
    """

    __slots__ = ("_failed", "_failed_first", "_failed_vote", "_met", "name", "threshold")

    def __init__(
        self, name: str, conditions: SpanMeets, matcher: Matcher, *, first_counts: bool = False
    ) -> None:
        self.name = name
        self.threshold = 0
        self._met = matcher.mask(conditions)
        self._failed = 0
        self._failed_vote = Vote.NOT_SAMPLED
        if conditions.error_mode is not ErrorMode.SILENT:
            self._failed = matcher.mask(SpanFails(conditions))
            propagates = conditions.error_mode is ErrorMode.PROPAGATE
            self._failed_vote = Vote.ERROR if propagates else Vote.IGNORED_ERROR
        ordered = first_counts and conditions.error_mode is ErrorMode.PROPAGATE
        self._failed_first = matcher.mask(SpanFailsFirst(conditions)) if ordered else 0

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by the bits that the scanner set."""
        if trace.bits & self._met and not trace.bits & self._failed_first:
            return Vote.SAMPLED
        return self._failed_vote if trace.bits & self._failed else Vote.NOT_SAMPLED
