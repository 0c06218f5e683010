"""Leaf conditions on spans, a bit each: what the scanner looks for, and what policies ask of it.

Policies register the conditions they need once, at start; the scanner sets the bits of those that
some span of a fragment matches; a policy then decides on its mask, without seeing a span.
"""

from dataclasses import dataclass

from stream.otlp.scan import ScanPlan
from stream.otlp.span import STATUS_ERROR, STATUS_UNSET


@dataclass(frozen=True, slots=True)
class StatusIs:
    """Some span has this status code: 0 unset, 1 ok, 2 error (OTLP `Status.StatusCode`)."""

    code: int

    def __post_init__(self) -> None:
        assert STATUS_UNSET <= self.code <= STATUS_ERROR, self.code


Condition = StatusIs
"""Every kind of leaf condition: a union that grows with the scanner."""


class Matcher:
    """Gives each distinct condition one bit, and compiles them all to a scan plan."""

    def __init__(self) -> None:
        self._bits: dict[Condition, int] = {}

    def mask(self, condition: Condition) -> int:
        """Register a condition and return its mask, one bit. Equal conditions share their bit."""
        return 1 << self._bits.setdefault(condition, len(self._bits))

    def plan(self) -> ScanPlan:
        """Compile what was registered so far. Call it when every policy has been built."""
        status_bits = [0, 0, 0]
        for condition, bit in self._bits.items():
            status_bits[condition.code] |= 1 << bit
        unset, ok, error = status_bits
        return ScanPlan(status_bits=(unset, ok, error))
