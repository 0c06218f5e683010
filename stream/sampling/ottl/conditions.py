"""Ask a fragment's record: which policies' conditions does some span or span event of it meet?"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from stream.otlp.frames import RESOURCE_SPANS, SCOPE_SPANS, SPAN
from stream.otlp.wire import children
from stream.sampling.ottl.compile import Evaluate, compile_condition
from stream.sampling.ottl.errors import Failed
from stream.sampling.ottl.message import Message
from stream.sampling.ottl.view import EVENTS, Envelope, View


class ErrorMode(StrEnum):
    """What a condition that fails for a span counts as.

    `propagate`: the policy errs, which is no vote. `ignore`: not met, and counted. `silent`: not
    met.
    """

    PROPAGATE = "propagate"
    IGNORE = "ignore"
    SILENT = "silent"


class Asked:
    """The conditions of one policy, in order: those on a span, then those on each of its events.

    `met` and `failed` are the masks of the two outcomes; a silent one has no mask for failure. The
    first that is met ends it, and so does the first that fails in mode `propagate`, as in the
    Collector (contrib, tailsamplingprocessor/internal/sampling/ottl.go).

    Raises (from the constructor):
        BadCondition: a text is no condition that is supported.
    """

    __slots__ = ("_event", "_failed", "_met", "_propagate", "_span")

    def __init__(
        self,
        span: Iterable[str],
        spanevent: Iterable[str],
        error_mode: ErrorMode,
        *,
        met: int,
        failed: int,
    ) -> None:
        assert bool(failed) is (error_mode is not ErrorMode.SILENT), error_mode
        self._span = [compile_condition(text, "span") for text in span]
        self._event = [compile_condition(text, "spanevent") for text in spanevent]
        self._propagate = error_mode is ErrorMode.PROPAGATE
        self._met = met
        self._failed = failed

    @property
    def met(self) -> int:
        """The mask for a span that meets one of them."""
        return self._met

    def bits(self, view: View) -> int:
        """Return `met`, `failed`, both or none for one span. Raises Malformed."""
        bits = self._first(self._span, view)
        if not self._event or bits & self._met or (bits and self._propagate):
            return bits
        for start, end in view.span.ranges(EVENTS):
            view.event = Message(view.record, [(start, end)])
            bits |= self._first(self._event, view)
            if bits & self._met or (bits and self._propagate):
                break
        return bits

    def _first(self, conditions: Iterable[Evaluate], view: View) -> int:
        bits = 0
        for condition in conditions:
            try:
                if condition(view):
                    return bits | self._met
            except Failed:
                bits |= self._failed
                if self._propagate:
                    break
        return bits


@dataclass(frozen=True, slots=True)
class SpanConditions:
    """What a scan plan asks of whole spans. Called with a record that a scan has found whole."""

    asked: tuple[Asked, ...]

    def __call__(self, record: bytes) -> int:
        """Return the bits of all policies; one that is met is not asked again. Raises Malformed."""
        bits = 0
        asked = list(self.asked)
        for _, resource_start, resource_end in children(record, 0, len(record), RESOURCE_SPANS):
            resource = Envelope(record, resource_start, resource_end)
            for _, start, end in children(record, resource_start, resource_end, SCOPE_SPANS):
                scope = Envelope(record, start, end)
                for _, first, last in children(record, start, end, SPAN):
                    view = View(record, resource, scope, first, last)
                    for each in asked:
                        bits |= each.bits(view)
                    asked = [each for each in asked if not bits & each.met]
                    if not asked:
                        return bits
        return bits
