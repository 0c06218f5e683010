"""Hosts' clocks differ: a call must not seem to begin before it was made, or to end after it.

Like Jaeger's clock skew adjuster and Zipkin's (https://github.com/jaegertracing/jaeger,
`clockskew.go`) it acts only where parent and child have different clocks, and moves the child as a
whole, with all below it that share its clock. Spans of one clock keep their times: what lies
outside its parent there did so.

They move a child into the middle of its parent, as if the network took as long there as back. Here
it is moved by the least that puts it inside: so much the clocks differ for certain, and a call that
ends a millisecond late is not said to be off by half of its parent's time.
"""

from collections.abc import Iterable

from stream.assembly.node import Node, is_waited_for, preorder


def set_clocks(tops: Iterable[Node]) -> None:
    """Set `clock_ns` of each node, and its times by it."""
    for node in preorder(tops):
        if node.parent is not None:
            node.clock_ns = _clock_ns(node, node.parent)
            node.start_ns = node.span.start_ns + node.clock_ns
            node.end_ns = node.span.end_ns + node.clock_ns


def _clock_ns(child: Node, parent: Node) -> int:
    """Return what must be added to the child's times; the parent's are set already.

    A child that lasts longer than its parent, or that nobody waits for, may end when it likes: it
    only must not begin before it was called. A time that is not known cannot be wrong.
    """
    span = child.span
    if span.host == parent.span.host:
        return parent.clock_ns
    if not span.start_ns or not parent.span.start_ns:
        return 0
    early_ns = parent.start_ns - span.start_ns
    room_ns = parent.duration_ns - span.duration_ns
    if early_ns > 0:
        return early_ns
    may_outlive = room_ns < 0 or not is_waited_for(child, parent)
    return 0 if may_outlive else min(0, parent.end_ns - span.end_ns)
