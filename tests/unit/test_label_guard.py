"""A guard for labels: few series, whatever values come, and each observation counted once."""

import logging
import threading
import uuid
from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, Summary
from prometheus_client.openmetrics import exposition

from stream.propagation.label_guard import (
    CHARS_MAX,
    OVERFLOW,
    REFUSED,
    GuardedMetric,
    LabelGuard,
    without_ids,
)

# The library leaves them untyped.
_page: Callable[[CollectorRegistry], bytes] = exposition.generate_latest

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Guarded:
    """A counter with one guarded label."""

    def __init__(
        self, values_max: int = 100, ids: Literal["template", "refuse"] = "template"
    ) -> None:
        self.registry = CollectorRegistry()
        guard = LabelGuard(values_max=values_max, ids=ids, registry=self.registry)
        self.metric: GuardedMetric[Counter] = guard(
            Counter("requests", "n", ["path"], registry=self.registry)
        )

    def count(self, *values: str) -> dict[str, float]:
        for value in values:
            self.metric.labels(value).inc()
        return series(self.metric.metric.collect())

    def replaced(self, reason: str) -> float:
        labels = {"metric": "requests", "label": "path", "reason": reason}
        return self.registry.get_sample_value("label_values_replaced_total", labels) or 0


def series(metrics: object) -> dict[str, float]:
    assert isinstance(metrics, list)
    return {
        sample.labels["path"]: sample.value
        for metric in metrics
        if isinstance(metric, Metric)
        for sample in metric.samples
        if sample.name == "requests_total"
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/orders/17", "/orders/{id}"),
        ("/orders/17/lines/3?x=1#top", "/orders/{id}/lines/{id}"),
        ("/17", "/{id}"),
        ("GET /orders/17", "GET /orders/{id}"),
        ("https://shop:8443/orders/17?token=s3cr3t", "https://shop:8443/orders/{id}"),
        (f"/users/{uuid.UUID(int=7)}", "/users/{id}"),
        (str(uuid.UUID(int=2**127 - 1)).upper(), "{id}"),
        (TRACE, "{id}"),
        (f"trace_{TRACE}", "trace_{id}"),
        ("5f1d7f4e9c3b2a0012345678", "{id}"),
        ("order-4711000", "order-{id}"),
        ("1234567890", "{id}"),
        # What holds no id stays.
        ("checkout", "checkout"),
        ("200", "200"),
        ("8080", "8080"),
        ("12345", "12345"),
        ("HTTP/2", "HTTP/2"),
        ("/api/v1/orders", "/api/v1/orders"),
        ("eu-west-1", "eu-west-1"),
        ("deadbeefcafe", "deadbeefcafe"),
        ("facade", "facade"),
        ("sha256", "sha256"),
        ("", ""),
    ],
)
def test_ids_are_replaced_and_what_is_none_stays(value: str, expected: str) -> None:
    assert without_ids(value) == expected


@given(st.text(alphabet="0123456789abcdefxyz/-_?:. ", max_size=80))
def test_what_is_left_holds_no_id(value: str) -> None:
    once = without_ids(value)
    assert without_ids(once) == once


@given(st.lists(st.text(max_size=20) | st.uuids().map(str)), st.integers(0, 5))
def test_a_label_takes_no_more_values_than_its_limit_and_one_for_the_rest_and_loses_no_count(
    values: list[str], limit: int
) -> None:
    guarded = Guarded(limit)

    found = guarded.count(*values)

    assert len(found.keys() - {OVERFLOW}) <= limit
    assert sum(found.values()) == len(values)
    assert _page(guarded.registry), "the page cannot be written"


def test_the_first_values_keep_their_series_and_later_ones_share_one() -> None:
    guarded = Guarded(2)

    found = guarded.count("a", "b", "c", "d", "a")

    assert found == {"a": 2, "b": 1, OVERFLOW: 2}
    assert guarded.replaced("overflow") == 2


def test_paths_with_ids_share_the_series_of_their_template() -> None:
    guarded = Guarded()

    assert guarded.count(*(f"/orders/{number}" for number in range(500))) == {"/orders/{id}": 500}
    assert guarded.replaced("id") == 500


def test_ids_can_be_refused_instead() -> None:
    guarded = Guarded(ids="refuse")
    assert guarded.count("/orders/17", TRACE, "checkout") == {REFUSED: 2, "checkout": 1}


def test_long_values_are_cut_and_half_characters_replaced() -> None:
    guarded = Guarded()

    found = guarded.count("x" * 1_000, "\ud83d")

    assert found == {"x" * CHARS_MAX: 1, "?": 1}
    assert guarded.replaced("too_long") == 1


def test_each_label_has_a_limit_of_its_own_by_its_name() -> None:
    registry = CollectorRegistry()
    guard = LabelGuard(values_max={"path": 1}, registry=registry)
    metric = guard(Counter("requests", "n", ["method", "path"], registry=registry))

    for number in range(3):
        metric.labels(f"M{number}", path := f"p{number}").inc()
        metric.labels(path=path, method=f"M{number}").inc()

    counted = {
        (sample.labels["method"], sample.labels["path"]): sample.value
        for sample in next(iter(metric.metric.collect())).samples
        if sample.name == "requests_total"
    }
    assert counted == {("M0", "p0"): 2, ("M1", OVERFLOW): 2, ("M2", OVERFLOW): 2}


def test_one_warning_names_the_metric_and_its_label(caplog: pytest.LogCaptureFixture) -> None:
    guarded = Guarded(1)

    with caplog.at_level(logging.WARNING, "tailstream.propagation"):
        guarded.count("/a/1", "/b/2", "/c/3", TRACE)

    (record,) = caplog.records
    assert "metric requests, label path:" in record.getMessage()


def test_all_kinds_of_metrics_can_be_guarded_by_several_guards_on_one_registry() -> None:
    registry = CollectorRegistry()
    LabelGuard(registry=registry)(Gauge("g", "n", ["path"], registry=registry)).labels("/1").set(7)
    guard = LabelGuard(registry=registry)
    guard(Histogram("h", "n", ["path"], registry=registry)).labels("/2").observe(1)
    guard(Summary("s", "n", ["path"], registry=registry)).labels(path="/3").observe(1)

    assert registry.get_sample_value("g", {"path": "/{id}"}) == 7
    assert registry.get_sample_value("h_count", {"path": "/{id}"}) == 1
    assert registry.get_sample_value("s_count", {"path": "/{id}"}) == 1


@pytest.mark.parametrize(("values", "named"), [((), {}), (("a", "b"), {}), ((), {"other": "a"})])
def test_labels_that_the_metric_has_not_are_refused_as_ever(
    values: tuple[str, ...], named: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="label"):
        Guarded().metric.labels(*values, **named)


def test_threads_at_once_never_take_more_values_than_the_limit() -> None:
    guarded = Guarded(10)
    begin = threading.Barrier(8)

    def count(thread: int) -> None:
        begin.wait()
        for number in range(200):
            guarded.metric.labels(f"t{thread}n{number}").inc()

    threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = guarded.count()
    assert len(found) == 11
    assert sum(found.values()) == 1_600
