"""Links in both directions: what a span links to, and what links to it."""

from collections.abc import Iterable, Sequence

from stream.assembly.node import Linking, Node
from stream.assembly.span import Span


def set_links(
    nodes: Sequence[Node], trace_id: bytes, others: Iterable[Span]
) -> list[tuple[bytes, Linking]]:
    """Set `links` and `linked_from` of each node. `others` are spans of other traces.

    Return the links to spans of this trace that are not here: (span id, who links to it).
    """
    by_id: dict[bytes, Node] = {}
    for node in nodes:
        by_id.setdefault(node.span.span_id, node)
    absent: list[tuple[bytes, Linking]] = []
    for span in (*(node.span for node in nodes), *others):
        linking = Linking(span.trace_id, span.span_id, span.name, span.service)
        for link in span.links:
            if link.trace_id != trace_id:
                continue
            if link.span_id in by_id:
                by_id[link.span_id].linked_from.append(linking)
            else:
                absent.append((link.span_id, linking))
    for node in nodes:
        for link in node.span.links:
            linked = by_id.get(link.span_id) if link.trace_id == trace_id else None
            node.links.append((link, linked.span.service if linked else None))
    return absent
