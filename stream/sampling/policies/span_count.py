"""`type: span_count`: keeps a trace by how many spans it has."""

from dataclasses import dataclass

from stream.sampling.decision import Vote
from stream.sampling.policies.policy import TraceSummary


@dataclass(frozen=True, slots=True)
class SpanCount:
    """Votes sampled where min_spans <= spans received <= max_spans; a `max_spans` of 0 is none.

    A span that was sent twice counts twice: duplicates are found when a kept trace is delivered.
    """

    name: str
    min_spans: int
    max_spans: int = 0
    threshold: int = 0

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by its count of spans."""
        if trace.spans < self.min_spans or 0 < self.max_spans < trace.spans:
            return Vote.NOT_SAMPLED
        return Vote.SAMPLED
