"""An assembled trace for programs."""

from collections.abc import Iterator
from typing import Any

from stream.assembly.node import Linking, Node, is_waited_for
from stream.assembly.span import Link
from stream.assembly.trace import Trace
from stream.otlp.tracestate import THRESHOLD_LIMIT

NS_PER_MS = 1_000_000


def as_json(trace: Trace) -> dict[str, Any]:
    """Return the trace; its keys are stable, new ones may come.

    `spans` are in the order of the drawing, each before those below it: `depth` is its level, `top`
    why it has none above it (`root`, `orphan`, `cycle`; else null), `under` the place in `spans` of
    the one above it. `start_time_unix_nano` is as it came, a text as in OTLP/JSON; `clock_ms` is
    what was added to it because of its host's clock, and all of the following count with it.
    `start_ms` is counted from the trace's start. `self_ms` is the time in which nothing ran that
    the span waited for, `critical_ms` its own part of the critical path, and `critical_path` that
    path's sections in their order: from when to when, and the place in `spans` of whose they are.
    `adjusted_count` is how many spans it stands for by its tracestate, null where that does not
    tell. `async`: nobody waits for it. The `service` of a link is null where the span that it
    links to is not in this trace.
    """
    places = {node: place for place, node in enumerate(trace.nodes)}
    sections = [(*section, node) for node in trace.nodes for section in node.path]
    sections.sort(key=lambda section: section[0])
    return {
        "trace_id": trace.trace_id.hex(),
        "name": trace.main.span.name,
        "start_time_unix_nano": str(trace.start_ns),
        "duration_ms": _ms(trace.end_ns - trace.start_ns),
        "services": trace.services,
        "errors": trace.failed,
        "duplicates": trace.duplicates,
        "critical_path": [
            {
                "span": places[node],
                "start_ms": _ms(from_ns - trace.start_ns),
                "end_ms": _ms(to_ns - trace.start_ns),
            }
            for from_ns, to_ns, node in sections
        ],
        "spans": [_span(node, trace, places) for node in trace.nodes],
        "linked_absent": [
            {"linked_span_id": span_id.hex(), **_linking(linking)}
            for span_id, linking in trace.linked_absent
        ],
    }


def _span(node: Node, trace: Trace, places: dict[Node, int]) -> dict[str, Any]:
    span, parent = node.span, node.parent
    count = None if span.threshold is None else THRESHOLD_LIMIT / (THRESHOLD_LIMIT - span.threshold)
    return {
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() or None,
        "top": node.top.value if node.top else None,
        "under": None if parent is None else places[parent],
        "depth": node.depth,
        "name": span.name,
        "service": span.service,
        "kind": span.kind.value,
        "async": parent is not None and not is_waited_for(node, parent),
        "start_time_unix_nano": str(span.start_ns),
        "clock_ms": _ms(node.clock_ns),
        "start_ms": _ms(node.start_ns - trace.start_ns),
        "duration_ms": _ms(node.duration_ns),
        "self_ms": _ms(node.self_ns),
        "critical_ms": _ms(node.path_ns),
        "error": span.failed,
        "status_message": span.status_message,
        "exceptions": [{"type": each.type, "message": each.message} for each in span.exceptions],
        "adjusted_count": count,
        "links": list(_links(node)),
        "linked_from": [_linking(linking) for linking in node.linked_from],
        "delivery": span.delivery,
    }


def _links(node: Node) -> Iterator[dict[str, Any]]:
    for link, service in node.links:
        yield {**_ids(link), "service": service}


def _linking(linking: Linking) -> dict[str, Any]:
    ids = _ids(Link(linking.trace_id, linking.span_id))
    return {**ids, "name": linking.name, "service": linking.service}


def _ids(link: Link) -> dict[str, str]:
    return {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()}


def _ms(duration_ns: int) -> float:
    return duration_ns / NS_PER_MS
