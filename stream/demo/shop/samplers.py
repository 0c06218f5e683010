"""Samplers at a trace's head, and one that breaks traces.

Consistent probability sampling: a trace's randomness R is the last 56 bits of its id, or `rv` in
the `ot` member of tracestate; it is kept where R reaches the threshold T, and `th` tells T:
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/. The SDK's own are
not public yet (`_sampling_experimental` in 1.45).
"""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from stream.otlp.tracestate import (
    THRESHOLD_HEX_DIGITS,
    THRESHOLD_LIMIT,
    erase_threshold,
    raise_threshold,
    sampling_of,
)
from stream.propagation.trace_state import W3CTraceState
from stream.sampling.policies.probabilistic import rejection_threshold

RANDOM_MASK = THRESHOLD_LIMIT - 1
OT = "ot"


class ConsistentProbability(Sampler):
    """Keeps a share of the traces, 2**-56 to 1, by their randomness, and says so in `ot=th`."""

    def __init__(self, share: float) -> None:
        if not 2**-56 <= share <= 1:
            raise ValueError(f"share is {share}: write one from 2**-56 to 1")
        self.threshold = rejection_threshold(share * 100)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Compare the trace's randomness with the threshold."""
        del name, kind, links, trace_state
        state = _header(get_current_span(parent_context).get_span_context())
        if randomness(trace_id, state) < self.threshold:
            return _dropped(_state(erase_threshold(state)))
        return _kept(attributes, with_threshold(state, self.threshold))

    def get_description(self) -> str:
        """Return its name and threshold."""
        return f"ConsistentProbability{{{self.threshold:014x}}}"


class AsItsMessage(Sampler):
    """Keeps the trace of a consumer where the message's trace was kept, by the link to it.

    The message's randomness and threshold become the trace's own (`rv`, `th`), so that a tail
    sampler that chooses by them keeps both traces or neither. Without a link: `otherwise`.
    """

    def __init__(self, otherwise: Sampler) -> None:
        self._otherwise = otherwise

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Follow the first link."""
        if not links:
            return self._otherwise.should_sample(
                parent_context, trace_id, name, kind, attributes, links, trace_state
            )
        message = links[0].context
        if not message.trace_flags.sampled:
            return _dropped(None)
        state = _header(message)
        threshold, _ = sampling_of(state)
        if threshold is None:
            return _kept(attributes, None)
        chosen_by = randomness(message.trace_id, state)
        ot = f"th:{_hex(threshold)};rv:{chosen_by:0{THRESHOLD_HEX_DIGITS}x}"
        return _kept(attributes, W3CTraceState([(OT, ot)]))

    def get_description(self) -> str:
        """Return its name."""
        return f"AsItsMessage{{{self._otherwise.get_description()}}}"


class EachSpanAnew(Sampler):
    """Decides every span for itself, whatever the sampled flag that came in says: the mistake.

    By one bit of the trace id for each kind of span, so each of the four ways in which a service
    can lose half its spans comes up in a quarter of the traces.
    """

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Look at the bit of this kind."""
        del name, links, trace_state
        state = get_current_span(parent_context).get_span_context().trace_state
        bit = 0 if kind is SpanKind.SERVER else 1
        return _kept(attributes, state) if trace_id >> bit & 1 else _dropped(state)

    def get_description(self) -> str:
        """Return its name."""
        return "EachSpanAnew"


def head_sampler(share: float) -> Sampler:
    """Return the sampler of a service where traces begin; others' traces it leaves as they are."""
    return ParentBased(ConsistentProbability(share))


def randomness(trace_id: int, trace_state: bytes) -> int:
    """Return a trace's randomness, 56 bits: `rv` where it is set, else from its id."""
    _, explicit = sampling_of(trace_state)
    return trace_id & RANDOM_MASK if explicit is None else explicit


def with_threshold(trace_state: bytes, threshold: int) -> W3CTraceState:
    """Return the tracestate with `ot=th` at least `threshold`, which may be 0: all are kept."""
    if threshold:
        return _state(raise_threshold(trace_state, threshold))
    state = _state(trace_state)
    if sampling_of(trace_state)[0] is not None:
        return state
    others = state.get(OT)
    return state.update(OT, f"th:0;{others}" if others else "th:0")


def _header(span: SpanContext) -> bytes:
    return span.trace_state.to_header().encode()


def _state(header: bytes) -> W3CTraceState:
    return W3CTraceState.from_header([header.decode()])


def _hex(threshold: int) -> str:
    # Padded on the left before the zeros on the right go: 0x08... is `08`, not `8`.
    return f"{threshold:0{THRESHOLD_HEX_DIGITS}x}".rstrip("0") or "0"


def _kept(attributes: Attributes, trace_state: TraceState | None) -> SamplingResult:
    # What a sampler does not hand on is lost to the span.
    return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)


def _dropped(trace_state: TraceState | None) -> SamplingResult:
    return SamplingResult(Decision.DROP, trace_state=trace_state)
