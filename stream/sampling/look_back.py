"""What is asked of a trace's spans at its cut, because no sum of its fragments can tell.

The bodies are read again, in the order they came, for the policies that need it and no others: the
Collector's latency, its first randomness and the first of two OTTL outcomes (`compatibility:
collector`), and whether a parent is missing (`completeness`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stream.otlp.frames import RESOURCE_SPANS, SCOPE_SPANS, SPAN
from stream.otlp.wire import children
from stream.sampling.collector_tracestate import sampling_as_collector
from stream.sampling.ottl.compile import Evaluate
from stream.sampling.ottl.conditions import Conditions
from stream.sampling.ottl.errors import Failed
from stream.sampling.ottl.view import (
    END_TIME,
    PARENT_SPAN_ID,
    SPAN_ID,
    START_TIME,
    TRACE_STATE,
    Envelope,
    View,
)

NS_PER_MS: Final = 1_000_000
INT64_MAX: Final = 2**63 - 1
_NO_SPAN: Final = bytes(8)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The Collector's latency: is a prefix of the spans, as they came, within the bounds?

    contrib, tailsamplingprocessor/internal/sampling/latency.go, v0.158: the earliest start and the
    latest end so far are compared after each span, and a start of 0 so far is replaced, so that a
    span without one began in 1970.
    """

    met: int
    threshold_ms: int
    upper_threshold_ms: int

    def bits(self, views: Sequence[View]) -> int:
        """Return `met` or 0."""
        start_ns = end_ns = 0
        for view in views:
            starts_ns, ends_ns = view.span.number(START_TIME), view.span.number(END_TIME)
            if start_ns == 0 or starts_ns < start_ns:
                start_ns = starts_ns
            end_ns = max(end_ns, ends_ns)
            took_ms = go_milliseconds(start_ns, end_ns)
            if took_ms > self.threshold_ms and (
                self.upper_threshold_ms == 0 or took_ms <= self.upper_threshold_ms
            ):
                return self.met
        return 0


@dataclass(frozen=True, slots=True)
class FailedFirst:
    """Did a condition fail before one was met? Only asked where both happened."""

    failed_first: int
    both: int
    conditions: Conditions

    def bits(self, views: Sequence[View]) -> int:
        """Return `failed_first` or 0."""
        for view in views:
            outcome = self.conditions.bits(view)
            if outcome:
                return 0 if outcome & self.conditions.met else self.failed_first
        return 0


@dataclass(frozen=True, slots=True)
class FirstSampling:
    """The Collector's consistent sampling: does a span tell of it; how high is the first `rv`?

    contrib, tailsamplingprocessor/internal/sampling/probabilistic.go, v0.158. `randomness_min` is
    the bound of that `rv`, None to ask whether a tracestate tells anything.
    """

    met: int
    randomness_min: int | None

    def bits(self, views: Sequence[View]) -> int:
        """Return `met` or 0."""
        found = [sampling_as_collector(view.span.text(TRACE_STATE)) for view in views]
        if self.randomness_min is None:
            return self.met if any(told for told, _ in found) else 0
        first = next((rv for _, rv in found if rv is not None), None)
        return self.met if first is not None and first >= self.randomness_min else 0


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Is there no root span, or a span whose parent was not received?

    `is_root` is the custom condition of root spans, None for those without a parent. A root span's
    own parent may be anywhere.
    """

    met: int
    is_root: Evaluate | None = None

    def bits(self, views: Sequence[View]) -> int:
        """Return `met` or 0."""
        ids = {view.span.text(SPAN_ID) for view in views}
        root = False
        for view in views:
            parent = view.span.text(PARENT_SPAN_ID)
            if self._is_root(view, parent):
                root = True
            elif parent not in ids and parent not in (b"", _NO_SPAN):
                return self.met
        return 0 if root else self.met

    def _is_root(self, view: View, parent: bytes) -> bool:
        if self.is_root is None:
            return parent in (b"", _NO_SPAN)
        try:
            return bool(self.is_root(view))
        except Failed:
            return False


@dataclass(frozen=True, slots=True)
class LookBack:
    """All that is asked of a trace's bodies, which a scan has found whole."""

    prefixes: tuple[Prefix, ...] = ()
    firsts: tuple[FailedFirst, ...] = ()
    samplings: tuple[FirstSampling, ...] = ()
    incomplete: Incomplete | None = None

    def __call__(self, bits: int, bodies: Callable[[], Sequence[bytes]]) -> int:
        """Return the bits with those that the bodies add; they are read only where needed."""
        firsts = [first for first in self.firsts if bits & first.both == first.both]
        if not (firsts or self.prefixes or self.samplings or self.incomplete):
            return bits
        views = [view for body in bodies() for view in views_of(body)]
        for prefix in self.prefixes:
            bits |= prefix.bits(views)
        for sampling in self.samplings:
            bits |= sampling.bits(views)
        for first in firsts:
            bits |= first.bits(views)
        if self.incomplete is not None:
            bits |= self.incomplete.bits(views)
        return bits


def views_of(record: bytes) -> Iterator[View]:
    """Yield the spans of a record in their order. Raises Malformed."""
    for _, resource_start, resource_end in children(record, 0, len(record), RESOURCE_SPANS):
        resource = Envelope(record, resource_start, resource_end)
        for _, start, end in children(record, resource_start, resource_end, SCOPE_SPANS):
            scope = Envelope(record, start, end)
            for _, first, last in children(record, start, end, SPAN):
                yield View(record, resource, scope, first, last)


def go_milliseconds(start_ns: int, end_ns: int) -> int:
    """Return what Go makes of these times: signed, the difference clamped, truncated to 0."""
    took_ns = _int64(end_ns) - _int64(start_ns)
    took_ns = max(-INT64_MAX - 1, min(took_ns, INT64_MAX))
    return took_ns // NS_PER_MS if took_ns >= 0 else -(-took_ns // NS_PER_MS)


def _int64(number: int) -> int:
    return number - 2**64 if number > INT64_MAX else number
