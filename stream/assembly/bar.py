"""A span's bar: where it lies in the trace, and which of it is the critical path."""

from typing import Final

from stream.assembly.node import Node

EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
ELSEWHERE: Final = "░"


def bar(node: Node, start_ns: int, end_ns: int, cells: int) -> str:
    """Return `cells` cells for the time from `start_ns` to `end_ns`.

    The bar starts at the nearest cell. A cell is full where more than half of the span's time in it
    is the span's own part of the critical path, and ends at an eighth; any other is shaded.
    """
    per_cell = max(1, end_ns - start_ns) / cells
    first = min(cells - 1, max(0, round((node.start_ns - start_ns) / per_cell)))
    end_eighth = round((node.end_ns - start_ns) / per_cell * 8)
    end_eighth = min(cells * 8, max(first * 8 + 1, end_eighth))
    whole = (end_eighth - 1) // 8 + 1
    on_path = _on_path(node, start_ns, per_cell, cells)
    drawn = [_is_critical(node, start_ns, per_cell, at, on_path) for at in range(first, whole)]
    glyphs = [EIGHTHS[8] if critical else ELSEWHERE for critical in drawn]
    if drawn[-1]:
        glyphs[-1] = EIGHTHS[(end_eighth - 1) % 8 + 1]
    return (" " * first + "".join(glyphs)).ljust(cells)


def _on_path(node: Node, start_ns: int, per_cell: float, cells: int) -> list[float]:
    """Return how much of each cell is the node's own part of the critical path, in ns."""
    found = [0.0] * cells
    for from_ns, to_ns in node.path:
        low, high = from_ns - start_ns, to_ns - start_ns
        first = min(cells - 1, max(0, int(low / per_cell)))
        for at in range(first, min(cells, int(high / per_cell) + 1)):
            found[at] += max(0.0, min(high, (at + 1) * per_cell) - max(low, at * per_cell))
    return found


def _is_critical(node: Node, start_ns: int, per_cell: float, at: int, on_path: list[float]) -> bool:
    # Rounding may put the bar a cell beside the time: what is on the path at all is judged whole.
    low = max(node.start_ns - start_ns, at * per_cell)
    high = min(node.end_ns - start_ns, (at + 1) * per_cell)
    if high <= low:
        return bool(node.path) and node.path_ns * 2 > node.duration_ns
    return on_path[at] * 2 > high - low
