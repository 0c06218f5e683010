"""Draws panels as a dashboard shows them: title, unit, names of the series, marks at what was done.

It is not Grafana: what is drawn is what a real Prometheus answered to the panels' own queries, in a
look that is near Grafana's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from tests.real.panels import Line

PAGE, PANEL, GRID, TEXT, DIM = "#111217", "#181b1f", "#2c2f35", "#d5d6db", "#9a9ca5"
MARK: Final = "#ff9830"
LEVEL: Final = {"green": "#73bf69", "yellow": "#fade2a", "red": "#f2495c"}
PALETTE: Final = (
    *("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0"),
    *("#508642", "#cca300", "#447ebc", "#c15c17"),
)
COLUMNS: Final = 2
WIDTH, HEAD, ROW = 15.0, 2.6, 2.3
"""Inches: of the page, above the graphs, of a line of graphs."""
DPI: Final = 90
COLORS: Final = 96
SHORT: Final = 8
GAP_S: Final = 3.0
"""A line has a gap where for longer there was no value, as in Grafana with scrapes each second."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel, and what its queries gave."""

    panel: Mapping[str, Any]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Mark:
    """What was done, and when."""

    at_s: float
    what: str


def draw(
    path: Path,
    title: str,
    *,
    stats: Sequence[Drawn],
    graphs: Sequence[Drawn],
    marks: Sequence[Mark],
    span_s: tuple[float, float],
) -> None:
    """Write a picture: a line of numbers with their past, and graphs below, two in a line."""
    mpl.rcParams.update(_STYLE)
    rows = math.ceil(len(graphs) / COLUMNS)
    height = HEAD + rows * ROW
    page = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAGE)
    start_s, end_s = span_s
    page.text(0.012, 1 - 0.16 / height, title, va="top", fontsize=13)
    key = "     ".join(
        f"{number}  {mark.what} ({_clock(mark.at_s - start_s)})"
        for number, mark in enumerate(marks, 1)
    )
    page.text(0.012, 1 - 0.5 / height, key, va="top", fontsize=9.5, color=MARK)
    top = 1 - 0.85 / height
    below = top - 1.15 / height
    small = GridSpec(1, len(stats), page, 0.012, below, 0.988, top, wspace=0.05)
    for place, drawn in enumerate(stats):
        _stat(page.add_subplot(small[place]), drawn, marks, start_s, end_s)
    bottom, under = 0.3 / height, below - 0.45 / height
    grid = GridSpec(rows, COLUMNS, page, 0.045, bottom, 0.895, under, wspace=0.38, hspace=0.4)
    for place, drawn in enumerate(graphs):
        _graph(page.add_subplot(grid[place]), drawn, marks, start_s, end_s)
    page.savefig(path)
    # Few colours, and a third of the bytes.
    Image.open(path).convert("RGB").quantize(COLORS).save(path, optimize=True)


def said(value: float, unit: str) -> str:
    """Return a value as Grafana says it in this unit."""
    if math.isinf(value):
        return "∞"
    if unit == "s":
        return _seconds(value)
    if unit == "percentunit":
        return f"{value * 100:.0f}%"
    return _thousands(value) + (" /s" if unit == "cps" else "")


def _seconds(value: float) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "min")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} s" if value >= 1 or value == 0 else f"{value * 1000:.3g} ms"


def _thousands(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value / 1000:.3g} K"
    return f"{value:.3g}"


def _stat(axes: Axes, drawn: Drawn, marks: Sequence[Mark], start_s: float, end_s: float) -> None:
    unit = drawn.panel["fieldConfig"]["defaults"]["unit"]
    (line,) = drawn.lines
    last = line.points[-1][1]
    color = _level(drawn.panel, last)
    times, values = _with_gaps(line, start_s)
    axes.fill_between(times, values, color=color, alpha=0.25, lw=0)
    axes.plot(times, values, color=color, lw=1)
    axes.set_ylim(0, _top(drawn) * 2.4)
    for mark in marks:
        axes.axvline(mark.at_s - start_s, ymax=0.42, color=MARK, lw=0.8, ls=(0, (3, 2)))
    most = max((value for _, value in line.points if math.isfinite(value)), default=0.0)
    axes.text(0.03, 0.95, drawn.panel["title"], transform=axes.transAxes, va="top", fontsize=9)
    axes.text(
        0.03, 0.74, said(last, unit), transform=axes.transAxes, va="top", fontsize=17, color=color
    )
    least = min(value for _, value in line.points)
    past = f"least {said(least, unit)}" if _low_is_bad(drawn.panel) else f"most {said(most, unit)}"
    axes.text(
        0.97, 0.95, past, transform=axes.transAxes, va="top", ha="right", fontsize=8, color=DIM
    )
    axes.set_xlim(0, end_s - start_s)
    axes.set_xticks([])
    axes.set_yticks([])


