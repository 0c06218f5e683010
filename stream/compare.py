"""Which traces two kept topics have in common, and whether with the same spans. No I/O.

The two samplers write a trace at different times: whoever waits longer writes it later. So a trace
is compared only if every record of it, in either topic, lies within the time that both topics
cover, and at least an edge away from its ends. The edge must be longer than the two samplers are
apart: then a trace that one has within, the other would have shown.
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from stream.otlp.fragment import SPAN_ID_BYTES
from stream.otlp.frames import frames
from stream.otlp.otlp_json import to_protobuf
from stream.otlp.span import read_span
from stream.otlp.span_key import span_key
from stream.otlp.split import invalid_id
from stream.otlp.wire import Malformed

SPANS_MAX: Final = 5_000_000
"""Span keys held at once, of both topics: 8 bytes each, and about 400 bytes a trace."""

EXAMPLES_MAX: Final = 10
_HALVINGS_MAX: Final = 32

Example = TypeVar("Example")


@dataclass(slots=True)
class KeptTrace:
    """What one topic holds of one trace. `span_keys` are joined, as often as they came."""

    first_ms: int
    last_ms: int
    policy: str
    span_keys: bytearray

    def unique(self) -> set[bytes]:
        """Return the keys of its spans."""
        keys = bytes(self.span_keys)
        return {keys[at : at + SPAN_ID_BYTES] for at in range(0, len(keys), SPAN_ID_BYTES)}


@dataclass(slots=True)
class Side:
    """One topic: its traces by id, the times of its first and last record (Unix ms), in numbers."""

    traces: dict[bytes, KeptTrace] = field(default_factory=dict)
    times_ms: tuple[int, int] | None = None
    records: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """A trace that both have: how many spans only one of them has."""

    trace_id: str
    policy: str
    only_ours: int
    only_other: int


@dataclass(slots=True)
class Comparison:
    """What was found. The counters count traces by policy, ours; examples are trace ids.

    `window_ms` is the time within which traces were compared (first, last; Unix ms), None where the
    topics have none in common. `one_of`: so many traces share one that was compared; 1 is all.
    `twice_*` are spans that a topic has more than once; that is told, and is no difference.
    """

    window_ms: tuple[int, int] | None = None
    one_of: int = 1
    at_the_edges: int = 0
    same: Counter[str] = field(default_factory=Counter)
    only_ours: Counter[str] = field(default_factory=Counter)
    only_other: int = 0
    differing: Counter[str] = field(default_factory=Counter)
    twice_ours: int = 0
    twice_other: int = 0
    only_ours_examples: list[tuple[str, str]] = field(default_factory=list)
    only_other_examples: list[str] = field(default_factory=list)
    differing_examples: list[Difference] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """Return how many traces were compared."""
        return self.same.total() + self.different

    @property
    def different(self) -> int:
        """Return how many of them are not the same in both."""
        return self.only_ours.total() + self.only_other + self.differing.total()


class TwoTopics:
    """Takes the records of both topics, in any order, in bounded memory.

    Above `spans_max` span keys it holds half of the traces that it held, chosen by trace id, so the
    same in both topics; again, where that is not enough.
    """

    def __init__(self, spans_max: int = SPANS_MAX) -> None:
        self.ours = Side()
        self.other = Side()
        self._spans_max = spans_max
        self._spans = 0
        self._halvings = 0

    def take(self, side: Side, value: bytes, time_ms: int, policy: str = "") -> None:
        """Take a record: OTLP protobuf or JSON. What is neither is counted as unreadable."""
        side.records += 1
        first_ms, last_ms = side.times_ms or (time_ms, time_ms)
        side.times_ms = min(first_ms, time_ms), max(last_ms, time_ms)
        try:
            spans = list(_span_keys(value))
        except Malformed:
            side.unreadable += 1
            return
        for trace_id, key in spans:
            if self._is_held(trace_id):
                self._hold(side, trace_id, key, time_ms, policy)
        while self._spans > self._spans_max and self._halvings < _HALVINGS_MAX:
            self._halve()

    def compare(self, edge_ms: int) -> Comparison:
        """Return what the two have in common, but for traces at the ends of the window."""
        found = Comparison(self._window(edge_ms), one_of=1 << self._halvings)
        for trace_id in sorted({*self.ours.traces, *self.other.traces}):
            ours, other = self.ours.traces.get(trace_id), self.other.traces.get(trace_id)
            if found.window_ms is None or not all(
                _lies_within(each, found.window_ms) for each in (ours, other) if each
            ):
                found.at_the_edges += 1
            else:
                _count(found, trace_id.hex(), ours, other)
        return found

    def _window(self, edge_ms: int) -> tuple[int, int] | None:
        ours, other = self.ours.times_ms, self.other.times_ms
        if ours is None or other is None:
            return None
        first_ms, last_ms = max(ours[0], other[0]) + edge_ms, min(ours[1], other[1]) - edge_ms
        return (first_ms, last_ms) if first_ms <= last_ms else None

    def _hold(self, side: Side, trace_id: bytes, key: bytes, time_ms: int, policy: str) -> None:
        trace = side.traces.get(trace_id)
        if trace is None:
            trace = side.traces[trace_id] = KeptTrace(time_ms, time_ms, policy, bytearray())
        trace.first_ms = min(trace.first_ms, time_ms)
        trace.last_ms = max(trace.last_ms, time_ms)
        trace.span_keys += key
        self._spans += 1

    def _is_held(self, trace_id: bytes) -> bool:
        # Not the id's own bits: a sampler may have chosen by them.
        return zlib.crc32(trace_id) & ((1 << self._halvings) - 1) == 0

    def _halve(self) -> None:
        self._halvings += 1
        self._spans = 0
        for side in (self.ours, self.other):
            side.traces = {id_: each for id_, each in side.traces.items() if self._is_held(id_)}
            self._spans += sum(
                len(each.span_keys) // SPAN_ID_BYTES for each in side.traces.values()
            )


def _span_keys(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    record = to_protobuf(value) if value[:1] == b"{" else value
    for _, spans in frames(record):
        for _, start, end in spans:
            trace_id, span_id, *_, kind = read_span(record, start, end)
            if invalid_id(trace_id, span_id) is None:
                yield trace_id, span_key(span_id, kind)


def _lies_within(trace: KeptTrace, window_ms: tuple[int, int]) -> bool:
    return window_ms[0] <= trace.first_ms and trace.last_ms <= window_ms[1]


def _count(
    found: Comparison, trace_id: str, ours: KeptTrace | None, other: KeptTrace | None
) -> None:
    if ours is None:
        found.only_other += 1
        _example(found.only_other_examples, trace_id)
        return
    if other is None:
        found.only_ours[ours.policy] += 1
        _example(found.only_ours_examples, (trace_id, ours.policy))
        return
    here, there = ours.unique(), other.unique()
    found.twice_ours += len(ours.span_keys) // SPAN_ID_BYTES - len(here)
    found.twice_other += len(other.span_keys) // SPAN_ID_BYTES - len(there)
    if here == there:
        found.same[ours.policy] += 1
        return
    found.differing[ours.policy] += 1
    missing = Difference(trace_id, ours.policy, len(here - there), len(there - here))
    _example(found.differing_examples, missing)


def _example(examples: list[Example], one: Example) -> None:
    if len(examples) < EXAMPLES_MAX:
        examples.append(one)
