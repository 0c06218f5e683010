"""Law 5: a verdict is a function of the log. And law 1, after every step."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from stream.sampling.decision import Decision, Trigger, decode
from stream.sampling.delivery import DeadLetter, Settled
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.record import Record
from stream.sampling.tail_sampler import TailSampler
from stream.testing.core import Core, a_bad_record, a_record, a_tick
from stream.testing.spans import a_span, span_id_of, trace_id_of
from stream.worker.partition import Partition
from tests.simulation.watch import spans_held

POLL_SIZES = (1, 10, 1_000)
WALL_MS = 260  # records stamped above are clamped
CORE = Core(
    Windows(decision_wait_ms=30, decision_wait_after_root_ms=6, decision_retention_ms=10_000),
    Limits(trace_spans_max=7),
)


@dataclass(frozen=True)
class Fragment:
    trace: int
    first_span: int
    spans: int
    root: bool
    error: bool

    def build(self) -> list[Span]:
        return [
            a_span(
                trace_id=trace_id_of(self.trace),
                span_id=span_id_of(self.first_span + i),
                parent_span_id=b"" if self.root and not i else span_id_of(99),
                status=Status.STATUS_CODE_ERROR if self.error else 0,
            )
            for i in range(self.spans)
        ]


FRAGMENTS = st.builds(
    Fragment,
    trace=st.integers(0, 5),
    first_span=st.integers(1, 9),
    spans=st.integers(1, 4),
    root=st.booleans(),
    error=st.booleans(),
)
# How far the producers' clocks move: back, hardly, on, past a deadline, ahead of the wall clock.
MOVES = st.sampled_from([-9, 0, 0, 1, 2, 3, 5, 12, 31, 90])
CONTENTS = st.one_of(
    st.lists(FRAGMENTS, min_size=1, max_size=3, unique_by=lambda one: one.trace),
    st.sampled_from(["bad", "tick"]),
)
GAPS = st.sampled_from([1, 1, 1, 3])


def build(log: list[tuple[int, int, list[Fragment] | str]]) -> list[Record]:
    """Return the records, and one that moves the time past every deadline."""
    offset = time_ms = 100
    records = []
    for gap, move_ms, content in log:
        offset += gap
        time_ms += move_ms
        if content == "bad":
            records.append(a_bad_record(offset, time_ms))
        elif isinstance(content, str):
            records.append(a_tick(offset, time_ms))
        else:
            records.append(a_record(offset, time_ms, *(one.build() for one in content)))
    return [*records, a_tick(offset + 1, WALL_MS), a_tick(offset + 2, WALL_MS + 1)]


LOGS = st.lists(st.tuples(GAPS, MOVES, CONTENTS), max_size=30).map(build)


def polls(records: list[Record], size: int) -> list[list[Record]]:
    return [records[at : at + size] for at in range(0, len(records), size)]


def decision_records(partition: Partition) -> list[bytes]:
    plan = partition.plan(count_max=1_000, bytes_max=1 << 30)
    partition.committed(plan, decisions_end=None)
    return [record.value for record in plan.records if record.topic == "decisions"]


def is_late(value: bytes) -> bool:
    return decode(value)[0].trigger is Trigger.LATE


def late_coverage(values: list[bytes]) -> Counter[tuple[bytes, int]]:
    late: list[Decision] = [decode(value)[0] for value in values if is_late(value)]
    return Counter((one.trace_id, offset) for one in late for offset in one.offsets)


@given(LOGS)
def test_decision_records_are_the_same_bytes_whatever_the_size_of_a_poll(
    records: list[Record],
) -> None:
    found = []
    for size in (*POLL_SIZES, len(records)):
        partition = CORE.partition()
        for poll in polls(records, size):
            partition.sampler.fold(poll, wall_ms=WALL_MS)
        found.append(decision_records(partition))
    assert found[0] == found[1] == found[2] == found[3]


@given(LOGS)
def test_cuts_are_the_same_bytes_whenever_transactions_run(records: list[Record]) -> None:
    found = []
    for size in (*POLL_SIZES, len(records)):
        partition = CORE.partition()
        written: list[bytes] = []
        for poll in polls(records, size):
            partition.sampler.fold(poll, wall_ms=WALL_MS)
            written += decision_records(partition)
        cuts = [value for value in written if not is_late(value)]
        found.append((cuts, late_coverage(written)))
    assert found[0] == found[1] == found[2] == found[3]


def take(sampler: TailSampler) -> None:
    if not sampler._undelivered.in_flight:
        sampler.take(count_max=2, bytes_max=1 << 30)


def settle(sampler: TailSampler) -> None:
    # As many duplicates and dead letters as there may be, so that no outcome is always 0.
    settled = []
    for one in sampler._undelivered.in_flight:
        spans = 0 if isinstance(one, DeadLetter) else one.decision.spans
        settled.append(Settled(one, duplicates=spans // 3, dead_lettered=spans // 2))
    sampler.settle(settled)


def idle(sampler: TailSampler) -> None:
    sampler.idle(wall_ms=sampler.time_ms + 20, position=sampler.position)


STEPS: dict[str, Callable[[TailSampler], None]] = {
    "take": take,
    "settle": settle,
    "put_back": TailSampler.put_back,
    "idle": idle,
}


@given(LOGS, st.lists(st.sampled_from(list(STEPS)), max_size=60))
def test_received_is_accounted_plus_what_is_held_after_every_step(
    records: list[Record], steps: list[str]
) -> None:
    sampler = CORE.sampler(budget=OpenTracesBudget(limit=3))
    sent = 0
    for record in records:
        sampler.fold([record], wall_ms=WALL_MS)
        sent += sum(one.spans for one in record.fragments) + sum(one.spans for one in record.bad)
        for name in (steps.pop() if steps else "idle", steps.pop() if steps else "idle"):
            STEPS[name](sampler)
            assert sampler.accounts.received + sampler.accounts.replayed == sent
            assert sampler.accounts.received == sampler.accounts.accounted + spans_held(sampler)
    sampler.release()
    assert (spans_held(sampler), sampler.accounts.accounted) == (0, sent)
