"""The compiled fold and plain Python do the same, whatever comes and whatever happens between."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from stream import compiled
from stream.otlp.fragment import Fragment
from stream.sampling.decision import Trigger, Verdict, decode_offsets
from stream.sampling.delivery import Delivery
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.matcher import Matcher, PrefixTook
from stream.sampling.pins import PinsBudget
from stream.sampling.policies.and_ import And
from stream.sampling.policies.completeness import Completeness
from stream.sampling.policies.composite import Composite
from stream.sampling.policies.evaluate import Policies
from stream.sampling.policies.latency import Latency
from stream.sampling.policies.leaf import Leaf
from stream.sampling.policies.policy import Policy
from stream.sampling.policies.probabilistic import Probabilistic
from stream.sampling.policies.rate_limiting import BytesLimiting, RateLimiting
from stream.sampling.policies.status_code import StatusCode
from stream.sampling.promotions import Found, SecondChance
from stream.sampling.record import NO_TIMESTAMP, Record
from stream.sampling.stores import KnownDecision
from stream.sampling.trace import OpenTrace, PureOpenTrace
from stream.testing.core import Core, Rules, a_bad_record, a_pin, a_record, a_tick, as_received
from stream.testing.spans import a_span, span_id_of, trace_id_of
from stream.worker.partition import Partition, PartitionPlan
from tests.simulation.watch import spans_held

WALL_MS = 260
TRACES = 6
WORDS = 3
HEADERS = [("tenant", b"a"), ("tenant", b"b"), ("region", b"x" * 40)]


@contextmanager
def pure() -> Iterator[None]:
    """Let plain Python do it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "RUNS", False)
        yield


@dataclass(frozen=True)
class Shape:
    """What the sampler of a run is like."""

    wait_ms: int
    after_root_ms: int
    spans_max: int
    bytes_max: int
    too_large_bytes: int
    open_max: int
    held_max: int
    bodies_spill: bool
    limited: bool
    strategy: str = ""
    late_errors: bool = False
    pins_max: int = 100

    def partition(self) -> Partition:
        limits = Limits(
            trace_spans_max=self.spans_max,
            trace_bytes_max=self.bytes_max,
            late_spans_max=5,
            trace_headers_max=2,
            trace_headers_bytes_max=64,
        )
        windows = Windows(
            decision_wait_ms=self.wait_ms,
            decision_wait_after_root_ms=self.after_root_ms,
            decision_retention_ms=100,
        )
        matcher = Matcher()
        chosen: list[Policy] = [
            StatusCode("errors", ["ERROR"], matcher),
            Latency("slow", 1_000),
            Probabilistic("rest", 30),
        ]
        if self.strategy == "looks back":
            chosen.append(Leaf("prefix", PrefixTook(0, 20), matcher))
            chosen.append(Completeness("complete", matcher, complete=True))
        if self.limited and self.strategy != "at ingest":
            chosen += [RateLimiting("rate", 60, 5), Composite("few", 9, [(chosen[1], 4)])]
            chosen[2] = And("some", [chosen[2], BytesLimiting("", 4_000, 900)])
        policies = Policies(
            chosen,
            maximum_trace_size_bytes=self.too_large_bytes,
            look_back=matcher.look_back(),
            at_ingest=self.strategy == "at ingest",
            custom_root=self.strategy == "custom root",
        )
        budget = OpenTracesBudget(
            self.open_max, bytes_max=self.held_max, bodies_spill=self.bodies_spill
        )
        core = Core(
            windows,
            limits,
            Rules(policies, matcher.plan()),
            second_chance=SecondChance(self.late_errors),
        )
        return core.partition(budget=budget, pins=PinsBudget(self.pins_max))


SHAPES = st.builds(
    Shape,
    wait_ms=st.sampled_from([5, 30, 90]),
    after_root_ms=st.sampled_from([0, 6]),
    spans_max=st.sampled_from([3, 4, 6, 1_000]),
    bytes_max=st.sampled_from([300, 1 << 20, 1 << 20, 1 << 20]),
    too_large_bytes=st.sampled_from([0, 0, 0, 250]),
    open_max=st.sampled_from([2, 1_000]),
    held_max=st.sampled_from([4_000, 1 << 30]),
    bodies_spill=st.booleans(),
    strategy=st.sampled_from(["", "", "", "looks back", "at ingest", "custom root"]),
    limited=st.sampled_from([False, False, True]),
    late_errors=st.booleans(),
    pins_max=st.sampled_from([2, 100]),
)


def spans_of(trace: int, first: int, count: int, *, root: bool, error: bool) -> list[Span]:
    return [
        a_span(
            trace_id=trace_id_of(trace),
            span_id=span_id_of(first + at),
            parent_span_id=b"" if root and not at else span_id_of(99),
            status=Status.STATUS_CODE_ERROR if error else 0,
        )
        for at in range(count)
    ]


