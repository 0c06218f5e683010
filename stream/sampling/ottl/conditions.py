"""The conditions of one policy, asked of a span and of its span events."""

from collections.abc import Iterable
from enum import StrEnum

from stream.sampling.ottl.compile import Evaluate, compile_condition
from stream.sampling.ottl.errors import Failed
from stream.sampling.ottl.message import Message
from stream.sampling.ottl.view import EVENTS, View


class ErrorMode(StrEnum):
    """What a condition that fails for a span counts as.

    `propagate`: the policy errs, which is no vote. `ignore`: not met, and counted. `silent`: not
    met.
    """

    PROPAGATE = "propagate"
    IGNORE = "ignore"
    SILENT = "silent"


class Conditions:
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
