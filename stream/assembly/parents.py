"""Who hangs below whom: by parent ids, whatever they are."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from stream.assembly.node import Node, Top
from stream.assembly.span import Kind, Span

Halves: TypeAlias = list[Node]
"""The spans with one id: one, or the caller's and then the server's."""


def unique(spans: Iterable[Span]) -> tuple[dict[bytes, Halves], int]:
    """Return the spans by their ids, and how many duplicate spans there were.

    Of spans with one id the first server's stands, and the first of any other kind: Zipkin's
    instrumentation gives a call's client and server one id. The worker tells duplicates so, too
    (`stream/otlp/span_key.py`).
    """
    by_id: dict[bytes, Halves] = {}
    duplicates = 0
    for span in spans:
        halves = by_id.setdefault(span.span_id, [])
        if not halves:
            halves.append(Node(span, span.start_ns, span.end_ns))
        elif len(halves) == 1 and _is_server(halves[0].span) != _is_server(span):
            half = Node(span, span.start_ns, span.end_ns)
            halves.insert(1 if _is_server(span) else 0, half)
        else:
            duplicates += 1
    return by_id, duplicates


def _is_server(span: Span) -> bool:
    return span.kind is Kind.SERVER


def hang(by_id: dict[bytes, Halves]) -> list[Node]:
    """Set each node's parent and children; return those below no other. Each is reached once.

    Spans that are each other's parents hang below none: of each circle, the one that began first
    is made a top.
    """
    nodes = [node for halves in by_id.values() for node in halves]
    tops = []
    for node in nodes:
        parent, top = _parent(node, by_id)
        node.parent, node.top = parent, top
        if top is not None:
            tops.append(node)
    for first in _circles(nodes):
        first.parent, first.top = None, Top.CYCLE
        tops.append(first)
    for node in nodes:
        if node.parent is not None:
            node.parent.children.append(node)
    return tops


def _parent(node: Node, by_id: dict[bytes, Halves]) -> tuple[Node | None, Top | None]:
    caller, *server = by_id[node.span.span_id]
    if server and node is server[0]:
        return caller, None
    if not node.span.parent_span_id:
        return None, Top.ROOT
    halves = by_id.get(node.span.parent_span_id)
    if halves is None:
        return None, Top.ORPHAN
    return _half(node, halves), None


def _half(child: Node, halves: Halves) -> Node:
    """Return the one that made the call: the server, unless only the client runs where it ran."""
    hosts = [half.span.host for half in halves]
    return halves[0] if child.span.host == hosts[0] != hosts[-1] else halves[-1]


def _circles(nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield of each circle of parents the node that began first."""
    seen: set[Node] = set()
    for node in nodes:
        way: dict[Node, None] = {}
        at: Node | None = node
        while at is not None and at not in seen:
            seen.add(at)
            way[at] = None
            at = at.parent
        if at is not None and at in way:
            members = list(way)
            circle = members[members.index(at) :]
            yield min(circle, key=lambda each: (each.span.start_ns, each.span.span_id))
