"""A load that has in it whatever a field could lose: made fast, from a seed, with the OTLP library.

Not the demo's generator: what checks the product shares nothing with it.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
    TracesData,
)

from tests.harness.spans import resource_templates, scope_templates, span_templates
from tests.harness.topics import PARTITIONS

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000

MALFORMED = (
    b"\x0a\xff\xff\xff\xff\x7fnot OTLP at all",  # a length beyond the record's end
    b"\x0a\x02\x12",  # ends within a field
    b'{"resourceSpans": [',  # JSON that ends too early
    b"plain text",
)


@dataclass(frozen=True, slots=True)
class Planned:
    """A record, and when to send it: seconds after the load's start.

    `topic`: where to, empty: where the load goes.
    """

    at_s: float
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """About `spans` spans over `duration_s`, in traces of 1 to 60 spans and 1 to 4 records each.

    `spans_a_trace` is about the mean.

    Among the traces: errors, slow ones and ones just not slow; some have a call whose client and
    server share an id. Some records come twice, soon or late; some last fragments come after the
    decision (`late_after_s` and more); some records are JSON, hold two traces, or cannot be
    decoded.
    """

    spans: int
    duration_s: float
    late_after_s: float
    seed: int = 1
    spans_a_trace: int = 9

    def records(self) -> list[Planned]:
        """Return the records in the order of sending."""
        rng = Random(self.seed)
        sketches = _Sketches(rng, Random(f"halves of {self.seed}"), self.spans_a_trace)
        planned: list[Planned] = []
        made = 0
        while made < self.spans:
            at_s = made / self.spans * self.duration_s
            trace_id = rng.randbytes(16)
            spans = sketches.spans(trace_id, at_s)
            made += len(spans)
            planned += self._sendings(rng, sketches, trace_id, spans, at_s)
        for index, garbage in enumerate(MALFORMED * 5):
            at_s = self.duration_s * rng.random()
            planned.append(Planned(at_s, b"%032x" % index, garbage))
        return sorted(planned, key=lambda record: record.at_s)

    def _sendings(
        self, rng: Random, sketches: "_Sketches", trace_id: bytes, spans: list[Span], at_s: float
    ) -> Iterator[Planned]:
        key = trace_id.hex().encode()
        fragments = _cut(rng, spans, pieces=rng.choice((1, 1, 1, 2, 2, 3, 4)))
        late = len(fragments) > 1 and rng.random() < 0.02
        for fragment in fragments:
            chance = rng.random()
            message = sketches.message(fragment)
            if 0.4 < chance < 0.405:  # another trace in the record
                guest_id = _id_in_partition_of(key, rng)
                guest = sketches.message(sketches.spans(guest_id, at_s))
                message.resource_spans.extend(guest.resource_spans)
            elif chance < 0.005:  # a span without an id to go by
                stray = message.resource_spans[0].scope_spans[0].spans.add()
                stray.CopyFrom(fragment[0])
                stray.trace_id = bytes(16)
            value = _json(message) if 0.1 < chance < 0.12 else message.SerializeToString()
            sent_s = at_s + rng.random() * 0.3
            if late and fragment is fragments[-1]:
                sent_s += self.late_after_s + rng.random()
            yield Planned(sent_s, key, value)
            if 0.2 < chance < 0.21:
                yield Planned(sent_s + 0.1, key, value)
            elif 0.3 < chance < 0.303:
                yield Planned(sent_s + self.late_after_s + rng.random(), key, value)


class _Sketches:
    """Templates, and what is made of them."""

    def __init__(self, rng: Random, halves: Random, spans_a_trace: int) -> None:
        self._rng = rng
        self._halves = halves
        self._spans_a_trace = spans_a_trace
        self._spans = span_templates()
        self._resources = resource_templates()
        self._scopes = scope_templates()

    def spans(self, trace_id: bytes, at_s: float) -> list[Span]:
        """Return a trace's spans, the root first."""
        rng = self._rng
        count = min(60, 1 + int(rng.expovariate(1 / (self._spans_a_trace - 1))))
        start_ns = START_NS + int(at_s * 1e9)
        lasted_ns = _duration_ns(rng)
        root_id = rng.randbytes(8)
        spans = [self._span(trace_id, root_id, b"", start_ns, start_ns + lasted_ns)]
        for _ in range(count - 1):
            begins_ns = start_ns + int(lasted_ns * rng.random())
            ends_ns = begins_ns + int((start_ns + lasted_ns - begins_ns) * rng.random())
            spans.append(self._span(trace_id, rng.randbytes(8), root_id, begins_ns, ends_ns))
        if rng.random() < 0.02:
            spans[rng.randrange(count)].status.code = Status.STATUS_CODE_ERROR
        if count > 3 and rng.random() < 0.01:  # a span that does not say when
            spans[-1].ClearField("start_time_unix_nano")
            spans[-1].ClearField("end_time_unix_nano")
        if count > 1 and self._halves.random() < 0.05:
            spans.append(self._server_of(self._halves.choice(spans[1:])))
        return spans

    def message(self, spans: list[Span]) -> TracesData:
        """Return a record's spans under one or two resources and scopes."""
        message = TracesData()
        for part in _cut(self._rng, spans, pieces=self._rng.choice((1, 1, 2))):
            resource: ResourceSpans = message.resource_spans.add()
            resource.CopyFrom(self._rng.choice(self._resources))
            for inner in _cut(self._rng, part, pieces=self._rng.choice((1, 1, 2))):
                scope: ScopeSpans = resource.scope_spans.add()
                scope.CopyFrom(self._rng.choice(self._scopes))
                scope.spans.extend(inner)
        return message

    def _server_of(self, client: Span) -> Span:
        """Make a span a client's; return the server's, with the same id."""
        client.kind = Span.SPAN_KIND_CLIENT
        server = Span()
        server.CopyFrom(client)
        server.kind, server.name = Span.SPAN_KIND_SERVER, f"{client.name} served"
        return server

    def _span(
        self, trace_id: bytes, span_id: bytes, parent_id: bytes, start_ns: int, end_ns: int
    ) -> Span:
        span = Span()
        span.CopyFrom(self._rng.choice(self._spans))
        span.trace_id = trace_id
        span.span_id = span_id
        span.parent_span_id = parent_id
        span.start_time_unix_nano = start_ns
        span.end_time_unix_nano = end_ns
        return span


