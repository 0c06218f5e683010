"""A trace drawn for people: its spans as a tree, each with a bar where it lies in the trace."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from stream.assembly.bar import EIGHTHS, bar
from stream.assembly.layout import DURATION_CELLS, KIND_CELLS, NAME_CELLS_MAX, Layout
from stream.assembly.node import Node, is_waited_for
from stream.assembly.notes import notes, told
from stream.assembly.selection import Omitted, drawn, omitted_below
from stream.assembly.span import Kind, spans_of
from stream.assembly.trace import Trace, assemble

SPANS_MAX: Final = 200
"""How many spans of a trace are drawn, if nobody asks for more."""

NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1_000
NS_PER_S: Final = 1_000_000_000
SECONDS_FROM_NS: Final = 100 * NS_PER_S
NAMES_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class _Row:
    """A line: a node, or what is left out. `indent` stands before what belongs to the node."""

    branch: str
    indent: str
    what: Node | Omitted


def render_trace(value: bytes, title: Text, layout: Layout | None = None) -> list[Text]:
    """Return the lines of one delivery, from its OTLP `TracesData` bytes, which have a span.

    Raises:
        google.protobuf.message.DecodeError: not a `TracesData`.
    """
    trace = assemble(list(spans_of(value)))
    return [headline(trace, title), *tree_lines(trace, layout or Layout())]


def headline(trace: Trace, title: Text) -> Text:
    """Return `title` with the root's name and the trace's duration."""
    name = _cut(told(trace.main.span.name), NAME_CELLS_MAX)
    line = title.copy().append(f"   {name} {ms(trace.end_ns - trace.start_ns)}", style="bold")
    return line.append(f"   {EIGHTHS[-1]} critical path", style="dim")


def tree_lines(
    trace: Trace,
    layout: Layout,
    chosen: set[Node] | None = None,
    deliveries: Sequence[str] = (),
) -> Iterator[Text]:
    """Yield a line a span, and what is to be said of it below; what is left out is said in place.

    `chosen` are the nodes to draw, each with those above it; if not said, `SPANS_MAX` at most.
    `deliveries` names each delivery; spans of any but the first are marked with its name.
    """
    chosen = drawn(trace, SPANS_MAX, None) if chosen is None else chosen
    rows = list(_rows(trace, chosen, layout))
    names = max(cell_len(_name(row, layout)) for row in rows if isinstance(row.what, Node)) + 1
    services = [told(node.span.service) for node in chosen]
    service_cells = min(layout.service, max(map(cell_len, services), default=0))
    if layout.times:
        yield _header(layout, names, service_cells)
    for row in rows:
        if isinstance(row.what, Omitted):
            yield Text(_cut(_name(row, layout), layout.width), style="dim")
            continue
        line = Text().append(set_cell_size(_name(row, layout), names), style=_style(row.what))
        _add_columns(line, row.what, trace, layout, service_cells)
        _add_marks(line, row.what, deliveries)
        yield line
        for note, style in notes(row.what):
            room = layout.width and layout.width - cell_len(row.indent)
            yield Text(row.indent, style="dim").append(_cut(note, room), style=style)


def ms(duration_ns: int) -> str:
    """Return a time for a reader: milliseconds; microseconds below one, seconds from 100 s on."""
    if 0 < abs(duration_ns) < NS_PER_MS:
        return f"{max(1, round(abs(duration_ns) / NS_PER_US)):,} µs"
    if abs(duration_ns) >= SECONDS_FROM_NS:
        return f"{round(duration_ns / NS_PER_S):,} s"
    return f"{round(duration_ns / NS_PER_MS):,} ms"


def _rows(trace: Trace, chosen: set[Node], layout: Layout) -> Iterator[_Row]:
    waiting = list(_siblings(trace.tops, chosen, "", 0, layout))[::-1]
    while waiting:
        row = waiting.pop()
        if isinstance(row.what, Omitted):
            yield row
            continue
        node, indent = row.what, row.indent
        below = list(_siblings(node.children, chosen, indent, node.depth + 1, layout))
        yield _Row(row.branch, indent + ("│  " if below else "   "), node)
        waiting += reversed(below)


def _siblings(
    nodes: Sequence[Node], chosen: set[Node], indent: str, depth: int, layout: Layout
) -> Iterator[_Row]:
    """Yield the rows of one node's children, the last of them what is left out."""
    shown: list[Node | Omitted] = [node for node in nodes if node in chosen]
    if len(shown) < len(nodes):
        shown.append(omitted_below(nodes, chosen))
    for at, each in enumerate(shown, start=1):
        if depth == 0:
            yield _Row("", "", each)
        elif depth > layout.levels:
            yield _Row(f"┊ {depth:,} └─ ".rjust(len(indent)), indent, each)
        elif at == len(shown):
            yield _Row(indent + "└─ ", indent + "   ", each)
        else:
            yield _Row(indent + "├─ ", indent + "│  ", each)


