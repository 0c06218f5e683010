"""Curves as one picture. Needs the extra `bench` (matplotlib): `make curves` installs it."""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tests.bench.curve_tables import FLAT_WITHIN, rise
from tests.bench.curves import NAME, RESULTS

COLUMNS = 4
INCHES = (3.1, 2.6)
LINE, BAND = "#2f6fb0", "#2f6fb020"
Tree = dict[str, Any]


def draw(tree: Tree, path: Path) -> None:
    """Write an SVG: a panel a curve, medians with their range, all from zero."""
    # The same figures give the same file.
    mpl.rcParams.update({"svg.hashsalt": "tailstream", "svg.fonttype": "none", "font.size": 8})
    curves = [curve for curve in tree["curves"] if rise(curve) is not None]
    rows = -(-len(curves) // COLUMNS)
    size = (INCHES[0] * COLUMNS, INCHES[1] * rows)
    figure = Figure(figsize=size)
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for place, curve in zip(axes.flat, curves, strict=False):
        _panel(place, curve)
    for place in axes.flat[len(curves) :]:
        place.set_visible(False)
    figure.supylabel("CPU µs a span")
    figure.tight_layout()
    # White below it: the page may be dark.
    figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")


def _panel(place: Axes, curve: Tree) -> None:
    points = [point for point in curve["points"] if "cpu_us_a_span" in point]
    at = [point["at"] for point in points]
    figures = [point["cpu_us_a_span"] for point in points]
    medians = [one["median"] for one in figures]
    around = [
        [one["median"] - one["min"] for one in figures],
        [one["max"] - one["median"] for one in figures],
    ]
    lowest = min(medians)
    place.axhspan(lowest, lowest * (1 + FLAT_WITHIN), color=BAND, linewidth=0)
    place.errorbar(at, medians, around, color=LINE, marker="o", markersize=3, capsize=2)
    if curve["logarithmic"]:
        place.set_xscale("log")
    place.xaxis.set_major_locator(FixedLocator(at))
    place.xaxis.set_minor_locator(NullLocator())
    place.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    place.set_xlabel(curve["axis"])
    place.set_ylim(0, max(one["max"] for one in figures) * 1.15)
    place.spines[["top", "right"]].set_visible(False)


def short(value: float) -> str:
    """Return a number as an axis shows it: 1k, 1M."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.plot", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of curves.json")
    directory = parser.parse_args().out
    draw(json.loads((directory / f"{NAME}.json").read_text()), directory / f"{NAME}.svg")
    print(f"written: {NAME}.svg")
