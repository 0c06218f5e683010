"""Merge the fragments of one trace into what is delivered: once each span, stamped, cut to fit.

Fragments concatenated are the merged OTLP message: protobuf appends repeated fields. So a part has
the envelopes of its fragments one after the other; envelopes left without a span are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stream.otlp.fragment import SPAN_ID_BYTES, BadSpans, DeadLetterReason
from stream.otlp.frames import SPAN, Frame, frames, render
from stream.otlp.pack import pack
from stream.otlp.span import read_span
from stream.otlp.stamp import Stamp, stamp_span
from stream.otlp.wire import framed


@dataclass(slots=True)
class Merged:
    """A delivery of one trace.

    `parts` are `TracesData` messages of at most the limit's bytes; `spans` is how many spans they
    hold and `span_ids` their ids, 8 bytes each, joined, in order. `duplicates` spans were left out.
    `oversized` are spans that fit in no part, one each, with the bytes that came (not stamped);
    every span merged is in exactly one of the three counts.
    """

    parts: list[bytes]
    spans: int
    duplicates: int
    span_ids: bytes
    oversized: list[BadSpans]


def merge(bodies: Sequence[bytes], stamp: Stamp, limit: int, seen: bytes = b"") -> Merged:
    """Return the spans of one trace's fragments as parts of at most `limit` bytes.

    A span whose id came before, in these bodies or in `seen` (ids of 8 bytes, joined), is a
    duplicate: the first one stands. Raises Malformed: bodies are those of scanned fragments.
    """
    spans, duplicates = _first_spans(bodies, stamp, seen)
    parts, oversized = pack([(span.scope, span.stamped) for span in spans], limit)
    bad = [_too_large(spans[index]) for index in oversized]
    if oversized:
        left_out = set(oversized)
        spans = [span for index, span in enumerate(spans) if index not in left_out]
    ids = b"".join([span.span_id for span in spans])
    return Merged(parts, len(spans), duplicates, ids, bad)


class _Span(NamedTuple):
    span_id: bytes
    scope: Frame
    stamped: bytes  # as a field of the scope
    content: bytes  # as it came


def _first_spans(bodies: Sequence[bytes], stamp: Stamp, seen: bytes) -> tuple[list[_Span], int]:
    """Return the first span of each id, stamped, and how many duplicates there were."""
    attributes = stamp.attributes()
    taken = {seen[at : at + SPAN_ID_BYTES] for at in range(0, len(seen), SPAN_ID_BYTES)}
    spans = []
    duplicates = 0
    for body in bodies:
        for scope, found in frames(body):
            for _, start, end in found:
                _, span_id, is_root, *_ = read_span(body, start, end)
                if span_id in taken:
                    duplicates += 1
                    continue
                taken.add(span_id)
                content = body[start:end]
                stamped = stamp_span(content, stamp, attributes, root=is_root)
                spans.append(_Span(span_id, scope, framed(SPAN, stamped), content))
    return spans, duplicates


def _too_large(span: _Span) -> BadSpans:
    body = render([(span.scope, framed(SPAN, span.content))])
    return BadSpans(DeadLetterReason.SPAN_TOO_LARGE, 1, body)
