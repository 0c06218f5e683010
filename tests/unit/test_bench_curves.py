"""The curves vary what they say, at a size that runs, and what is told of them is so."""

from bisect import bisect_right
from typing import Any

import pytest

from tests.bench.corpus import Shape, corpus
from tests.bench.curve_points import Curve, Point, curves
from tests.bench.curve_tables import is_flat, markdown_of, rise
from tests.bench.figures import figures
from tests.bench.latency import delays_of

SPANS = 15_000


@pytest.fixture(scope="module")
def by_name() -> dict[str, Curve]:
    return {curve.name: curve for curve in curves(SPANS)}


def open_at_once(point: Point) -> int:
    """Count the traces of one record each that are open together, at the most."""
    times_ms = [record.timestamp_ms for record in corpus(point.spans, shape=point.shape)]
    window_ms = point.variant.decision_wait_ms
    return max(
        place + 1 - bisect_right(times_ms, now_ms - window_ms)
        for place, now_ms in enumerate(times_ms)
    )


def test_the_curves_cover_what_is_promised(by_name: dict[str, Curve]) -> None:
    ends = {name: (curve.points[0].at, curve.points[-1].at) for name, curve in by_name.items()}
    assert ends == {
        "partitions": (1, 64),
        "workers": (1, 3),
        "window": (1, 300),
        "policies": (1, 50),
        "trace_spans": (1, 1000),
        "open_traces": (1_000, 1_000_000),
        "kept": (0, 100),
    }
    assert {name for name, curve in by_name.items() if curve.flat} == {
        *("window", "open_traces", "partitions")
    }


def test_the_longest_window_fills_before_the_corpus_ends(by_name: dict[str, Curve]) -> None:
    point = by_name["window"].points[-1]
    times_ms = [record.timestamp_ms for record in corpus(point.spans, shape=point.shape)]
    assert times_ms[-1] - times_ms[0] > point.variant.decision_wait_ms


def test_no_window_is_shorter_than_its_traces_are_scattered(by_name: dict[str, Curve]) -> None:
    shortest_ms: dict[Shape, int] = {}
    for curve in by_name.values():
        for point in curve.points:
            window_ms = point.variant.decision_wait_ms
            shortest_ms[point.shape] = min(window_ms, shortest_ms.get(point.shape, window_ms))
    for shape, window_ms in shortest_ms.items():
        first_ms: dict[bytes, int] = {}
        for record in corpus(SPANS, shape=shape):
            since_ms = first_ms.setdefault(record.key, record.timestamp_ms)
            assert record.timestamp_ms - since_ms < window_ms, shape.name


def test_so_many_traces_are_open_as_the_axis_says(by_name: dict[str, Curve]) -> None:
    for point in by_name["open_traces"].points[:2]:
        assert open_at_once(point) == pytest.approx(point.at, rel=0.02)


def test_so_many_policies_are_set_as_the_axis_says(by_name: dict[str, Curve]) -> None:
    for point in by_name["policies"].points:
        assert len(point.variant.keeping.policies) == point.at


def told(*medians: float) -> dict[str, Any]:
    points = [
        {
            "at": at,
            "core": "pure",
            "cpu_us_a_span": figures([us]),
            "peak_rss_mib": figures([100]),
        }
        for at, us in enumerate(medians, 1)
    ]
    return {"axis": "x", "note": "", "flat_wanted": True, "points": [*points, {"at": 9}]}


def test_a_curve_is_flat_when_no_point_is_a_fifth_above_another() -> None:
    assert is_flat(told(2.0, 2.4))
    assert not is_flat(told(2.0, 2.5))
    assert not is_flat(told(2.5, 2.0))
    assert rise(told()) is None
    assert not is_flat(told())


def test_the_report_says_which_curves_are_not_flat_and_leaves_out_what_failed() -> None:
    said = {"rounds": 1, "variant": "memory", "commit": "c", "date": "d"}
    text = markdown_of({**said, "curves": [told(2.0, 3.0), told()]})
    assert "| x | 1 | 2 | 2.00-3.00 | no |" in text
    assert "| 9 |" not in text


def test_a_delay_runs_from_the_deadline_and_only_while_the_feed_goes_on() -> None:
    began_ms = {b"a": 1_000, b"b": 2_000, b"dropped": 1_000}
    delays = delays_of(began_ms, {b"a": 6_300, b"b": 9_000}, decision_wait_ms=5_000, until_ms=6_500)
    assert delays.each_ms == [300]
