"""Curves as tables, and whether they are flat: a report, no assertion."""

from typing import Any

from tests.bench.figures import markdown, spread

FLAT_WITHIN = 0.2
Tree = dict[str, Any]


def rise(curve: Tree) -> float | None:
    """Return by what share the dearest point is above the cheapest, None where none was run."""
    medians = [point["cpu_us_a_span"]["median"] for point in _run(curve)]
    return max(medians) / min(medians) - 1 if medians else None


def is_flat(curve: Tree) -> bool:
    """Tell whether no point of a curve is more than 20 % above another."""
    found = rise(curve)
    return found is not None and found <= FLAT_WITHIN


def markdown_of(tree: Tree) -> str:
    """Return a table of all curves, then one of each."""
    head = ["CPU µs a span against", "from", "to", "least-most", "flat within 20 %"]
    rows = [_row(curve) for curve in tree["curves"] if _run(curve)]
    parts = [markdown(head, rows), *(_table(curve) for curve in tree["curves"])]
    told = f"{tree['rounds']} rounds, `{tree['variant']}`, commit {tree['commit']}, {tree['date']}"
    return "\n".join([*parts, f"{told}: medians (range).\n"])


def _row(curve: Tree) -> list[str]:
    points = _run(curve)
    medians = [point["cpu_us_a_span"]["median"] for point in points]
    flat = "yes" if is_flat(curve) else "no"
    if not curve["flat_wanted"]:
        flat += " (need not be)"
    return [
        curve["axis"],
        f"{points[0]['at']:,g}",
        f"{points[-1]['at']:,g}",
        f"{min(medians):.2f}-{max(medians):.2f}",
        flat,
    ]


def _table(curve: Tree) -> str:
    head = [curve["axis"], "CPU µs a span", "peak RSS MiB", "core", "n"]
    rows = [
        [
            f"{point['at']:,g}",
            spread(point["cpu_us_a_span"]),
            f"{point['peak_rss_mib']['median']:.0f}",
            point["core"],
            str(len(point["cpu_us_a_span"]["each"])),
        ]
        for point in _run(curve)
    ]
    note = f"\n{curve['note']}\n" if curve["note"] else ""
    return markdown(head, rows) + note


def _run(curve: Tree) -> list[Tree]:
    return [point for point in curve["points"] if "cpu_us_a_span" in point]
