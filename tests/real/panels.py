"""The dashboards' panels as files say them, and what Prometheus answers to their queries."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.harness.repository import ROOT
from tests.real.prometheus_server import Prometheus, Series

DASHBOARDS: Final[Mapping[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
}
SCRAPES: Final = "4s"
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a panel, named as the panel names it: (time in seconds, value) in order.

    What is no number is left out; what is infinite is not.
    """

    name: str
    points: tuple[Point, ...]

    def at(self, time_s: float) -> float:
        """Return the last value told by then.

        Raises:
            LookupError: there is none.
        """
        told = [value for when_s, value in self.points if when_s <= time_s]
        if not told:
            raise LookupError(f"{self.name}: nothing by {time_s}")
        return told[-1]

    def between(self, start_s: float, end_s: float) -> list[float]:
        """Return the values of that time."""
        return [value for when_s, value in self.points if start_s <= when_s <= end_s]


def asked(expr: str, *, rate_interval: str = SCRAPES) -> str:
    """Put in what Grafana puts in: every partition and worker, and what a rate is taken over."""
    values = {"job": "tailstream", "partition": ".*", "instance": ".*"}
    values["__rate_interval"] = rate_interval
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expr)


def panel(dashboard: str, title: str, kind: str = "timeseries") -> dict[str, Any]:
    """Return a panel by its title; some titles are a stat's and a graph's."""
    (found,) = (
        one
        for one in DASHBOARDS[dashboard]["panels"]
        if (one["title"], one["type"]) == (title, kind)
    )
    return dict(found)


def lines(
    prometheus: Prometheus, of: Mapping[str, Any], start_s: float, end_s: float
) -> list[Line]:
    """Return what a panel would draw of that time, in the order of its queries and names."""
    return [
        Line(named(target["legendFormat"], series["metric"]), points(series))
        for target in of["targets"]
        for series in sorted(
            prometheus.between(asked(target["expr"], rate_interval="10s"), start_s, end_s),
            key=lambda series: named(target["legendFormat"], series["metric"]),
        )
    ]


def named(legend: str, labels: Mapping[str, str]) -> str:
    """Return a series's name by a panel's `legendFormat`."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend)


def points(series: Series) -> tuple[Point, ...]:
    """Return a series's numbers with their times."""
    return tuple(
        (time_s, number)
        for time_s, text in series["values"]
        if not math.isnan(number := float(text))
    )


def numbers(series: Series) -> list[float]:
    """Return a series's numbers."""
    return [value for _, value in points(series)]
