"""What is asked of whole traces: the Collector's prefixes, what failed first, missing parents."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stream.otlp.scan import scan
from stream.sampling.look_back import go_milliseconds
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.model import Settings
from stream.testing.spans import a_span, span_id_of, traces_data

MS = 1_000_000
NOW = 1_700_000_000_000 * MS


def kept(
    policy: dict[str, object], *records: Sequence[Span], collector: bool = True, **options: str
) -> bool:
    """Judge one trace whose spans came in these records, in this order."""
    settings = Settings.model_validate(
        {
            "compatibility": "collector" if collector else "fixed",
            "tail_sampling": {"policies": [{"name": "p", **policy}], **options},
        }
    )
    matcher = Matcher()
    policies = policies_of(settings.tail_sampling, matcher, as_collector=settings.as_collector)
    plan = matcher.plan()
    bodies = [traces_data(*spans) for spans in records]
    first, *rest = [fragment for body in bodies for fragment in scan(body, plan).fragments]
    for fragment in rest:
        first.spans += fragment.spans
        first.bits |= fragment.bits
        first.start_ns = min(filter(None, (first.start_ns, fragment.start_ns)), default=0)
        first.end_ns = max(first.end_ns, fragment.end_ns)
    if policies.look_back is not None:
        first.bits = policies.look_back(first.bits, lambda: bodies)
    return policies.judge(first).policy == "p"


def span(number: int, start_ms: int | None, end_ms: int | None, parent: int = 0) -> Span:
    return a_span(
        span_id=span_id_of(number),
        parent_span_id=span_id_of(parent) if parent else b"",
        start_ns=0 if start_ms is None else NOW + start_ms * MS,
        end_ns=0 if end_ms is None else NOW + end_ms * MS,
    )


def latency(above_ms: int, upto_ms: int = 0) -> dict[str, object]:
    return {
        "type": "latency",
        "latency": {"threshold_ms": above_ms, "upper_threshold_ms": upto_ms},
    }


SHORT, LONG = span(1, 10, 30), span(2, 0, 200)


@pytest.mark.parametrize(
    ("bounds", "records", "as_collector", "fixed"),
    [
        ((0, 50), [[SHORT, LONG]], True, False),
        ((0, 50), [[SHORT], [LONG]], True, False),
        ((0, 50), [[LONG, SHORT]], False, False),
        ((0, 50), [[LONG], [SHORT]], False, False),
        ((0, 200), [[LONG, SHORT]], True, True),
        ((199, 0), [[SHORT], [LONG]], True, True),
        ((200, 0), [[SHORT], [LONG]], False, False),
        # A start of 0 began in 1970, until the next one replaces it.
        ((1000, 0), [[span(1, None, 5)]], True, False),
        ((1000, 0), [[SHORT], [span(2, None, 5)], [LONG]], True, False),
        ((0, 250), [[span(1, None, 5), LONG]], True, True),
        ((0, 50), [[LONG, span(1, None, 5), span(3, 190, 195)]], True, False),
        # An end of 0 is before every start.
        ((0, 0), [[span(1, 5, None)]], False, False),
        ((0, 0), [[span(1, None, None)]], False, False),
        ((0, 0), [[span(1, 9, 5)]], False, False),
    ],
)
def test_the_collectors_latency_is_that_of_a_prefix(
    bounds: tuple[int, int], records: list[list[Span]], *, as_collector: bool, fixed: bool
) -> None:
    assert kept(latency(*bounds), *records) is as_collector
    assert kept(latency(*bounds), *records, collector=False) is fixed


@given(st.lists(st.tuples(st.integers(1, 900), st.integers(0, 900)), min_size=1, max_size=6))
def test_without_an_upper_bound_and_with_every_start_both_modes_agree(
    times: list[tuple[int, int]],
) -> None:
    spans = [span(number + 1, start, start + took) for number, (start, took) in enumerate(times)]
    records = [[each] for each in spans]
    for above_ms in (0, 300, 899):
        policy = latency(above_ms)
        assert kept(policy, *records) is kept(policy, *records, collector=False)


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "expected"),
    [
        (0, 1_999_999, 1),
        (1_999_999, 0, -1),
        (0, 2**63 - 1, 9_223_372_036_854),
        (1, 2**63, -9_223_372_036_854),
        (2**63, 2**63 - 1, 9_223_372_036_854),
        (2**64 - 1, 0, 0),
    ],
)
def test_durations_are_as_go_computes_them(start_ns: int, end_ns: int, expected: int) -> None:
    assert go_milliseconds(start_ns, end_ns) == expected


MEETS, FAILS = a_span(span_id=span_id_of(1), name="meets"), a_span(span_id=span_id_of(2), name="x")
PROPAGATES: dict[str, object] = {
    "type": "ottl_condition",
    "ottl_condition": {
        "error_mode": "propagate",
        "span": ['span.name == "meets" or 1 / (1 - Len(span.name)) > 1'],
    },
}


@pytest.mark.parametrize("apart", [False, True])
def test_in_the_collector_the_first_of_meeting_and_failing_decides(*, apart: bool) -> None:
    for spans, expected in (([MEETS, FAILS], True), ([FAILS, MEETS], False)):
        records = [[each] for each in spans] if apart else [spans]
        assert kept(PROPAGATES, *records) is expected
        assert kept(PROPAGATES, *records, collector=False)
    assert kept(PROPAGATES, [MEETS])
    assert not kept(PROPAGATES, [FAILS])


ROOT, CHILD, ORPHAN = span(1, 0, 1), span(2, 0, 1, parent=1), span(3, 0, 1, parent=9)


@pytest.mark.parametrize(
    ("records", "condition", "complete"),
    [
        ([[ROOT]], "", True),
        ([[CHILD], [ROOT]], "", True),
        ([[ROOT, CHILD, ORPHAN]], "", False),
        ([[CHILD]], "", False),
        ([[ORPHAN]], "", False),
        ([[ORPHAN]], "span.parent_span_id == SpanID(0x{})", True),
        ([[ORPHAN, CHILD]], "span.parent_span_id == SpanID(0x{})", False),
        ([[ORPHAN, ROOT, CHILD]], "span.parent_span_id == SpanID(0x{})", True),
        ([[ROOT]], "false", False),
    ],
)
def test_a_trace_is_complete_with_a_root_span_and_every_parent(
    records: list[list[Span]], condition: str, *, complete: bool
) -> None:
    options = {"root_condition": condition.format(span_id_of(9).hex())} if condition else {}
    for wanted in (False, True):
        policy: dict[str, object] = {
            "type": "completeness",
            "completeness": {"complete": wanted},
        }
        for collector in (False, True):
            judged = kept(policy, *records, collector=collector, **options)
            assert judged is (wanted is complete)


def test_a_custom_root_condition_says_whose_latency_is_the_roots() -> None:
    policy: dict[str, object] = {
        "type": "latency",
        "latency": {"threshold_ms": 100, "root": True},
    }
    options = {"root_condition": 'span.name == "gateway"'}
    gateway = a_span(span_id=span_id_of(5), name="gateway", start_ns=NOW, end_ns=NOW + 200 * MS)
    gateway.parent_span_id = span_id_of(77)
    assert kept(policy, [ROOT, gateway], collector=False, **options)
    assert not kept(policy, [ROOT, gateway], collector=False)
    assert not kept(policy, [LONG], collector=False, **options)
