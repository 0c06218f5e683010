"""The envelopes around a record's spans, so that spans can be put together anew without decoding.

A record is `TracesData` > `ResourceSpans` > `ScopeSpans` > span. A `Frame` is one envelope of the
upper three: every field of it but the next level, as the bytes that came.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final, TypeAlias

from stream.otlp.wire import LENGTH, children, framed

RESOURCE_SPANS: Final = 1 << 3 | LENGTH
SCOPE_SPANS: Final = 2 << 3 | LENGTH
SPAN: Final = 2 << 3 | LENGTH


@dataclass(slots=True, eq=False)
class Frame:
    """One envelope: its fields before its first child, those after it, and its own envelope.

    The fields keep their bytes and their order; this holds schema_urls and unknown fields too.
    The outermost frame is the record: its parent is None and it has no tag of its own.
    """

    parent: "Frame | None"
    tag: int
    head: bytes
    tail: bytes

    @property
    def own_bytes(self) -> int:
        """The size of the frame's own fields."""
        return len(self.head) + len(self.tail)

    def around(self, content: bytes) -> bytes:
        """Return the frame with these children in it."""
        whole = b"%b%b%b" % (self.head, content, self.tail)
        return framed(self.tag, whole) if self.parent else whole


# The `ScopeSpans` frame that a span lies in, and the span as a field of it: tag, length, content.
Row: TypeAlias = tuple[Frame, bytes]


def frames(record: bytes) -> Iterator[tuple[Frame, list[tuple[int, int, int]]]]:
    """Yield each `ScopeSpans` with (field start, content start, content end) of its spans.

    Raises Malformed.
    """
    whole, resources = _frame(record, None, 0, (0, 0, len(record)), RESOURCE_SPANS)
    for at_resource in resources:
        resource, scopes = _frame(record, whole, RESOURCE_SPANS, at_resource, SCOPE_SPANS)
        for at_scope in scopes:
            yield _frame(record, resource, SCOPE_SPANS, at_scope, SPAN)


def render(rows: Iterable[Row]) -> bytes:
    """Return the record that holds these spans; neighbours of one frame share it."""
    for _ in ("scopes", "resources", "records"):
        rows = [
            (frame.parent or frame, frame.around(b"".join([field for _, field in group])))
            for frame, group in groupby(rows, itemgetter(0))
        ]
    return b"".join([field for _, field in rows])


def _frame(
    record: bytes, parent: Frame | None, tag: int, at: tuple[int, int, int], child_tag: int
) -> tuple[Frame, list[tuple[int, int, int]]]:
    _, start, end = at
    found = children(record, start, end, child_tag)
    if not found:
        return Frame(parent, tag, record[start:end], b""), found
    between = [record[before[2] : after[0]] for before, after in pairwise(found)]
    tail = b"".join(between) + record[found[-1][2] : end]
    return Frame(parent, tag, record[start : found[0][0]], tail), found
