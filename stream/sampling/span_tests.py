"""Questions to whole spans that are no OTTL: the tracestate, the trace flags."""

from dataclasses import dataclass
from typing import Final, Protocol

from stream.otlp.frames import RESOURCE_SPANS, SCOPE_SPANS, SPAN
from stream.otlp.trace_state_value import trace_state_value
from stream.otlp.tracestate import sampling_of
from stream.otlp.wire import children
from stream.sampling.ottl.view import FLAGS, TRACE_STATE, Envelope, View

_SAMPLED_FLAG: Final = 1


class SpanTest(Protocol):
    """A question that is asked of each span until one meets it."""

    @property
    def met(self) -> int:
        """The mask for a span that meets it."""

    def bits(self, view: View) -> int:
        """Return the masks for one span, 0 if there is nothing to say. Raises Malformed."""


@dataclass(frozen=True, slots=True)
class TraceStateTest:
    """Is this member of the span's tracestate one of these values? Not where it is malformed."""

    met: int
    key: bytes
    values: frozenset[bytes]

    def bits(self, view: View) -> int:
        """Return `met` or 0."""
        if not view.span.may_hold(self.key):
            return 0
        value = trace_state_value(view.span.text(TRACE_STATE), self.key)
        return self.met if value in self.values else 0


@dataclass(frozen=True, slots=True)
class TraceFlagTest:
    """Is the sampled flag of W3C's trace flags set: the lowest bit of the span's flags?"""

    met: int

    def bits(self, view: View) -> int:
        """Return `met` or 0."""
        return self.met if view.span.number(FLAGS) & _SAMPLED_FLAG else 0


@dataclass(frozen=True, slots=True)
class SamplingTest:
    """Does the tracestate tell of sampling; with a bound: is there an `rv` of at least so much?"""

    met: int
    randomness_min: int | None

    def bits(self, view: View) -> int:
        """Return `met` or 0."""
        if not view.span.may_hold(b"ot="):
            return 0
        threshold, randomness = sampling_of(view.span.text(TRACE_STATE))
        if self.randomness_min is None:
            return 0 if threshold is None and randomness is None else self.met
        return self.met if randomness is not None and randomness >= self.randomness_min else 0


@dataclass(frozen=True, slots=True)
class SpanTests:
    """What a scan plan asks of whole spans. Called with a record that a scan has found whole."""

    tests: tuple[SpanTest, ...]

    def __call__(self, record: bytes) -> int:
        """Return the bits of all tests; one that is met is not asked again. Raises Malformed."""
        bits = 0
        tests = list(self.tests)
        for _, resource_start, resource_end in children(record, 0, len(record), RESOURCE_SPANS):
            resource = Envelope(record, resource_start, resource_end)
            for _, start, end in children(record, resource_start, resource_end, SCOPE_SPANS):
                scope = Envelope(record, start, end)
                for _, first, last in children(record, start, end, SPAN):
                    view = View(record, resource, scope, first, last)
                    for test in tests:
                        bits |= test.bits(view)
                    tests = [test for test in tests if not bits & test.met]
                    if not tests:
                        return bits
        return bits
