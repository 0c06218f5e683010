"""A span's place in the tree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from stream.assembly.span import Kind, Link, Span


class Top(StrEnum):
    """Why a span hangs below no other.

    It has no parent, its parent is not there, or its parents lead back to itself.
    """

    ROOT = "root"
    ORPHAN = "orphan"
    CYCLE = "cycle"


@dataclass(frozen=True, slots=True)
class Linking:
    """A span that links to another."""

    trace_id: bytes
    span_id: bytes
    name: str
    service: str


@dataclass(eq=False, slots=True)
class Node:
    """A span in the tree: its own times brought into line with its parent's, Unix nanoseconds.

    `clock_ns` is what was added to the times that its clock told. `self_ns` is the time in which
    nothing below it ran that it waited for. `path` are its own sections of the critical path,
    the latest first. `links` has the service where the linked span is in this trace.
    """

    span: Span
    start_ns: int
    end_ns: int
    parent: "Node | None" = None
    top: Top | None = None
    depth: int = 0
    clock_ns: int = 0
    self_ns: int = 0
    children: list["Node"] = field(default_factory=list)
    path: list[tuple[int, int]] = field(default_factory=list)
    links: list[tuple[Link, str | None]] = field(default_factory=list)
    linked_from: list[Linking] = field(default_factory=list)

    @property
    def duration_ns(self) -> int:
        """How long it took."""
        return self.end_ns - self.start_ns

    @property
    def path_ns(self) -> int:
        """How much of the critical path is its own."""
        return sum(end_ns - start_ns for start_ns, end_ns in self.path)

    @property
    def is_clock_set(self) -> bool:
        """Whether it is here that another clock than its parent's was set."""
        parent = self.parent
        return self.clock_ns != 0 and (parent is None or parent.span.host != self.span.host)


def preorder(tops: Iterable[Node]) -> Iterator[Node]:
    """Yield every node before those below it, however deep the tree is."""
    waiting = list(tops)[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def is_waited_for(child: Node, parent: Node) -> bool:
    """Return whether the parent waits for the child, as a caller does.

    It does not for what comes out of a queue, nor for what only follows from it. So says the
    OpenTelemetry specification (https://opentelemetry.io/docs/specs/otel/trace/api/#spankind): a
    PRODUCER often ends before its CONSUMER, and does not wait for the outcome. Such a pair is told
    by its kinds; where one end has another kind, by the other end and that it is on another host.
    A child that also links to its parent was made by one who says that it only follows.
    """
    produced = parent.span.kind is Kind.PRODUCER
    consumed = child.span.kind is Kind.CONSUMER
    if produced and consumed:
        return False
    if (produced or consumed) and child.span.host != parent.span.host:
        return False
    follows = Link(parent.span.trace_id, parent.span.span_id)
    return follows not in child.span.links
