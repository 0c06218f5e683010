"""A trace, assembled: all its deliveries as one tree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stream.assembly.clocks import set_clocks
from stream.assembly.critical import main_top, set_critical_path, set_self_times
from stream.assembly.links import set_links
from stream.assembly.node import Linking, Node, Top, preorder
from stream.assembly.parents import hang, unique
from stream.assembly.span import Span


@dataclass(frozen=True, slots=True)
class Trace:
    """A tree of spans, or several: `tops`, roots first, each then in the order they began.

    `nodes` are all, a parent before its children. `main` is the top that has the critical path: the
    longest root, without a root the longest top. `duplicates` spans came more than once.
    `linked_absent`: (span id, who links to it), of spans that are not here.
    """

    trace_id: bytes
    tops: list[Node]
    nodes: list[Node]
    main: Node
    start_ns: int
    end_ns: int
    duplicates: int
    linked_absent: list[tuple[bytes, Linking]]

    @property
    def services(self) -> list[str]:
        """The names of the services that it went through, in alphabetical order."""
        return sorted({node.span.service for node in self.nodes} - {""})

    @property
    def failed(self) -> int:
        """How many spans have the status ERROR."""
        return sum(node.span.failed for node in self.nodes)


def assemble(spans: Sequence[Span], others: Iterable[Span] = ()) -> Trace:
    """Return the trace of these spans, at least one, in the order in which they were delivered.

    `others` are spans of other traces, of which those that link to this one are told. It takes
    n log n steps, and no recursion: a trace may be as deep as it has spans.
    """
    assert spans, "a trace has a span"
    by_id, duplicates = unique(spans)
    tops = hang(by_id)
    set_clocks(tops)
    for node in preorder(tops):
        node.children.sort(key=_order)
        node.depth = node.parent.depth + 1 if node.parent else 0
    tops.sort(key=lambda top: (top.top is not Top.ROOT, *_order(top)))
    set_self_times(tops)
    main = main_top(tops)
    set_critical_path(main)
    nodes = list(preorder(tops))
    trace_id = main.span.trace_id
    absent = set_links(nodes, trace_id, others)
    # A span of which no time is known says nothing of when the trace was.
    timed = [node for node in nodes if node.span.start_ns] or nodes
    start_ns = min(node.start_ns for node in timed)
    end_ns = max(node.end_ns for node in timed)
    return Trace(trace_id, tops, nodes, main, start_ns, end_ns, duplicates, absent)


def _order(node: Node) -> tuple[int, int, bytes]:
    return node.start_ns, -node.end_ns, node.span.span_id
