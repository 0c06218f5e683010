"""Scan a record once: ids, counts, time bounds, matched conditions. Never decodes a span.

Where the compiled core runs, it scans the plain record; this is its twin, its oracle, and what
scans every other record.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream import compiled
from stream.otlp.attributes import AttributeTests
from stream.otlp.fragment import SPAN_ID_BYTES, BadSpans, DeadLetterReason, Fragment, Scanned
from stream.otlp.frames import RESOURCE_SPANS, SCOPE_SPANS, SPAN
from stream.otlp.otlp_json import is_empty_object, to_protobuf
from stream.otlp.span import STATUS_ERROR, read_span
from stream.otlp.split import NO_SPAN_ID, invalid_id, split
from stream.otlp.wire import CHILDREN_MAX, Malformed, TooLarge, children

if TYPE_CHECKING or compiled.RUNS:
    from stream.otlp._scan import Scanner


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """The leaf conditions to look for, compiled: a bit for each.

    `status_bits[code]` is or-ed into the fragment's bits for a span with that status code
    (0 unset, 1 ok, 2 error; a code that OTLP does not define counts as unset). `attributes` are
    the tests of span and resource attributes; with None every attribute is skipped by its length.
    `conditions` returns the bits of those that look into whole spans (OTTL); it is asked once for
    each fragment's record, after the scan has found it whole, and raises Malformed. `scanner` is
    the plan in C, None where the compiled core does not run.
    """

    status_bits: tuple[int, int, int] = (0, 0, 0)
    attributes: AttributeTests | None = None
    conditions: Callable[[bytes], int] | None = None
    scanner: "Scanner | None" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scanner = Scanner(self) if compiled.RUNS else None
        object.__setattr__(self, "scanner", scanner)  # the class is frozen for everybody else


def scan(value: bytes, plan: ScanPlan) -> Scanned:
    """Return the traces of one record, and what of it cannot be sampled. Never raises.

    By the compiled core where it runs, and where it knows what to make of the record.
    """
    if plan.scanner is not None:
        scanned = plan.scanner.scan(value)
        if scanned is not None:
            return scanned
    return scan_in_python(value, plan)


def scan_in_python(value: bytes, plan: ScanPlan) -> Scanned:
    """Return what `scan` returns, by the pure-Python twin.

    `value` is OTLP `TracesData` protobuf, or OTLP/JSON if it begins with `{`. Where all spans are
    of one trace, the fragment's body is `value` itself. A record that holds no span is legal and
    gives nothing, unless it is altogether empty; one that cannot be decoded counts as one span, and
    so does one of more than `CHILDREN_MAX` spans.
    """
    record = value
    try:
        if value[:1] == b"{":
            record = to_protobuf(value)
        if not record and (not value or is_empty_object(value)):
            return _bad(DeadLetterReason.EMPTY, value)
        return _scan_protobuf(record, plan)
    except TooLarge:
        return _bad(DeadLetterReason.RECORD_TOO_LARGE, value)
    except Malformed:
        return _bad(DeadLetterReason.MALFORMED, value)


def _bad(reason: DeadLetterReason, value: bytes) -> Scanned:
    return Scanned([], [BadSpans(reason, 1, value)])


def _scan_protobuf(record: bytes, plan: ScanPlan) -> Scanned:
    fragment = _fragment(record, plan)
    if fragment is not None:
        return Scanned([fragment] if fragment.spans else [], [])
    bodies, bad = split(record)
    fragments = [_fragment(body, plan) for _, body in bodies]
    return Scanned([each for each in fragments if each is not None], bad)


def _fragment(record: bytes, plan: ScanPlan) -> Fragment | None:
    """Return the record as one fragment; None if it must be split, for its traces or its ids."""
    status_bits = plan.status_bits
    attributes = plan.attributes
    first_id = b""
    spans = errors = start_ns = end_ns = 0
    root = False
    found, bits = _spans(record, attributes)
    for _, start, end in found:
        trace_id, span_id, is_root, starts_ns, ends_ns, status, met, _ = read_span(
            record, start, end, attributes
        )
        if not spans:
            first_id = trace_id
            if invalid_id(trace_id, span_id):
                return None
        elif trace_id != first_id or len(span_id) != SPAN_ID_BYTES or span_id == NO_SPAN_ID:
            return None
        spans += 1
        bits |= status_bits[status] | met
        if status == STATUS_ERROR:
            errors += 1
        if is_root:
            root = True
        if starts_ns and (starts_ns < start_ns or not start_ns):
            start_ns = starts_ns
        if ends_ns > end_ns:  # noqa: PLR1730  # a call of max() costs more than the branch
            end_ns = ends_ns
    if plan.conditions is not None and spans:
        bits |= plan.conditions(record)
    return Fragment(first_id, spans, errors, start_ns, end_ns, root, bits, record)


def _spans(
    record: bytes, attributes: AttributeTests | None
) -> tuple[list[tuple[int, int, int]], int]:
    """Return the span fields of a record, as `children` does, and the bits of their resources."""
    found: list[tuple[int, int, int]] = []
    bits = 0
    for _, resource_start, resource_end in children(record, 0, len(record), RESOURCE_SPANS):
        before = len(found)
        for _, start, end in children(record, resource_start, resource_end, SCOPE_SPANS):
            found += children(record, start, end, SPAN)
            if len(found) > CHILDREN_MAX:
                raise TooLarge(f"more than {CHILDREN_MAX} spans")
        if attributes and len(found) > before:  # a resource without a span belongs to no trace
            bits |= attributes.resource_bits(record, resource_start, resource_end)
    return found, bits
