"""Exemplars of the active span: right, within OpenMetrics' limit, and never in a metric's way."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.samples import Exemplar

from stream.propagation.exemplars import EXEMPLAR_CHARS_MAX, increment, observe

# The library leaves them untyped.
_page: Callable[[CollectorRegistry], bytes] = exposition.generate_latest
_families: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families

TRACE_ID, SPAN_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
BASIC = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}


@contextmanager
def active_span(*, sampled: bool = True, trace_id: int = TRACE_ID) -> Iterator[None]:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    context = SpanContext(trace_id, SPAN_ID, is_remote=False, trace_flags=flags)
    with trace.use_span(NonRecordingSpan(context)):
        yield


def shown(registry: CollectorRegistry) -> list[Exemplar]:
    """Return the exemplars that a scrape gets, as an independent parser reads them."""
    text = _page(registry).decode()
    return [
        sample.exemplar
        for family in _families(text)
        for sample in family.samples
        if sample.exemplar is not None
    ]


def observed(value: float, exemplar: Mapping[str, str] | None = None) -> list[Exemplar]:
    registry = CollectorRegistry()
    observe(Histogram("latency", "s", registry=registry), value, exemplar=exemplar)
    return shown(registry)


def test_a_histograms_bucket_and_a_counter_name_the_active_span() -> None:
    registry = CollectorRegistry()
    latency = Histogram("latency", "s", ["route"], buckets=(1, 2.5), registry=registry)
    orders = Counter("orders", "n", registry=registry)

    with active_span():
        observe(latency.labels("/checkout"), 2)
        increment(orders, 3)

    assert [(one.labels, one.value) for one in shown(registry)] == [(BASIC, 2.0), (BASIC, 3.0)]
    assert registry.get_sample_value("orders_total") == 3
    bucket = {"route": "/checkout", "le": "2.5"}
    assert registry.get_sample_value("latency_bucket", bucket) == 1


def test_the_span_of_the_sdk_is_named_by_its_own_ids() -> None:
    registry = CollectorRegistry()
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tests")

    with tracer.start_as_current_span("checkout") as span:
        observe(Histogram("latency", "s", registry=registry), 1)

    (exemplar,) = shown(registry)
    assert exemplar.labels["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)


def test_without_a_valid_span_there_is_a_value_and_no_exemplar() -> None:
    registry = CollectorRegistry()
    orders = Counter("orders", "n", registry=registry)

    increment(orders)
    with active_span(trace_id=0):
        increment(orders)

    assert shown(registry) == []
    assert registry.get_sample_value("orders_total") == 2


def test_a_span_that_is_not_sampled_is_named_only_if_asked_for() -> None:
    registry = CollectorRegistry()
    orders = Counter("orders", "n", registry=registry)
    off = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("tests")

    with active_span(sampled=False):
        increment(orders)
    with off.start_as_current_span("not sampled"):
        increment(orders)
    assert shown(registry) == []

    with active_span(sampled=False):
        increment(orders, only_sampled=False)
    assert [one.labels for one in shown(registry)] == [BASIC]


def test_more_labels_are_shown_in_their_order_as_far_as_they_fit() -> None:
    more = {"tenant": "ü" * 40, "too_long": "x" * 60, "zone": "b"}

    with active_span():
        (exemplar,) = observed(1, more)

    assert exemplar.labels == {**BASIC, "tenant": "ü" * 40, "zone": "b"}


@pytest.mark.parametrize(("chars", "fits"), [(59, True), (60, False)])
def test_exactly_128_code_points_fit(chars: int, fits: bool) -> None:  # noqa: FBT001 - a parameter of the table
    # trace_id and span_id take 8 + 32 + 7 + 16; the name takes 6.
    with active_span():
        (exemplar,) = observed(1, {"tenant": "\U0001f6d2" * chars})

    assert ("tenant" in exemplar.labels) == fits


# No quotes: the parser that the test reads the page with refuses them escaped in an exemplar.
texts = st.text(st.characters(blacklist_characters='"'), max_size=80)


@given(st.dictionaries(st.text(max_size=30), texts, max_size=5))
def test_whatever_labels_are_given_the_value_counts_and_the_page_can_be_read(
    more: dict[str, str],
) -> None:
    with active_span():
        (exemplar,) = observed(1, more)

    assert exemplar.labels.items() >= BASIC.items()
    assert sum(len(name) + len(value) for name, value in exemplar.labels.items()) <= (
        EXEMPLAR_CHARS_MAX
    )


def test_half_a_character_and_a_name_that_is_none_are_left_out() -> None:
    with active_span():
        (exemplar,) = observed(1, {"a": "\ud83d", "1": "x", "": "x", "__a": "x", "ok": "q\\\n"})

    assert exemplar.labels == {**BASIC, "ok": "q\\\n"}


def test_the_span_is_not_renamed_by_more_labels() -> None:
    with active_span():
        (exemplar,) = observed(1, {"trace_id": "other"})
    assert exemplar.labels == BASIC
