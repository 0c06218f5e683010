"""Metrics that lead to their traces: exemplars for prometheus-client's histograms and counters.

    observe(DURATION.labels("checkout"), 0.25)
    increment(ORDERS, exemplar={"tenant": "blue"})

The exemplar names the span that is active (`trace_id`, `span_id`), so that a click on a point opens
the trace. OpenMetrics endpoints show it; plain Prometheus text has no place for it. prometheus-
client keeps none in its multiprocess mode.
"""

import re
from collections.abc import Mapping
from typing import Final

from opentelemetry import trace
from prometheus_client import Counter, Histogram

EXEMPLAR_CHARS_MAX: Final = 128
"""Of an exemplar's label names and values together, in Unicode code points (OpenMetrics 1.0).

https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars
"""

_LABEL_NAME: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
"""Two underscores at the beginning are Prometheus's own."""


def observe(
    histogram: Histogram,
    value: float,
    *,
    exemplar: Mapping[str, str] | None = None,
    only_sampled: bool = True,
) -> None:
    """Observe a value, with the active span as exemplar; without one where no span is active.

    Args:
        histogram: with its labels, if it has some.
        value: what was measured.
        exemplar: more labels, the most important first: what is above `EXEMPLAR_CHARS_MAX`, or
            cannot be written, is left out.
        only_sampled: no exemplar of a span that is not sampled: its trace may be nowhere. Set it to
            False where all spans are exported whatever the flag says.
    """
    histogram.observe(value, _exemplar(exemplar, only_sampled=only_sampled))


def increment(
    counter: Counter,
    amount: float = 1,
    *,
    exemplar: Mapping[str, str] | None = None,
    only_sampled: bool = True,
) -> None:
    """Add to a counter, with the active span as exemplar. The rest is as with `observe`."""
    counter.inc(amount, _exemplar(exemplar, only_sampled=only_sampled))


def _exemplar(more: Mapping[str, str] | None, *, only_sampled: bool) -> dict[str, str] | None:
    """Return the labels; None where no span is active, or one that must not be shown."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid or (only_sampled and not context.trace_flags.sampled):
        return None
    labels = {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
    left = EXEMPLAR_CHARS_MAX - sum(len(name) + len(value) for name, value in labels.items())
    for name, value in (more or {}).items():
        chars = len(name) + len(value)
        if chars <= left and name not in labels and _is_writable(name, value):
            labels[name] = value
            left -= chars
    return labels


def _is_writable(name: str, value: str) -> bool:
    """Tell whether a label can stand in OpenMetrics text: one that cannot would spoil it all."""
    return _LABEL_NAME.fullmatch(name) is not None and not _has_surrogate(value)


def _has_surrogate(text: str) -> bool:
    # Half a character, as JSON can hold it: UTF-8 has no bytes for it.
    return any("\ud800" <= character <= "\udfff" for character in text)
