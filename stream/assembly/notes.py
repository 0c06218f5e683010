"""What is to be said of a span below its line: why it stands where it does, errors, links."""

from collections.abc import Iterator, Sequence
from typing import Final

from stream.assembly.node import Linking, Node, Top
from stream.assembly.span import Link
from stream.printable import printable

LINES_MAX: Final = 5
"""So many exceptions, links and links to it are told of one span; then their number."""

TEXT_CHARACTERS_MAX: Final = 300
"""A longer text is cut, with a mark."""


def notes(node: Node) -> Iterator[tuple[str, str]]:
    """Yield (line, style), fit for a terminal."""
    for line in _place(node):
        yield line, "yellow"
    for line in _limited(_errors(node), "exceptions"):
        yield line, "red"
    for line in _limited(list(_links(node)), "links"):
        yield line, "blue"
    linked_from = [f"linked from {_linking(node, each)}" for each in node.linked_from]
    for line in _limited(linked_from, "links to it"):
        yield line, "blue"


def told(text: str) -> str:
    """Return text from elsewhere, fit for a terminal and for a line."""
    if len(text) > TEXT_CHARACTERS_MAX:
        text = text[: TEXT_CHARACTERS_MAX - 1] + "…"
    return printable(text)


def _place(node: Node) -> Iterator[str]:
    if node.top is Top.ORPHAN:
        yield f"its parent {node.span.parent_span_id.hex()} is not here"
    if node.top is Top.CYCLE:
        yield f"its parent {node.span.parent_span_id.hex()} is itself, or lies below it"


def _errors(node: Node) -> list[str]:
    lines = [told(": ".join(filter(None, (e.type, e.message)))) for e in node.span.exceptions]
    status = told(node.span.status_message)
    if status and not any(status in line for line in lines):
        lines.insert(0, status)
    return [f"! {line}" for line in lines if line]


def _links(node: Node) -> Iterator[str]:
    for link, service in node.links:
        yield f"links to {_target(node, link)}{_of(service or '')}"


def _target(node: Node, link: Link) -> str:
    span = f"span {link.span_id.hex()}"
    if link.trace_id == node.span.trace_id:
        return span
    return f"{span} of trace {link.trace_id.hex()}"


def _linking(node: Node, linking: Linking) -> str:
    target = _target(node, Link(linking.trace_id, linking.span_id))
    return f"{told(linking.name)}{_of(linking.service)}, {target}"


def _of(service: str) -> str:
    return f" in {told(service)}" if service else ""


def _limited(lines: Sequence[str], what: str) -> Iterator[str]:
    shown = lines if len(lines) <= LINES_MAX + 1 else lines[:LINES_MAX]
    yield from shown
    if len(shown) < len(lines):
        yield f"and {len(lines) - len(shown):,} {what} more"
