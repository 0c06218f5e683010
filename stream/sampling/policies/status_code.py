"""`type: status_code`: keeps a trace of which any span has one of the given status codes."""

from collections.abc import Iterable

from stream.otlp.span import STATUS_ERROR, STATUS_OK, STATUS_UNSET
from stream.sampling.collector_reading import ReadAsUnset
from stream.sampling.decision import Vote
from stream.sampling.matcher import Condition, Matcher, StatusIs
from stream.sampling.policies.policy import TraceSummary

STATUS_CODES = {"UNSET": STATUS_UNSET, "OK": STATUS_OK, "ERROR": STATUS_ERROR}
"""The Collector's names, upper case only, and the codes of OTLP `Status.StatusCode`."""


class StatusCode:
    """Votes sampled where a span's status is among `status_codes` (keys of `STATUS_CODES`).

    A code that OTLP does not define counts as unset, but `as_collector` as none of them.
    """

    __slots__ = ("_mask", "name", "threshold")

    def __init__(
        self,
        name: str,
        status_codes: Iterable[str],
        matcher: Matcher,
        *,
        as_collector: bool = False,
    ) -> None:
        self.name = name
        self.threshold = 0
        self._mask = 0
        for status_code in status_codes:
            condition: Condition = StatusIs(STATUS_CODES[status_code])
            if as_collector and status_code == "UNSET":
                condition = ReadAsUnset()
            self._mask |= matcher.mask(condition)

    def vote(self, trace: TraceSummary) -> Vote:
        """Judge a trace by the bits that the scanner set."""
        return Vote.SAMPLED if trace.bits & self._mask else Vote.NOT_SAMPLED
