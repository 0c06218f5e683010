"""Which spans of a large trace are drawn: those that tell most, with all above them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from stream.assembly.node import Node, preorder
from stream.assembly.trace import Trace


@dataclass(slots=True)
class Omitted:
    """What was left out below a node: how many spans, failed ones, and of which names."""

    spans: int = 0
    failed: int = 0
    names: Counter[str] = field(default_factory=Counter)

    def add(self, nodes: Iterable[Node]) -> None:
        """Count spans that are not drawn."""
        for node in nodes:
            self.spans += 1
            self.failed += node.span.failed
            self.names[node.span.name] += 1


def drawn(trace: Trace, spans_max: int | None, depth_max: int | None) -> set[Node]:
    """Return the nodes to draw: at most `spans_max`, of the first `depth_max` levels; None: all.

    Never one without those above it. First come the top with the critical path, what failed, the
    critical path, the other tops, then the longest: a call is rarely longer than its caller.
    """
    shallow = [node for node in trace.nodes if depth_max is None or node.depth < depth_max]
    if spans_max is None or len(shallow) <= spans_max:
        return set(shallow)
    chosen: set[Node] = set()
    for node in _by_weight(trace, shallow):
        if len(chosen) >= spans_max:
            break
        way = _way_up(node, chosen, spans_max - len(chosen))
        chosen.update(way)
    return chosen


def omitted_below(nodes: Iterable[Node], chosen: set[Node]) -> Omitted:
    """Return what is left out of these nodes, which have one parent, and below them."""
    omitted = Omitted()
    omitted.add(preorder([node for node in nodes if node not in chosen]))
    return omitted


def _by_weight(trace: Trace, nodes: list[Node]) -> Iterator[Node]:
    return chain(
        [trace.main],
        (node for node in nodes if node.span.failed),
        (node for node in nodes if node.path),
        trace.tops,
        sorted(nodes, key=lambda node: -node.duration_ns),
    )


def _way_up(node: Node, chosen: set[Node], room: int) -> list[Node]:
    """Return the node and those above it that are not chosen yet; none where there is no room."""
    way: list[Node] = []
    at: Node | None = node
    while at is not None and at not in chosen:
        if len(way) == room:
            return []
        way.append(at)
        at = at.parent
    return way
