"""A trace drawn for people: its spans as a tree, each with a bar where it lies in the trace."""

from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData
from rich.text import Text

from stream.printable import printable

BAR_CELLS = 20
EIGHTHS = " ▏▎▍▌▋▊▉█"
NS_PER_MS = 1_000_000
NAME_CELLS_MAX = 32


@dataclass(frozen=True, slots=True)
class _Row:
    branch: str
    span: Span
    service: str


def render_trace(value: bytes, title: Text) -> list[Text]:
    """Return the lines of a trace, from its OTLP `TracesData` bytes.

    The first line is `title` with the root's name and the trace's duration. A span whose parent is
    missing stands at the top, as the root does.

    Raises:
        google.protobuf.message.DecodeError: not a `TracesData`.
    """
    rows = list(_tree(_spans(value)))
    start_ns = min(row.span.start_time_unix_nano for row in rows)
    end_ns = max(row.span.end_time_unix_nano for row in rows)
    name_cells = max(len(_name(row)) for row in rows) + 1
    service_cells = max(len(row.service) for row in rows) + 1
    root = printable(rows[0].span.name)
    whole = title.copy().append(f"   {root} {_ms(end_ns - start_ns)}", style="bold")
    lines = [whole]
    for row in rows:
        span = row.span
        failed = span.status.code == Status.STATUS_CODE_ERROR
        line = Text().append(_name(row).ljust(name_cells), style="red" if failed else "")
        line.append(row.service.ljust(service_cells), style="cyan")
        line.append(_bar(span, start_ns, end_ns), style="red" if failed else "green")
        line.append(_ms(span.end_time_unix_nano - span.start_time_unix_nano).rjust(10))
        if failed:
            line.append(" ERROR", style="bold red")
        lines.append(line)
    return lines


def _spans(value: bytes) -> list[tuple[Span, str]]:
    """Return each span with its service's name; of several with one id, the first."""
    found: dict[bytes, tuple[Span, str]] = {}
    for resource_spans in TracesData.FromString(value).resource_spans:
        names = {each.key: each.value.string_value for each in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                service = printable(names.get("service.name", ""))
                found.setdefault(span.span_id, (span, service))
    return sorted(found.values(), key=lambda each: each[0].start_time_unix_nano)


def _tree(spans: list[tuple[Span, str]]) -> Iterator[_Row]:
    """Yield the rows from the top, each span once, however deep or circular the parents are."""
    known = {span.span_id for span, _ in spans}
    calls: dict[bytes, list[tuple[Span, str]]] = {}
    for span, service in spans:
        calls.setdefault(span.parent_span_id, []).append((span, service))
    shown: set[bytes] = set()
    top = [each for each in spans if each[0].parent_span_id not in known]
    # Spans that are each other's parents hang below no top: the earliest of them is made one.
    for span, service in [*top, *spans]:
        waiting = [("", "", span, service)]
        while waiting:
            branch, indent, span_, service_ = waiting.pop()
            if span_.span_id in shown:
                continue
            shown.add(span_.span_id)
            yield _Row(branch, span_, service_)
            called = calls.get(span_.span_id, [])
            waiting += [
                (indent + elbow, indent + line, *call)
                for call, (elbow, line) in zip(reversed(called), _branches(), strict=False)
            ]


def _branches() -> Iterator[tuple[str, str]]:
    """Yield what stands before the last call of a span, then before the others."""
    yield "└─ ", "   "
    while True:
        yield "├─ ", "│  "


def _name(row: _Row) -> str:
    name = printable(row.span.name)
    room = NAME_CELLS_MAX - len(row.branch)
    return row.branch + (name if len(name) <= room else name[: room - 1] + "…")


def _bar(span: Span, start_ns: int, end_ns: int) -> str:
    """Return `BAR_CELLS` cells; the bar starts at the nearest cell and ends at an eighth of one."""
    per_cell = max(1, end_ns - start_ns) / BAR_CELLS
    first = min(BAR_CELLS - 1, round((span.start_time_unix_nano - start_ns) / per_cell))
    last_eighth = round((span.end_time_unix_nano - start_ns) / per_cell * 8)
    eighths = max(1, last_eighth - first * 8)
    bar = EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    return (" " * first + bar).ljust(BAR_CELLS)


def _ms(duration_ns: int) -> str:
    return f"{round(duration_ns / NS_PER_MS):,} ms"