def _name(row: _Row, layout: Layout) -> str:
    if isinstance(row.what, Omitted):
        return row.branch + _omitted(row.what)
    return row.branch + _cut(told(row.what.span.name), layout.name - cell_len(row.branch))


def _omitted(omitted: Omitted) -> str:
    most = omitted.names.most_common(NAMES_MAX)
    names = ", ".join(f"{count:,} {told(name)}" for name, count in most)
    others = len(omitted.names) - len(most)
    names += f" and {others:,} other names" if others else ""
    failed = f", {omitted.failed:,} with an error" if omitted.failed else ""
    return f"… {omitted.spans:,} spans more{failed}: {names}"


def _header(layout: Layout, names: int, service_cells: int) -> Text:
    line = "span".ljust(names)
    line += "service".ljust(service_cells + 1)[: service_cells + 1] if service_cells else ""
    line += "kind".ljust(KIND_CELLS) if layout.kind else ""
    times = "".join(name.rjust(DURATION_CELLS) for name in ("duration", "self", "critical"))
    return Text(line + " " * layout.bar + times, style="dim")


def _add_columns(line: Text, node: Node, trace: Trace, layout: Layout, service_cells: int) -> None:
    if service_cells:
        service = _cut(told(node.span.service), service_cells)
        line.append(set_cell_size(service, service_cells + 1), style="cyan")
    if layout.kind:
        kind = "" if node.span.kind is Kind.UNSPECIFIED else node.span.kind.value
        line.append(kind.ljust(KIND_CELLS), style="dim")
    colour = "red" if node.span.failed else "green"
    line.append(bar(node, trace.start_ns, trace.end_ns, layout.bar), style=colour)
    line.append(ms(node.duration_ns).rjust(DURATION_CELLS))
    if layout.times:
        line.append(ms(node.self_ns).rjust(DURATION_CELLS))
        line.append((ms(node.path_ns) if node.path else "").rjust(DURATION_CELLS))


def _add_marks(line: Text, node: Node, deliveries: Sequence[str]) -> None:
    if node.span.failed:
        line.append(" ERROR", style="bold red")
    if node.is_clock_set:
        sign = "+" if node.clock_ns > 0 else "-"
        line.append(f" clock {sign}{ms(abs(node.clock_ns))}", style="yellow")
    if node.parent is not None and not is_waited_for(node, node.parent):
        line.append(" async", style="dim")
    if 0 < node.span.delivery < len(deliveries):
        line.append(f" {told(deliveries[node.span.delivery])}", style="yellow")


def _style(node: Node) -> str:
    return " ".join(["bold" if node.path else "", "red" if node.span.failed else ""]).strip()


def _cut(text: str, cells: int | None) -> str:
    """Return the text, cut with a mark where it is longer than `cells`."""
    if cells is None or cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(0, cells - 1)).rstrip() + "…"