PARTS = st.builds(
    spans_of,
    st.integers(0, TRACES - 1),
    st.integers(1, 9),
    st.integers(1, 4),
    root=st.booleans(),
    error=st.booleans(),
)
CONTENTS = st.one_of(
    PARTS.map(lambda part: [part]),
    PARTS.map(lambda part: [part]),
    st.lists(PARTS, max_size=3, unique_by=lambda part: part[0].trace_id),
    st.sampled_from(["bad", "tick"]),
    st.integers(0, TRACES - 1),
)
MOVES = st.sampled_from([-9, 0, 0, 1, 2, 3, 5, 12, 31, 90])
GAPS = st.sampled_from([0, 1, 1, 1, 3])
MORE = st.fixed_dictionaries(
    {
        "headers": st.sampled_from([(), (), (), HEADERS[:1], HEADERS]),
        "key": st.sampled_from([None, "id", "id"]),
        "bits": st.sampled_from([0, 0, 1 << 63, 1 << 64, 1 << 130]),
        "stamped": st.sampled_from([True, True, True, False]),
    }
)


def build(log: list[tuple[int, int, Any, dict[str, Any]]]) -> list[Record]:
    offset = time_ms = 100
    records = []
    for gap, move_ms, content, more in log:
        offset += gap
        time_ms += move_ms
        if content == "bad":
            records.append(a_bad_record(offset, time_ms))
        elif content == "tick":
            records.append(a_tick(offset, time_ms))
        elif isinstance(content, int):
            records.append(a_pin(offset, time_ms, content, ttl_ms=60 if content % 2 else 5))
        else:
            record = a_record(offset, time_ms, *content)
            record.headers = more["headers"]
            for fragment in record.fragments:
                fragment.bits |= more["bits"]
            if more["key"] and record.fragments:
                record.key = record.fragments[0].trace_id.hex().encode()
            if not more["stamped"]:
                record.timestamp_ms = NO_TIMESTAMP
            records.append(record)
    return [*records, a_tick(offset + 1, WALL_MS), a_tick(offset + 2, WALL_MS + 1)]


LOGS = st.lists(st.tuples(GAPS, MOVES, CONTENTS, MORE), max_size=40).map(build)


def sampled(upto: int) -> KnownDecision:
    return KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto, 90)


def not_sampled(upto: int) -> KnownDecision:
    return KnownDecision(Verdict.NOT_SAMPLED, "", Trigger.DECISION_WAIT, 0, upto, 90)


FATES = (sampled, not_sampled)


class Both:
    """Two partitions to which the same happens: one is compiled, the other plain Python.

    They know decisions, each (trace, offset it is done below), from before.
    """

    def __init__(self, shape: Shape, decided: Sequence[tuple[int, int]]) -> None:
        self.compiled = shape.partition()
        with pure():
            self.pure = shape.partition()
        self._plans: list[PartitionPlan] = []
        self._read: dict[int, Record] = {}
        known = [(trace_id_of(trace), FATES[trace % 2](upto)) for trace, upto in decided]
        self.do(lambda partition: partition._decisions.put(known))

    def do(self, act: Callable[[Partition], Any]) -> tuple[Any, Any]:
        """Do it to both, and compare what one can see of them."""
        done = act(self.compiled)
        with pure():
            expected = act(self.pure)
        ours, theirs = seen(self.compiled), seen(self.pure)
        for name, value in theirs.items():
            assert ours[name] == value, name
        return done, expected

    def fold(self, records: Sequence[Record], wall_ms: int | None) -> None:
        rows = as_received(records, words=WORDS)
        assert list(rows) == records
        self._read.update((record.offset, record) for record in records)
        self.do(
            lambda partition: partition.sampler.fold(
                rows if partition is self.compiled else records, wall_ms=wall_ms
            )
        )

    def plan(self) -> None:
        if not self._plans and not self.compiled.sampler.cuts_held:
            plans = self.do(lambda partition: partition.plan(count_max=2, bytes_max=1 << 30))
            assert plans[0].records == plans[1].records
            assert plans[0].metadata == plans[1].metadata
            self._plans = list(plans)

    def commit(self) -> None:
        if self._plans:
            ours, expected = self._plans
            for one in (*ours.settled, *expected.settled):
                if isinstance(one.delivered, Delivery):
                    # So that no outcome is always 0.
                    one.duplicates = one.delivered.decision.spans // 3
                    one.dead_lettered = one.delivered.decision.spans // 2
            self.do(
                lambda p: p.committed(ours if p is self.compiled else expected, decisions_end=None)
            )
            self._plans = []

    def abort(self) -> None:
        if self._plans:
            self.do(lambda partition: partition.aborted())
            self._plans = []

    def idle(self) -> None:
        sampler = self.compiled.sampler
        if not sampler.cuts_held:
            time_ms, position = sampler.time_ms, sampler.position
            self.do(lambda p: p.sampler.idle(wall_ms=time_ms + 530, position=position))

    def promote(self) -> None:
        """Read again what promotions want; without the first record, if there are several."""
        ours, expected = self.do(lambda partition: partition.sampler.wanted(2))
        assert ours == expected
        for one in ours:
            offsets = [] if isinstance(one.offsets, tuple) else decode_offsets(one.offsets)
            fragments = [
                (offset, fragment, self._read[offset].headers)
                for offset in offsets[len(offsets) > 1 :]
                for fragment in self._read[offset].fragments
                if fragment.trace_id == one.trace_id
            ]
            found = Found(one.trace_id, one.first_offset, fragments, partial=len(offsets) != 1)
            self.do(partial(give, found))

    def hold(self) -> None:
        if not self._plans:
            self.do(lambda partition: setattr(partition.sampler, "cuts_held", True))

    def learn(self) -> None:
        """As a restore does: decisions below the resume offset, then all of them are known."""
        if not self.compiled.sampler.cuts_held:
            return
        upto = self.compiled.sampler.resume()[0]
        decisions = [(trace_id_of(at), FATES[at % 2](upto)) for at in range(0, TRACES, 3)]
        self.do(lambda partition: partition.learn(decisions))
        self.do(lambda partition: setattr(partition.sampler, "cuts_held", False))


