"""The reference corpus: what keyed exporters send, one record a trace and service batch.

Made from a seed with the OTLP library's bytes, spliced: encoding every span as an object would take
longer than the runs it is for. A trace has 1 to 30 spans (15.5 on average) of 1 to 5 services, a
fragment each: 5.4 spans and 3.9 KB a record, 717 bytes a span with its share of the resource. The
fragments of a trace lie scattered among those of its 2,000 neighbours. Other shapes say where they
differ.
"""

import heapq
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.bench.templates import ATTRIBUTES, Service, services, trace_state
from tests.harness.load import partition_of
from tests.harness.topics import PARTITIONS

# Of the first seeds the one whose 200,000 spans come nearest to the reference in every figure.
SEED = 2
SPREAD_TRACES = 2_000
ERROR_SHARE = 0.03
SLOW_SHARE = 0.02
FIRST_MS = 1_750_000_000_000
MS = 1_000_000

# Tags of opentelemetry.proto.trace.v1.Span, each with the length of its fixed content.
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
_times = struct.Struct("<cQcQ").pack
_STATUS_UNSET, _STATUS_ERROR = b"\x7a\x00", b"\x7a\x02\x18\x02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a corpus is like. The defaults are the reference.

    `trace_spans`: least and most. `record_spans_max` cuts a service's batch into more records, 0
    leaves it whole. `spread_traces`: how many traces later a fragment may come.
    """

    name: str = "reference"
    trace_spans: tuple[int, int] = (1, 30)
    trace_services_max: int = 5
    record_spans_max: int = 0
    span_attributes: int = ATTRIBUTES
    spread_traces: int = SPREAD_TRACES
    spans_a_second: int = 20_000


REFERENCE = Shape()
SHAPES = {
    shape.name: shape
    for shape in (
        REFERENCE,
        Shape(name="single", record_spans_max=1),
        Shape(name="wide", span_attributes=60),
    )
}
"""The corpora of the comparison: `single` has a span a record, `wide` 60 attributes a span."""


@dataclass(frozen=True, slots=True)
class CorpusRecord:
    """A record of the input topic: `offset` is its place in `partition`."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    spans: int


@dataclass(frozen=True, slots=True)
class _Fragment:
    trace_id: bytes
    service: Service
    spans: list[bytes]


def corpus(
    spans: int, *, seed: int = SEED, shape: Shape = REFERENCE, partitions: int = PARTITIONS
) -> Iterator[CorpusRecord]:
    """Yield the records of about `spans` spans (whole traces) in the order of the log.

    Timestamps run at the shape's spans a second.
    """
    offsets: dict[int, int] = {}
    before = 0
    for fragment in _scattered(spans, Random(seed), shape):
        key = fragment.trace_id.hex().encode()
        partition = partition_of(key, partitions)
        offset = offsets.get(partition, 0)
        offsets[partition] = offset + 1
        value = fragment.service.record(fragment.spans)
        timestamp_ms = FIRST_MS + before * 1000 // shape.spans_a_second
        before += len(fragment.spans)
        yield CorpusRecord(partition, offset, timestamp_ms, key, value, len(fragment.spans))


def _scattered(spans: int, rng: Random, shape: Shape) -> Iterator[_Fragment]:
    """Yield all fragments, each up to `spread_traces` traces after its trace began."""
    known = services(rng, attributes=shape.span_attributes)
    waiting: list[tuple[float, int, _Fragment]] = []
    made = number = index = 0
    while made < spans:
        start_ns = FIRST_MS * MS + made * (1000 * MS // shape.spans_a_second)
        for fragment in _trace(rng, known, start_ns, shape):
            made += len(fragment.spans)
            number += 1
            place = index + rng.random() * shape.spread_traces
            heapq.heappush(waiting, (place, number, fragment))
        index += 1
        while waiting and waiting[0][0] < index:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def _trace(rng: Random, known: list[Service], start_ns: int, shape: Shape) -> list[_Fragment]:
    """Return a trace's fragments; the root span is in the first."""
    count = rng.randint(*shape.trace_spans)
    taking_part = rng.sample(known, min(count, rng.randint(1, shape.trace_services_max)))
    slow = rng.random() < SLOW_SHARE
    lasted_ns = rng.randrange(1_001 * MS, 5_000 * MS) if slow else rng.randrange(5 * MS, 950 * MS)
    failed = rng.randrange(count) if rng.random() < ERROR_SHARE else -1
    trace_id, root_id = rng.randbytes(16), rng.randbytes(8)
    state = trace_state(rng)
    fragments = [_Fragment(trace_id, service, []) for service in taking_part]
    for place in range(count):
        # Each service has a span at least; the others fall as they may.
        at = place if place < len(fragments) else rng.randrange(len(fragments))
        begins_ns, ends_ns = start_ns, start_ns + lasted_ns
        if place:
            begins_ns += rng.randrange(lasted_ns)
            ends_ns = rng.randrange(begins_ns, ends_ns)
        ids = _TRACE_ID + trace_id + _SPAN_ID + (rng.randbytes(8) if place else root_id)
        parent = _PARENT_ID + root_id if place else b""
        kind = rng.choice(fragments[at].service.kinds)
        status = _STATUS_ERROR if place == failed else _STATUS_UNSET
        times = _times(b"\x39", begins_ns, b"\x41", ends_ns)
        span = b"".join((ids, state, parent, kind.name, times, kind.rest, status))
        fragments[at].spans.append(span)
    return _cut(fragments, shape.record_spans_max)


def _cut(fragments: list[_Fragment], spans_max: int) -> list[_Fragment]:
    if not spans_max:
        return fragments
    return [
        _Fragment(whole.trace_id, whole.service, whole.spans[first : first + spans_max])
        for whole in fragments
        for first in range(0, len(whole.spans), spans_max)
    ]