def _graph(axes: Axes, drawn: Drawn, marks: Sequence[Mark], start_s: float, end_s: float) -> None:
    defaults = drawn.panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    axes.set_title(drawn.panel["title"], loc="left", fontsize=10, color=TEXT, pad=5)
    if defaults["custom"]["stacking"]["mode"] == "normal":
        _stacked(axes, drawn, start_s)
    else:
        for line, color in zip(drawn.lines, PALETTE * 3, strict=False):
            times, values = _with_gaps(line, start_s)
            axes.plot(times, values, color=color, lw=1.2, label=_entry(line, unit))
    top = _top(drawn)
    for number, mark in enumerate(marks, 1):
        at_s = mark.at_s - start_s
        axes.axvline(at_s, color=MARK, lw=1, ls=(0, (4, 3)))
        axes.text(at_s, top * 1.1, f" {number}", color=MARK, fontsize=8, va="top")
    axes.set_ylim(0, top * 1.12)
    axes.set_xlim(0, end_s - start_s)
    in_minutes = unit == "s" and top > 60
    steps = [1.2, 3, 6, 10] if in_minutes else [1, 2, 2.5, 5, 10]
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=defaults.get("decimals") == 0, steps=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: said(value, unit)))
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[3, 6, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_clock))
    axes.grid(color=GRID, lw=0.6)
    axes.legend(
        title="last, max", loc="upper left", bbox_to_anchor=(1.0, 1.04), fontsize=7.5,
        title_fontsize=7.5, alignment="left", frameon=False, handlelength=1.0, labelspacing=0.3,
        borderaxespad=0.2,
    )  # fmt: skip


def _stacked(axes: Axes, drawn: Drawn, start_s: float) -> None:
    unit = drawn.panel["fieldConfig"]["defaults"]["unit"]
    times = sorted({time_s for line in drawn.lines for time_s, _ in line.points})
    floor = [0.0] * len(times)
    for line, color in zip(drawn.lines, PALETTE, strict=False):
        told = dict(line.points)
        above = [low + told.get(time_s, 0.0) for low, time_s in zip(floor, times, strict=True)]
        at = [time_s - start_s for time_s in times]
        axes.fill_between(at, floor, above, color=color, alpha=0.4, lw=0)
        there = [
            high if time_s in told else math.nan for high, time_s in zip(above, times, strict=True)
        ]
        axes.plot(at, there, color=color, lw=1.2, label=_entry(line, unit))
        floor = above


def _with_gaps(line: Line, start_s: float) -> tuple[list[float], list[float]]:
    """Return times and values, broken where there is no value, or an infinite one."""
    times: list[float] = []
    values: list[float] = []
    before_s = math.inf
    for time_s, value in line.points:
        if time_s - before_s > GAP_S:
            times.append(before_s - start_s)
            values.append(math.nan)
        times.append(time_s - start_s)
        values.append(value if math.isfinite(value) else math.nan)
        before_s = time_s
    return times, values


def _top(drawn: Drawn) -> float:
    if drawn.panel["fieldConfig"]["defaults"]["custom"].get("stacking", {}).get("mode") == "normal":
        sums: dict[float, float] = {}
        for line in drawn.lines:
            for time_s, value in line.points:
                sums[time_s] = sums.get(time_s, 0.0) + value
        return max(sums.values(), default=0.0) or 1.0
    told = [value for line in drawn.lines for _, value in line.points if math.isfinite(value)]
    return max(told, default=0.0) or 1.0


def _entry(line: Line, unit: str) -> str:
    told = [value for _, value in line.points]
    finite = [value for value in told if math.isfinite(value)]
    between = "\n" if len(line.name) > SHORT else "  "
    return f"{line.name}{between}{said(told[-1], unit)}, {said(max(finite, default=0.0), unit)}"


def _level(of: Mapping[str, Any], value: float) -> str:
    steps = of["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step for step in steps if step["value"] is None or value >= step["value"]]
    return LEVEL[reached[-1]["color"]]


def _low_is_bad(of: Mapping[str, Any]) -> bool:
    return bool(of["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] == "red")


def _clock(seconds: float, _: int | None = None) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


_STYLE: Final = {
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "text.color": TEXT,
    "axes.facecolor": PANEL,
    "axes.edgecolor": GRID,
    "xtick.color": DIM,
    "ytick.color": DIM,
}
