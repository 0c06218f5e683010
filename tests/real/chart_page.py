"""A page with one chart, as a dashboard has it: a line, and exemplars as dots that are links.

Grafana cannot be had here. Its data source gives each dot of a panel a link made of the trace id;
this page does the same with what Prometheus answers, as plain SVG.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final

WIDTH, HEIGHT = 1140, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 24, 40
TICKS_MAX: Final = 6
STEPS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
GAP_S: Final = 1.5
"""Points further apart are not joined: there was nothing between them."""
STYLE: Final = """
body {font: 14px sans-serif; margin: 24px; color: #222} h1 {font-size: 20px; margin: 0 0 4px}
code {background: #f2f2f2; padding: 1px 4px} svg {display: block; margin-top: 12px}
.grid {stroke: #e4e4e4} .line {fill: none; stroke: #2a7d4f; stroke-width: 2}
circle {fill: #d9480f; stroke: white} text {fill: #666; font-size: 12px}
a text {display: none; fill: #000} a:hover text {display: block} a:hover circle {fill: #000}
"""


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a time (Unix seconds); of an exemplar also the trace that it names."""

    at_s: float
    value: float
    trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What to draw. `page_of` gives the address that an exemplar's dot leads to."""

    title: str
    query: str
    line: Sequence[Point]
    exemplars: Sequence[Point]
    page_of: Callable[[str], str]

    def html(self) -> str:
        """Return the page. Dots lie in the order of their values: the highest is on top."""
        dots = sorted(self.exemplars, key=lambda dot: dot.value)
        return (
            "<!doctype html><html lang=en><meta charset=utf-8>"
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>"
            f"<h1>{escape(self.title)}</h1><div>line: <code>{escape(self.query)}</code></div>"
            f"<div>dots: {len(dots)} exemplars; a click opens the trace</div>"
            f'<svg width="{WIDTH}" height="{HEIGHT}">{"".join(self._grid())}'
            f"{''.join(self._lines())}{''.join(map(self._dot, dots))}</svg></html>"
        )

    def _dot(self, dot: Point) -> str:
        at = f'cx="{self._x(dot.at_s):.1f}" cy="{self._y(dot.value):.1f}"'
        label = f"{dot.value:.3f} s, trace {dot.trace_id}"
        return (
            f'<a class="exemplar" href="{escape(self.page_of(dot.trace_id))}">'
            f'<circle {at} r="5"/><text x="{LEFT}" y="12">{label}</text></a>'
        )

    def _lines(self) -> Iterable[str]:
        for stretch in _stretches(self.line):
            path = " ".join(f"{self._x(p.at_s):.1f},{self._y(p.value):.1f}" for p in stretch)
            yield f'<polyline class="line" points="{path}"/>'

    def _grid(self) -> Iterable[str]:
        for tick in range(round(self._top() / self._step()) + 1):
            y = self._y(tick * self._step())
            yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
            told = f"{tick * self._step():.1f} s"
            yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{told}</text>'
        for tick in range(TICKS_MAX):
            at_s = self._start_s() + (self._end_s() - self._start_s()) * tick / (TICKS_MAX - 1)
            told = f"{datetime.fromtimestamp(at_s, UTC):%H:%M:%S}"
            yield f'<text x="{self._x(at_s)}" y="{HEIGHT - 12}" text-anchor="middle">{told}</text>'

    def _x(self, at_s: float) -> float:
        share = (at_s - self._start_s()) / (self._end_s() - self._start_s())
        return LEFT + 30 + share * (WIDTH - LEFT - RIGHT - 60)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self._top() * (HEIGHT - TOP - BOTTOM)

    def _top(self) -> float:
        """Return the top of the scale: no dot and no part of the line is cut off."""
        return math.ceil(self._highest() / self._step()) * self._step()

    def _step(self) -> float:
        return next(step for step in STEPS_S if self._highest() <= step * TICKS_MAX)

    def _highest(self) -> float:
        return max(point.value for point in (*self.line, *self.exemplars))

    def _start_s(self) -> float:
        return min(point.at_s for point in (*self.line, *self.exemplars))

    def _end_s(self) -> float:
        return max(point.at_s for point in (*self.line, *self.exemplars))


def _stretches(points: Sequence[Point]) -> Iterable[list[Point]]:
    stretch: list[Point] = []
    for point in points:
        if stretch and point.at_s - stretch[-1].at_s > GAP_S:
            yield stretch
            stretch = []
        stretch.append(point)
    yield stretch
