"""What must come out, worked out from the input topic alone, with the OTLP library.

The rules are DESIGN's: a trace is decided on its records below its cut; the cut is the first record
of the partition at or past the trace's deadline (its first record's time + decision_wait). Only
where the wall clock cut an idle partition is the cut taken from the decision record, for it is
written down nowhere else.
A pin in time keeps a trace that no policy wants; one that comes after the cut promotes it: all that
lies below the pin comes out at once, the rest is late. Pins here live longer than any test.
"""

import base64
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from tests.harness.reading import Stored
from tests.harness.spans import without_children

HASH_SEED = b"default-hash-seed"
HASHES = 1 << 64
THRESHOLDS = 1 << 56
PIN = "pin"
CONTROL_HEADER = "tailstream.control"
SIGNAL_HEADER = "otelcol.signal"


SpanName: TypeAlias = tuple[bytes, bool]
"""Of one trace's spans: the id, and whether it is a server's."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The policies, in their order: errors, slow, rest (probabilistic); and the wait."""

    decision_wait_ms: int
    slow_ms: int
    percentage: float

    def policy(self, trace_id: bytes, spans: Iterable[Span]) -> str | None:
        """Return the first policy that keeps the trace, None if none does."""
        spans = list(spans)
        if any(span.status.code == 2 for span in spans):
            return "errors"
        starts_ns = [span.start_time_unix_nano for span in spans if span.start_time_unix_nano]
        ends_ns = [span.end_time_unix_nano for span in spans]
        if starts_ns and (max(ends_ns) - min(starts_ns)) // 1_000_000 > self.slow_ms:
            return "slow"
        return "rest" if probably_kept(trace_id, self.percentage) else None

    def threshold(self, policy: str) -> int:
        """Return the 56-bit threshold that a trace kept by this policy carries, 0 for none."""
        if policy != "rest":
            return 0
        return THRESHOLDS - int(Fraction(self.percentage / 100) * THRESHOLDS + Fraction(1, 2))


def probably_kept(trace_id: bytes, percentage: float) -> bool:
    """Tell as the Collector does: FNV-1a 64 of seed and trace id, at most the threshold."""
    hashed = 0xCBF29CE484222325
    for byte in HASH_SEED + trace_id:
        hashed = (hashed ^ byte) * 0x100000001B3 % HASHES
    threshold = int(Fraction(HASHES - 1) * Fraction(percentage / 100))
    return hashed <= max(0, min(threshold, HASHES - 1))


@dataclass(frozen=True, slots=True)
class Placed:
    """A span as it lies in a record: its own bytes, and those of what it hangs below."""

    span: Span
    resource: bytes
    scope: bytes

    @property
    def name(self) -> SpanName:
        """What tells it from the others of its trace: a client and its server may share an id."""
        return self.span.span_id, self.span.kind == Span.SPAN_KIND_SERVER


@dataclass(slots=True)
class Expected:
    """What must become of one trace: the policy that keeps it, its cut offset (None: not yet cut),
    and if it is kept its spans by their names. `complete`: a root span came in time. `spans`: how
    many there are in all, whatever becomes of them, and `spans_in_time` of these. `promoted`: the
    offset of the pin that kept it after its cut; what came before that is `in_time`."""

    policy: str | None
    partition: int
    upto: int | None
    in_time: dict[SpanName, Placed] = field(default_factory=dict)
    late: dict[SpanName, Placed] = field(default_factory=dict)
    complete: bool = False
    spans: int = 0
    spans_in_time: int = 0
    promoted: int | None = None

    @property
    def trigger(self) -> str:
        """Why it came out as a whole."""
        if self.promoted is not None:
            return "promoted"
        return "pinned" if self.policy == PIN else "decision_wait"

    def policy_of(self, upto: int) -> str:
        """Return the policy that a decision record with this `upto` tells, "" for none."""
        first = self.promoted is None or upto > self.promoted
        return (self.policy or "") if first else ""


@dataclass(slots=True)
class Expectation:
    """All traces by id, and where each span goes: the accounting law's outcomes."""

    traces: dict[bytes, Expected] = field(default_factory=dict)
    accounts: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> dict[bytes, Expected]:
        return {trace_id: one for trace_id, one in self.traces.items() if one.policy}


def expect(records: list[Stored], rules: Rules, wall_cuts: Mapping[bytes, int]) -> Expectation:
    """Work out what must come of an input topic. `wall_cuts`: trace id -> recorded cut offset."""
    expectation = Expectation()
    for partition in {record.partition for record in records}:
        log = [record for record in records if record.partition == partition]
        _expect_partition(expectation, partition, log, rules, wall_cuts)
    return expectation


