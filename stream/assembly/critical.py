"""The critical path: the sections of spans that made the trace take as long as it did."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from stream.assembly.node import Node, Top, is_waited_for, preorder


@dataclass(slots=True)
class _Walk:
    """A span being walked from its end to its start: all after `at_ns` is explained."""

    node: Node
    start_ns: int
    end_ns: int
    at_ns: int
    left: list[Node] = field(default_factory=list)


def set_self_times(tops: Iterable[Node]) -> None:
    """Set `self_ns` of each node; their children are in the order in which they began."""
    for node in preorder(tops):
        covered_ns, until_ns = 0, node.start_ns
        for child in node.children:
            if is_waited_for(child, node):
                end_ns = min(child.end_ns, node.end_ns)
                covered_ns += max(0, end_ns - max(child.start_ns, until_ns))
                until_ns = max(until_ns, end_ns)
        node.self_ns = node.duration_ns - covered_ns


def main_top(tops: Sequence[Node]) -> Node:
    """Return the one that the trace is about: the longest root, else the longest top."""
    roots = [top for top in tops if top.top is Top.ROOT]
    return max(roots or tops, key=lambda top: top.duration_ns)


def set_critical_path(top: Node) -> None:
    """Set `path` of the nodes below `top`: their sections do not overlap, and add up to its time.

    From its end backwards: what ended last before was waited for, and is explained likewise; what
    lies between is the span's own. It is the walk of Jaeger
    (https://github.com/jaegertracing/jaeger-ui, `CriticalPath/index.tsx`) and of Uber's CRISP
    (https://www.usenix.org/conference/atc22/presentation/zhang-zhizhou). As there, what reaches
    beyond its caller counts as far as the caller lasted.
    """
    walks = [_begun(top, top.start_ns, top.end_ns)]
    while walks:
        walk = walks[-1]
        child = _last_finishing(walk)
        if child is None:
            _add(walk, walk.start_ns)
            walks.pop()
            continue
        start_ns = max(child.start_ns, walk.start_ns)
        end_ns = min(child.end_ns, walk.end_ns)
        _add(walk, end_ns)
        walk.at_ns = start_ns
        walks.append(_begun(child, start_ns, end_ns))


def _begun(node: Node, start_ns: int, end_ns: int) -> _Walk:
    left = [child for child in node.children if is_waited_for(child, node)]
    # Of several that end together the first that began explains most.
    left.sort(key=lambda child: (min(child.end_ns, end_ns), -child.start_ns))
    return _Walk(node, start_ns, end_ns, end_ns, left)


def _last_finishing(walk: _Walk) -> Node | None:
    """Take the child that ended last of those that ended by `at_ns`, and took any time."""
    while walk.left:
        child = walk.left.pop()
        end_ns = min(child.end_ns, walk.end_ns)
        if max(child.start_ns, walk.start_ns) < end_ns <= walk.at_ns:
            return child
    return None


def _add(walk: _Walk, from_ns: int) -> None:
    if from_ns < walk.at_ns:
        walk.node.path.append((from_ns, walk.at_ns))
