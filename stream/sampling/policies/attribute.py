"""Types `string_attribute`, `numeric_attribute`, `boolean_attribute`: one rule, any condition."""

from stream.sampling.collector_reading import AsCollector
from stream.sampling.decision import Vote
from stream.sampling.matcher import AttributeIs, Matcher
from stream.sampling.policies.policy import TraceSummary


class Attribute:
    """Votes sampled where an attribute of any span or of any resource meets the condition.

    With `invert_match` where none does, so also where no attribute has the key.
    """

    __slots__ = ("_invert_match", "_mask", "name", "threshold")

    def __init__(
        self,
        name: str,
        condition: AttributeIs | AsCollector,
        matcher: Matcher,
        *,
        invert_match: bool = False,
    ) -> None:
        self.name = name
        self.threshold = 0
        self._mask = matcher.mask(condition)
        self._invert_match = invert_match

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by the bit that the scanner set."""
        met = trace.bits & self._mask != 0
        return Vote.NOT_SAMPLED if met is self._invert_match else Vote.SAMPLED