def give(found: Found, partition: Partition) -> bool:
    return partition.sampler.found(found)


def seen(partition: Partition) -> dict[str, Any]:
    sampler = partition.sampler
    opened = [
        (
            trace.trace_id, trace.first_offset, trace.opened_ms, trace.deadline_ms, trace.spans,
            trace.errors, trace.start_ns, trace.end_ns, trace.root, trace.bits, trace.body_bytes,
            trace.last_ms, trace.offsets, trace.headers, trace.held_bytes, trace.duration_us,
            trace.pin,
        )
        for trace in sampler._open.values()
    ]  # fmt: skip
    return {
        "accounts": asdict(sampler.accounts),
        "votes": dict(sampler.accounts.votes),
        "position": (sampler.position, sampler.time_ms, sampler.resume()),
        "open": opened,
        "bytes": (sampler.open_bytes, sampler.undelivered_bytes, sampler.decisions_bytes),
        "used": sampler._budget.used,
        "undelivered": sampler.undelivered,
        "dead_letters_upto": sampler.dead_letters_upto,
        "due": [at for at in range(0, 1_000, 7) if sampler.due_by(at)],
        "held": partition.held_bytes(),
        "bodies": partition._spans.held_bytes(),
        "spans": spans_held(sampler),
        "pins": dict(sampler._pins),
        "promotions": list(sampler._promotions.by_trace),
        "uncommitted": sorted(sampler._uncommitted),
        "known": [
            partition._decisions.get(trace_id_of(at)) for at in range(TRACES)
        ],
    }  # fmt: skip


STEPS: dict[str, Callable[[Both], None]] = {
    "plan": Both.plan,
    "commit": Both.commit,
    "abort": Both.abort,
    "idle": Both.idle,
    "hold": Both.hold,
    "learn": Both.learn,
    "promote": Both.promote,
}


@settings(max_examples=400)
@given(
    SHAPES,
    LOGS,
    st.lists(st.tuples(st.integers(0, TRACES - 1), st.integers(90, 120)), max_size=3),
    st.integers(1, 12),
    st.booleans(),
    st.lists(st.sampled_from([None, *STEPS]), max_size=60),
    st.booleans(),
)
def test_both_do_the_same_step_by_step(
    shape: Shape,
    records: list[Record],
    decided: list[tuple[int, int]],
    poll: int,
    clamped: bool,  # noqa: FBT001 - hypothesis gives it
    steps: list[str | None],
    held: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    both = Both(shape, decided)
    if held:
        both.hold()
    wall_ms = WALL_MS if clamped else None
    for at in range(0, len(records), poll):
        both.fold(records[at : at + poll], wall_ms)
        for name in (steps.pop() if steps else None, steps.pop() if steps else "plan"):
            if name:
                STEPS[name](both)
    both.learn()
    for at in range(0, len(records), poll):
        both.fold(records[at : at + poll], wall_ms)
    both.do(lambda partition: partition.release())


FRAGMENTS = st.builds(
    Fragment,
    trace_id=st.just(bytes(16)),
    spans=st.integers(0, 1 << 31),
    errors=st.integers(0, 1 << 31),
    start_ns=st.integers(0, (1 << 64) - 1),
    end_ns=st.integers(0, (1 << 64) - 1),
    root=st.booleans(),
    bits=st.integers(0, 1 << 200),
    body=st.binary(max_size=3),
)


@given(st.lists(FRAGMENTS, max_size=6))
def test_both_kinds_of_open_trace_sum_up_alike(fragments: list[Fragment]) -> None:
    ours, expected = OpenTrace(bytes(16), 1, 2, 3), PureOpenTrace(bytes(16), 1, 2, 3)
    for offset, fragment in enumerate(fragments):
        ours.fold(fragment, offset)
        expected.fold(fragment, offset)
    for name in (*PureOpenTrace.__slots__, "duration_us"):
        assert getattr(ours, name) == getattr(expected, name)
