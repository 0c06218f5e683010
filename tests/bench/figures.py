"""A measured quantity: every run of it, and the middle one with its spread."""

import statistics
from collections.abc import Iterable
from typing import Any

Figures = dict[str, Any]
"""`median`, `min`, `max`, and `each` run in its order."""


def figures(each: Iterable[float]) -> Figures:
    """Return the figures of at least one run."""
    all_ = [round(one, 3) for one in each]
    median = round(statistics.median(all_), 3)
    return {"median": median, "min": min(all_), "max": max(all_), "each": all_}


def spread(measured: Figures | None, *, digits: int = 2) -> str:
    """Return `median (min-max)`; the median alone where it is all that is known."""
    if measured is None:
        return ""
    text = f"{measured['median']:.{digits}f}"
    if "min" in measured:
        text += f" ({measured['min']:.{digits}f}-{measured['max']:.{digits}f})"
    return text


def ratios(theirs: Figures, ours: Figures) -> Figures:
    """Return how many times ours theirs is, round by round: neighbours in time share its noise."""
    return figures(their / our for their, our in zip(theirs["each"], ours["each"], strict=True))


def markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table of Markdown: the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
