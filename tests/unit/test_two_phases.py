"""A restore in two phases decides, delivers and accounts as if all had been known at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.kafka.log_state import LogState
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.record import Record
from stream.testing.core import IDENTITY, Core, a_bad_record, a_record, a_tick, rules
from stream.testing.spans import a_trace
from stream.worker import decision_log
from stream.worker.partition import Partition
from stream.worker.restore import Restore, ResumePoint, resume_point
from stream.worker.worker import Worker
from tests.simulation.shape import limited

BUSY = 40  # steps of a life, at most


def a_core(root_ms: int, spans_max: int, limits_of: int | None) -> Core:
    windows = Windows(decision_wait_ms=30, decision_wait_after_root_ms=root_ms)
    limits = Limits(trace_spans_max=spans_max)
    chosen = rules(50) if limits_of is None else limited(limits_of, partitions=1)
    return Core(windows=windows, limits=limits, rules=chosen)


@dataclass
class Log:
    """The input, what was committed of it, and the decisions topic."""

    core: Core
    records: list[Record]
    decisions: list[tuple[int, bytes]] = field(default_factory=list)
    committed: tuple[int, str] = (-1, "")

    def deliver(self, partition: Partition) -> list[tuple[str, bytes]]:
        """Run a transaction; return what it produced, in an order of its own."""
        plan = partition.plan(count_max=1_000, bytes_max=1 << 30)
        for record in plan.records:
            if record.topic == "decisions":
                self.decisions.append((len(self.decisions), record.value))
        partition.committed(plan, decisions_end=len(self.decisions))
        self.committed = plan.resume_offset, plan.metadata
        return sorted((one.topic, one.value) for one in plan.records)

    def point(self) -> ResumePoint:
        """Return where a successor starts."""
        ends = (0, len(self.records), 0, len(self.decisions))
        return resume_point(
            LogState(*self.committed, *ends), identity=IDENTITY, initial_offset="earliest"
        )

    def polls(self, partition: Partition, size: int) -> Iterator[list[Record]]:
        """Yield the records from where the partition starts, so many at a time."""
        for at in range(partition.sampler.position, len(self.records), size):
            yield self.records[at : at + size]


@st.composite
def logs(draw: st.DrawFn) -> Log:
    core = a_core(
        draw(st.sampled_from([0, 8])),
        draw(st.sampled_from([4, 100_000])),
        draw(st.sampled_from([None, 0, 1, 2, 3])),
    )
    time_ms, records = 1_000, []
    for offset in range(draw(st.integers(5, 60))):
        time_ms += draw(st.sampled_from([0, 1, 3, 9]))
        trace = draw(st.integers(0, 5))
        if trace == 0:
            records.append(draw(st.sampled_from([a_tick, a_bad_record]))(offset, time_ms))
            continue
        # Some ids come again: what was delivered is removed by its ids.
        first_span = draw(st.integers(1, 40))
        spans = a_trace(
            trace, spans=draw(st.integers(1, 3)), first_span=first_span, error=draw(st.booleans())
        )
        records.append(a_record(offset, time_ms, spans, rules=core.rules))
    return Log(core, records)


def first_life(log: Log, ends: int, every: int) -> None:
    """A worker folds up to an offset, commits now and then, and dies."""
    partition = log.core.partition()
    for at, record in enumerate(log.records[:ends]):
        partition.sampler.fold([record])
        if at % every == 0:
            log.deliver(partition)


def restored(log: Log, point: ResumePoint, budget: OpenTracesBudget) -> tuple[Partition, Restore]:
    decisions = log.core.decision_store()
    restore = Restore(point, identity=IDENTITY, decisions=decisions)
    restore.read(log.decisions[point.first_phase_from :])
    partition = log.core.partition(decisions=decisions, budget=budget, restored=(point, restore))
    return partition, restore


def at_once(log: Log, poll: int, budget: OpenTracesBudget) -> Partition:
    partition, _ = restored(log, replace(log.point(), replay_from=0), budget)
    for records in log.polls(partition, poll):
        partition.fold(records, wall_ms=None, folded=lambda: None)
    return partition


def in_two_phases(log: Log, poll: int, budget: OpenTracesBudget, learns: list[bool]) -> Partition:
    """Polls and steps of the second phase, interleaved as `learns` says; then what is left."""
    point = log.point()
    partition, restore = restored(log, point, budget)
    worker = Worker()
    worker.ready(partition, whole=not point.older_records)
    older = log.decisions[point.decisions_from :]
    polls = list(log.polls(partition, poll))
    for learn in learns:
        if learn and point.older_records:
            # The last read goes on into the first phase.
            partition.learn(restore.read_older(older[:2]))
            older = older[2:]
        elif not learn and polls:
            worker.fold(0, polls.pop(0), wall_ms=None)
            assert not (point.older_records and partition.changed), "nothing may be committed"
    if point.older_records:
        partition.learn(restore.read_older(older))
        partition.whole(restore.older_log)
    for records in polls:
        worker.fold(0, records, wall_ms=None)
    while partition.catching_up:
        partition.catch_up()
    return partition


@pytest.mark.usefixtures("one_a_chunk")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300
)
@given(
    logs(),
    st.integers(0, 60),
    st.integers(1, 9),
    st.sampled_from([1, 3, 100]),
    st.sampled_from([3, 1_000]),
    st.lists(st.booleans(), max_size=BUSY),
)
def test_two_phases_end_where_one_would_have_ended(
    log: Log, dies: int, every: int, poll: int, budget: int, learns: list[bool]
) -> None:
    first_life(log, dies, every)
    budgets = OpenTracesBudget(budget), OpenTracesBudget(budget)
    lives = at_once(log, poll, budgets[0]), in_two_phases(log, poll, budgets[1], learns)
    assert budgets[0].used == budgets[1].used
    ends = []
    for partition in lives:
        successor = replace(log, decisions=list(log.decisions))
        delivered = successor.deliver(partition)
        sampler = partition.sampler
        counts = replace(sampler.accounts)
        ends.append((delivered, successor.committed, sampler.open_spans, sampler.resume(), counts))
    assert ends[0] == ends[1]


@pytest.fixture
def one_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "CHUNK_RECORDS", 1)
