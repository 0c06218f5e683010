"""Merge the fragments of one trace into what is delivered: once each span, stamped, cut to fit.

Fragments concatenated are the merged OTLP message: protobuf appends repeated fields. So a part has
the envelopes of its fragments one after the other; envelopes left without a span are dropped.

Where the compiled core runs, it merges sane fragments; this is its twin, its oracle, and what
merges all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stream import compiled
from stream.otlp.decodable import Undecodable, is_decodable
from stream.otlp.fragment import SPAN_ID_BYTES, BadSpans, DeadLetterReason
from stream.otlp.frames import SPAN, Frame, Row, frames, render
from stream.otlp.pack import REPEATED_BYTES_MAX, pack, repeated_bytes
from stream.otlp.span import read_span
from stream.otlp.span_key import span_key
from stream.otlp.stamp import Stamp, stamp_span
from stream.otlp.wire import framed

if TYPE_CHECKING or compiled.RUNS:
    from stream.otlp import _merge


@dataclass(slots=True)
class Merged:
    """A delivery of one trace.

    `parts` are `TracesData` messages of at most the limit's bytes; `spans` is how many spans they
    hold and `span_ids` their keys (`span_key`), 8 bytes each, joined, in order. `duplicates` spans
    were left out.
    `bad` are spans that nobody could decode, and those that fit in no part: one each of these, but
    for neighbours whose envelopes would be repeated too often. They have the bytes that came (not
    stamped). Every span merged is in exactly one of the three counts.
    """

    parts: list[bytes]
    spans: int
    duplicates: int
    span_ids: bytes
    bad: list[BadSpans]


def merge(bodies: Sequence[bytes], stamp: Stamp, limit: int, seen: bytes = b"") -> Merged:
    """Return the spans of one trace's fragments as parts of at most `limit` bytes.

    A span whose key came before, in these bodies or in `seen` (keys of 8 bytes, joined), is a
    duplicate: the first one stands. Raises Malformed: bodies are those of scanned fragments.

    By the compiled core where it runs, and where it knows what to make of the fragments.
    """
    if compiled.RUNS:
        merged = _merge.merge(bodies, stamp, stamp.attributes(), limit, seen)
        if merged is not None:
            parts, spans, duplicates, ids = merged
            return Merged(parts, spans, duplicates, ids, [])
    return merge_in_python(bodies, stamp, limit, seen)


def merge_in_python(bodies: Sequence[bytes], stamp: Stamp, limit: int, seen: bytes = b"") -> Merged:
    """Return what `merge` returns, by the pure-Python twin."""
    spans, duplicates, bad = _first_spans(bodies, stamp, seen)
    parts, oversized = pack([(span.scope, span.stamped) for span in spans], limit)
    bad += [_too_large(group) for group in _apart([spans[index] for index in oversized])]
    if oversized:
        left_out = set(oversized)
        spans = [span for index, span in enumerate(spans) if index not in left_out]
    keys = b"".join([span.key for span in spans])
    return Merged(parts, len(spans), duplicates, keys, bad)


class _Span(NamedTuple):
    key: bytes
    scope: Frame
    stamped: bytes  # as a field of the scope
    content: bytes  # as it came


def _first_spans(
    bodies: Sequence[bytes], stamp: Stamp, seen: bytes
) -> tuple[list[_Span], int, list[BadSpans]]:
    """Return the first span of each key, stamped, how many duplicates there were, and bad spans."""
    attributes = stamp.attributes()
    taken = {seen[at : at + SPAN_ID_BYTES] for at in range(0, len(seen), SPAN_ID_BYTES)}
    spans = []
    duplicates = 0
    bad = []
    for body in bodies:
        undecodable = None if is_decodable(body) else Undecodable()
        rows: list[Row] = []
        for scope, found in frames(body):
            for field_start, start, end in found:
                if undecodable and undecodable(scope, body[field_start:end]):
                    rows.append((scope, body[field_start:end]))
                    continue
                _, span_id, is_root, *_, kind = read_span(body, start, end)
                key = span_key(span_id, kind)
                if key in taken:
                    duplicates += 1
                    continue
                taken.add(key)
                content = body[start:end]
                stamped = stamp_span(content, stamp, attributes, root=is_root)
                spans.append(_Span(key, scope, framed(SPAN, stamped), content))
        if rows:
            bad.append(BadSpans(DeadLetterReason.MALFORMED, len(rows), render(rows)))
    return spans, duplicates, bad


def _apart(spans: list[_Span]) -> list[list[_Span]]:
    """Return each span by itself; together with the one before it once that repeats too much."""
    groups: list[list[_Span]] = []
    repeated = 0
    for span in spans:
        more = repeated_bytes(groups[-1][-1].scope, span.scope) if groups else 0
        if more and repeated + more > REPEATED_BYTES_MAX:
            groups[-1].append(span)
        else:
            groups.append([span])
            repeated += more
    return groups


def _too_large(spans: list[_Span]) -> BadSpans:
    body = render([(span.scope, framed(SPAN, span.content)) for span in spans])
    return BadSpans(DeadLetterReason.SPAN_TOO_LARGE, len(spans), body)
