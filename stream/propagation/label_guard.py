"""Keeps the series of a metric few, whatever its labels are given.

    guard = LabelGuard(values_max=100)
    REQUESTS = guard(Counter("http_requests", "Requests.", ["method", "path"]))
    REQUESTS.labels("GET", "/orders/4711").inc()        # counts path="/orders/{id}"

A label's value that holds an id makes a new series for every request, and memory is gone in
process, scrape and Prometheus. Ids in a value are replaced by `{id}`, or the value is refused; and
a label takes a limited number of distinct values, the rest go to one series.
"""

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.metrics import MetricWrapperBase

OVERFLOW: Final = "__overflow__"
"""The value of whatever is above a label's limit."""

REFUSED: Final = "__refused__"
"""The value of what holds an id, where ids are refused."""

ID: Final = "{id}"
VALUES_MAX: Final = 100
CHARS_MAX: Final = 256
"""A longer value is cut: a label is no place for a text."""

log = logging.getLogger("tailstream.propagation")

AnyMetric = TypeVar("AnyMetric", bound=MetricWrapperBase)
"""A Counter, Gauge, Histogram, Summary, Enum or Info."""

_PATH: Final = re.compile(r"(?:[A-Za-z]+ )?/|[A-Za-z][A-Za-z0-9+.-]*://")
"""How a path or a URL begins, be it after a method as in a span's name: `GET /orders`."""

_ANY_ID: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
    r"|(?=[a-fA-F]*[0-9])[0-9a-fA-F]{12,}"
    r"|[0-9]{6,}"
    r")(?![0-9A-Za-z])"
)
"""A UUID, 12 hex digits or more of which one is 0 to 9, or 6 digits or more: as a word of its own.

`_` joins words as `-` does.
"""

_PATH_ID: Final = re.compile(r"(?<=/)[0-9]+(?=/|$)")
"""A whole segment of digits: in a path any number is an id."""


def without_ids(value: str) -> str:
    """Return a value with `{id}` for each id in it; of a URL or a path without its query.

    `/orders/17/lines?x=1` becomes `/orders/{id}/lines`, `order-4711000` becomes `order-{id}`.
    """
    if _PATH.match(value):
        value = re.split(r"[?#]", value, maxsplit=1)[0]
        value = _PATH_ID.sub(ID, value)
    return _ANY_ID.sub(ID, value)


class LabelGuard:
    """Guards metrics; thread-safe.

    `values_max` distinct values are taken by each label, or as a map says by name; a label that it
    does not name has `VALUES_MAX`. `ids`: replaced by `{id}`, or the whole value refused. What was
    replaced is counted in `label_values_replaced_total{metric, label, reason}` of `registry`, and
    the first one of each label is a warning in the log.
    """

    def __init__(
        self,
        *,
        values_max: int | Mapping[str, int] = VALUES_MAX,
        ids: Literal["template", "refuse"] = "template",
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._values_max = values_max
        self._refuses = ids == "refuse"
        self._replaced = _counter_of(registry)

    def __call__(self, metric: AnyMetric) -> "GuardedMetric[AnyMetric]":
        """Return the metric with guarded labels."""
        names: tuple[str, ...] = metric._labelnames  # noqa: SLF001 - it tells its labels no other way
        return GuardedMetric(metric, [self._label(metric, name) for name in names])

    def _label(self, metric: Any, name: str) -> "_Label":
        limits = self._values_max
        limit = limits if isinstance(limits, int) else limits.get(name, VALUES_MAX)
        full_name: str = metric._name  # noqa: SLF001 - as above
        return _Label(full_name, name, limit, self._refuses, self._replaced)


class GuardedMetric(Generic[AnyMetric]):
    """A metric whose `labels` are guarded. `metric` is the one behind it."""

    def __init__(self, metric: AnyMetric, labels: "list[_Label]") -> None:
        self.metric = metric
        self._labels = {label.name: label for label in labels}

    def labels(self, *values: object, **named: object) -> AnyMetric:
        """Return the metric of these labels, as `labels` of prometheus-client does.

        Raises:
            ValueError: what is given are not the metric's labels.
        """
        if named and not values and named.keys() <= self._labels.keys():
            return self.metric.labels(
                **{name: self._labels[name](value) for name, value in named.items()}
            )
        if named or len(values) != len(self._labels):
            return self.metric.labels(*values, **named)  # which says what is wrong
        labels = self._labels.values()
        return self.metric.labels(
            *(label(value) for label, value in zip(labels, values, strict=True))
        )


@dataclass(slots=True)
class _Label:
    """One label of one metric: the values that it has taken."""

    metric: str
    name: str
    values_max: int
    refuses: bool
    replaced: Counter
    _taken: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _warned: bool = False

    def __call__(self, value: object) -> str:
        """Return the value that is counted."""
        text = str(value)
        # What was taken once holds no id: the look is for what is new.
        return text if text in self._taken else self._guarded(text)

    def _guarded(self, text: str) -> str:
        # Half a character has no UTF-8, and would spoil the whole page of metrics.
        text = text.encode(errors="replace").decode()
        safe = without_ids(text[:CHARS_MAX])
        if safe != text:
            self._tell("id" if len(text) <= CHARS_MAX else "too_long")
            if self.refuses:
                return REFUSED
        if safe in self._taken:
            return safe
        with self._lock:
            if safe in self._taken or len(self._taken) < self.values_max:
                self._taken.add(safe)
                return safe
        self._tell("overflow")
        return OVERFLOW

    def _tell(self, reason: str) -> None:
        self.replaced.labels(self.metric, self.name, reason).inc()
        with self._lock:
            if self._warned:
                return
            self._warned = True
        log.warning(
            "metric %s, label %s: values are replaced (%s): give it values out of a short list, "
            "e.g. the route instead of the path; label_values_replaced_total counts them",
            self.metric,
            self.name,
            {
                "id": "they hold ids",
                "too_long": f"longer than {CHARS_MAX} characters",
                "overflow": f"more than {self.values_max} distinct ones",
            }[reason],
        )


_counters: "WeakKeyDictionary[CollectorRegistry, Counter]" = WeakKeyDictionary()
_counters_lock = threading.Lock()


def _counter_of(registry: CollectorRegistry) -> Counter:
    """Return the registry's counter of replaced values, which all guards on it share."""
    with _counters_lock:
        counter = _counters.get(registry)
        if counter is None:
            counter = _counters[registry] = Counter(
                "label_values_replaced",
                "Label values that a guard replaced.",
                ("metric", "label", "reason"),
                registry=registry,
            )
        return counter