def _duration_ns(rng: Random) -> int:
    """Return how long a trace took: around the policy's 1000 ms as often as far from it."""
    chance = rng.random()
    if chance < 0.01:
        return rng.randrange(1001 * MS, 5000 * MS)
    if chance < 0.02:
        return rng.choice((1000 * MS, 1001 * MS - 1, 1001 * MS))
    return rng.randrange(1 * MS, 1000 * MS)


def _cut(rng: Random, spans: list[Span], *, pieces: int) -> list[list[Span]]:
    edges = sorted({0, *(rng.randrange(len(spans)) for _ in range(pieces - 1)), len(spans)})
    return [spans[start:end] for start, end in pairwise(edges)]


def _id_in_partition_of(key: bytes, rng: Random) -> bytes:
    """Return a new trace id for the partition of `key`: nobody may have misrouted it."""
    while True:
        trace_id = rng.randbytes(16)
        if partition_of(trace_id.hex().encode()) == partition_of(key):
            return trace_id


def partition_of(key: bytes, partitions: int = PARTITIONS) -> int:
    """Return a key's partition as Sarama has it: |int32(FNV-1a 32)| % partitions."""
    hashed = 0x811C9DC5
    for byte in key:
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    signed = hashed - (hashed >> 31 << 32)
    return abs(signed) % partitions


def _json(message: TracesData) -> bytes:
    """Return OTLP/JSON: protobuf's JSON with ids in hex and enums as numbers."""
    tree = MessageToDict(message, use_integers_for_enums=True)
    for resource in tree["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                _ids_to_hex(span)
                for link in span.get("links", []):
                    _ids_to_hex(link)
    return json.dumps(tree).encode()


def _ids_to_hex(tree: dict[str, Any]) -> None:
    for name in ("traceId", "spanId", "parentSpanId"):
        if name in tree:
            tree[name] = base64.b64decode(tree[name]).hex()