def _expect_partition(
    expectation: Expectation,
    partition: int,
    log: list[Stored],
    rules: Rules,
    wall_cuts: Mapping[bytes, int],
) -> None:
    times_ms = _partition_times(log)
    parts: dict[bytes, list[tuple[int, list[Placed]]]] = {}
    pins: dict[bytes, list[int]] = {}
    for index, record in enumerate(log):
        if CONTROL_HEADER in record.headers:
            pins.setdefault(bytes.fromhex(record.key.decode()), []).append(record.offset)
            continue
        if not is_of_traces(record):
            continue
        traces, dead_lettered = traces_of(record.value)
        expectation.accounts["dead_lettered"] += dead_lettered
        expectation.accounts["received"] += dead_lettered
        for trace_id, spans in traces.items():
            parts.setdefault(trace_id, []).append((index, spans))
            expectation.accounts["received"] += len(spans)
    for trace_id, fragments in parts.items():
        deadline_ms = times_ms[fragments[0][0]] + rules.decision_wait_ms
        cut = bisect_left(times_ms, deadline_ms)
        upto = log[cut].offset if cut < len(log) else None
        upto = wall_cuts.get(trace_id, upto)
        in_time = [spans for i, spans in fragments if upto is None or log[i].offset < upto]
        late = [spans for _, spans in fragments[len(in_time) :]]
        decided = [placed for spans in in_time for placed in spans]
        policy = rules.policy(trace_id, (placed.span for placed in decided))
        of_pins = pins.get(trace_id, ())
        if policy is None and any(upto is None or at < upto for at in of_pins):
            policy = PIN
        expected = Expected(policy, partition, upto)
        expected.spans = sum(len(spans) for _, spans in fragments)
        expected.spans_in_time = len(decided)
        expected.complete = any(not placed.span.parent_span_id for placed in decided)
        expectation.traces[trace_id] = expected
        _account(expectation.accounts, expected, decided, [p for spans in late for p in spans])
        if policy is None and of_pins:
            placed = [(log[i].offset, placed) for i, spans in fragments for placed in spans]
            _promote(expectation.accounts, expected, min(of_pins), placed)


def _account(
    accounts: Counter[str], expected: Expected, in_time: list[Placed], late: list[Placed]
) -> None:
    """Duplicates are known in a kept trace alone: nobody looks into a dropped one."""
    if expected.policy is None:
        accounts["not_sampled"] += len(in_time)
        accounts["late_not_sampled"] += len(late)
        return
    for placed in in_time:
        new = placed.name not in expected.in_time
        accounts["sampled" if new else "duplicate"] += 1
        expected.in_time.setdefault(placed.name, placed)
    for placed in late:
        new = placed.name not in expected.in_time.keys() | expected.late.keys()
        accounts["late_sampled" if new else "duplicate"] += 1
        if new:
            expected.late[placed.name] = placed


def _promote(
    accounts: Counter[str], expected: Expected, pin: int, spans: list[tuple[int, Placed]]
) -> None:
    """What was dropped comes out after all; it stays accounted for as it was."""
    expected.policy, expected.promoted = PIN, pin
    for offset, placed in spans:
        new = placed.name not in expected.in_time.keys() | expected.late.keys()
        if offset < pin:
            expected.in_time.setdefault(placed.name, placed)
            continue
        accounts["late_not_sampled"] -= 1
        accounts["late_sampled" if new else "duplicate"] += 1
        if new:
            expected.late[placed.name] = placed
    accounts["promoted"] += len(expected.in_time)


def _partition_times(log: list[Stored]) -> list[int]:
    """Return the partition time after each record: the highest timestamp so far."""
    times_ms: list[int] = []
    for record in log:
        times_ms.append(max(record.timestamp_ms, times_ms[-1] if times_ms else 0))
    return times_ms


def is_of_traces(record: Stored) -> bool:
    """Tell whether it says that it holds traces, or says nothing."""
    return record.headers.get(SIGNAL_HEADER, b"traces") == b"traces"


def traces_of(value: bytes) -> tuple[dict[bytes, list[Placed]], int]:
    """Return a record's spans by trace id, and how many are to be dead-lettered."""
    try:
        message = decode(value)
    except (DecodeError, ParseError, ValueError, RecursionError):
        return {}, 1
    traces: dict[bytes, list[Placed]] = {}
    dead_lettered = 0
    for placed in placed_spans(message):
        trace_id = placed.span.trace_id
        if len(trace_id) == 16 and any(trace_id):
            traces.setdefault(trace_id, []).append(placed)
        else:
            dead_lettered += 1
    return traces, dead_lettered


def decode(value: bytes) -> TracesData:
    """Decode protobuf, or JSON (first byte `{`)."""
    if value[:1] == b"{":
        message = TracesData()
        return ParseDict(_ids_from_hex(json.loads(value)), message)
    return TracesData.FromString(value)


def placed_spans(message: TracesData) -> Iterator[Placed]:
    for resource in message.resource_spans:
        resource_bytes = without_children(resource, "scope_spans")
        for scope in resource.scope_spans:
            scope_bytes = without_children(scope, "spans")
            for span in scope.spans:
                yield Placed(span, resource_bytes, scope_bytes)


def _ids_from_hex(tree: Any) -> Any:
    """Turn OTLP/JSON's hex ids into what protobuf's own JSON reads."""
    if isinstance(tree, list):
        return [_ids_from_hex(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    ids = ("traceId", "spanId", "parentSpanId")
    return {
        name: base64.b64encode(bytes.fromhex(part)).decode() if name in ids else _ids_from_hex(part)
        for name, part in tree.items()
    }
