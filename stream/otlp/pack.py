"""Pack spans into as few records as their order allows, none above a limit."""

from collections.abc import Sequence
from typing import Final

from stream.otlp.frames import Frame, Row, render
from stream.otlp.wire import framed_bytes

REPEATED_BYTES_MAX: Final = 1024 * 1024
"""Envelopes may be repeated by so much more than the size of the trace. A thousand small spans
below a resource that almost fills a record would be a thousand full records."""


def pack(rows: Sequence[Row], limit: int) -> tuple[list[bytes], list[int]]:
    """Return (records of at most `limit` bytes, indexes of the rows that fit in none).

    Rows keep their order. Each record repeats the envelopes of the spans that it holds; a row that
    would repeat them beyond `REPEATED_BYTES_MAX` above the size of all rows fits in none, either.
    """
    whole = render(rows)
    if len(whole) <= limit:
        return [whole] if rows else [], []
    repeatable = REPEATED_BYTES_MAX + len(whole)
    parts: list[bytes] = []
    oversized: list[int] = []
    part = _Part()
    for index, row in enumerate(rows):
        if part.bytes_with(row) > limit:
            alone = _Part()
            repeated = repeated_bytes(rows[index - 1][0], row[0]) if index else 0
            if alone.bytes_with(row) > limit or repeated > repeatable:
                oversized.append(index)
                continue
            repeatable -= repeated
            parts.append(render(part.rows))
            part = alone
        part.add(row)
    if part.rows:
        parts.append(render(part.rows))
    return parts, oversized


def repeated_bytes(before: Frame, frame: Frame) -> int:
    """Return the size of the envelopes that two spans share, the scopes of which these are."""
    return sum(
        mine.own_bytes
        for mine, others in zip(
            (frame, *_envelopes(frame)), (before, *_envelopes(before)), strict=True
        )
        if mine is others
    )


class _Part:
    """The rows of one record, and its exact size as envelopes open and close around them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._scope: Frame | None = None
        # Bytes of the record, of its open resource and of that one's open scope, each without the
        # next: that one's length, and so its size as a field, is not known before it is closed.
        self._sizes = (0, 0, 0)

    def bytes_with(self, row: Row) -> int:
        """Return the size of the record if this row were added."""
        return _closed(self._grown(row))

    def add(self, row: Row) -> None:
        """Add a row at the end."""
        self._sizes = self._grown(row)
        self._scope = row[0]
        self.rows.append(row)

    def _grown(self, row: Row) -> tuple[int, int, int]:
        frame, field = row
        record_bytes, resource_bytes, scope_bytes = self._sizes
        if frame is self._scope:
            return record_bytes, resource_bytes, scope_bytes + len(field)
        own_bytes = frame.own_bytes + len(field)
        resource, record = _envelopes(frame)
        if self._scope is None:
            return record.own_bytes, resource.own_bytes, own_bytes
        open_resource, open_record = _envelopes(self._scope)
        resource_bytes += framed_bytes(scope_bytes)
        if resource is open_resource:
            return record_bytes, resource_bytes, own_bytes
        record_bytes += framed_bytes(resource_bytes)
        if record is not open_record:
            record_bytes += record.own_bytes
        return record_bytes, resource.own_bytes, own_bytes


def _envelopes(scope: Frame) -> tuple[Frame, Frame]:
    resource = scope.parent
    assert resource is not None, "a row lies in a scope"
    record = resource.parent
    assert record is not None, "a scope lies in a resource in a record"
    return resource, record


def _closed(sizes: tuple[int, int, int]) -> int:
    record_bytes, resource_bytes, scope_bytes = sizes
    return record_bytes + framed_bytes(resource_bytes + framed_bytes(scope_bytes))
