"""Limits in partition time: who cuts a trace, and when, does not change what passes."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.decide import decide
from stream.kafka.log_state import LogState
from stream.sampling.decision import Clock, Decision
from stream.sampling.delivery import Delivery, Settled
from stream.sampling.limits import Windows
from stream.sampling.record import Record
from stream.sampling.tail_sampler import TailSampler
from stream.settings.load import checked
from stream.testing.core import IDENTITY, Core, a_record, a_tick
from stream.testing.spans import a_trace, trace_id_of, traces_data
from stream.worker.partition import Partition
from stream.worker.restore import Restore, resume_point
from tests.simulation.shape import limited

KINDS = range(4)
LOGS = st.lists(st.tuples(st.sampled_from([0, 1, 2, 9, 40]), st.integers(1, 6)), max_size=30)


def a_core(kind: int, *, after_root_ms: int = 0, config: str = "c0ffee") -> Core:
    windows = Windows(decision_wait_ms=30, decision_wait_after_root_ms=after_root_ms)
    return Core(windows, rules=limited(kind, partitions=1), config=config)


def records_of(log: list[tuple[int, int]], core: Core) -> list[Record]:
    """Return a record of a trace each."""
    time_ms, records = 1_000, []
    for offset, (after_ms, spans) in enumerate(log):
        time_ms += after_ms
        trace = a_trace(offset + 1, spans=spans, error=spans == 1)
        records.append(a_record(offset, time_ms, trace, rules=core.rules))
    return records


def decided(sampler: TailSampler) -> Iterator[Decision]:
    taken = sampler.take(count_max=1_000, bytes_max=1 << 30)
    sampler.settle([Settled(one) for one in taken])
    for one in taken:
        assert isinstance(one, Delivery)
        yield one.decision


@pytest.mark.parametrize("kind", KINDS)
@given(log=LOGS, after_root_ms=st.sampled_from([0, 8]))
def test_the_wall_clock_lets_pass_what_the_log_would_have(
    kind: int, log: list[tuple[int, int]], after_root_ms: int
) -> None:
    core = a_core(kind, after_root_ms=after_root_ms)
    by_log, by_wall = core.sampler(), core.sampler()
    records = records_of(log, core)
    for record in records:
        by_log.fold([record])
        by_wall.fold([record])
        # The broker stamps what comes next no earlier than now.
        upcoming = records[record.offset + 1 :][:1]
        until_ms = upcoming[0].timestamp_ms if upcoming else 10_000
        for wall_ms in range(record.timestamp_ms, min(until_ms, record.timestamp_ms + 60), 7):
            idle_ms = core.windows.idle_grace_ms + wall_ms
            by_wall.idle(wall_ms=idle_ms, position=record.offset + 1)
    by_log.fold([a_tick(len(records), 10_000)])
    by_wall.fold([a_tick(len(records), 10_000)])
    ours, theirs = [*decided(by_wall)], [*decided(by_log)]
    assert [one.verdict for one in ours] == [one.verdict for one in theirs]
    assert [one.levels for one in ours] == [one.levels for one in theirs]
    assert all(one.clock is Clock.LOG for one in theirs)


class Lives:
    """A partition's decisions topic and committed offset, through its owners' lives."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.decisions: list[tuple[int, bytes]] = []
        self.committed = (-1, "")
        self.verdicts: list[Decision] = []

    def deliver(self, partition: Partition, count_max: int = 1_000) -> None:
        plan = partition.plan(count_max=count_max, bytes_max=1 << 30)
        values = [record.value for record in plan.records if record.topic == "decisions"]
        self.decisions += enumerate(values, len(self.decisions))
        delivered = [one.delivered for one in plan.settled]
        self.verdicts += [one.decision for one in delivered if isinstance(one, Delivery)]
        partition.committed(plan, decisions_end=len(self.decisions))
        self.committed = plan.resume_offset, plan.metadata

    def successor(self, core: Core, *, metadata: bool = True) -> Partition:
        offset, hints = self.committed
        ends = (0, len(self.records), 0, len(self.decisions))
        point = resume_point(
            LogState(offset, hints if metadata else "", *ends),
            identity=IDENTITY,
            initial_offset="earliest",
        )
        store = core.decision_store()
        restore = Restore(point, identity=IDENTITY, decisions=store)
        restore.read(self.decisions[point.first_phase_from :])
        partition = core.partition(decisions=store, restored=(point, restore))
        if point.older_records:
            partition.sampler.cuts_held = True
            partition.learn(restore.read_older(self.decisions[point.decisions_from :]))
            partition.whole(restore.older_log)
        return partition

    def live(self, partition: Partition, upto: int, transactions: list[int]) -> None:
        """Fold up to an offset, deliver as many of what was cut as it says, and die."""
        partition.sampler.fold(self.records[partition.sampler.position : upto])
        for count_max in transactions:
            self.deliver(partition, count_max)


@pytest.mark.parametrize("kind", KINDS)
@given(
    log=LOGS,
    lives=st.lists(
        st.tuples(
            st.integers(0, 31), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.booleans()
        ),
        max_size=5,
    ),
)
def test_successors_let_pass_what_one_worker_would_have_wherever_the_others_died(
    kind: int, log: list[tuple[int, int]], lives: list[tuple[int, list[int], bool]]
) -> None:
    core = a_core(kind)
    records = [*records_of(log, core), a_tick(len(log), 10_000)]
    alone, several = Lives(records), Lives(records)
    alone.live(core.partition(), len(records), [1_000])
    for upto, transactions, metadata in lives:
        several.live(several.successor(core, metadata=metadata), upto, transactions)
    several.live(several.successor(core), len(records), [1_000])
    assert several.verdicts == alone.verdicts


def test_limits_of_changed_policies_begin_anew() -> None:
    core = a_core(0)
    records = [*records_of([(0, 6), (0, 6)], core), a_tick(2, 10_000)]
    lives = Lives(records)
    lives.live(lives.successor(core), len(records), [1])
    unchanged = lives.successor(core).sampler._policies.levels
    changed = lives.successor(a_core(0, config="cafe")).sampler._policies.levels
    assert changed == core.rules.policies.levels != unchanged


ALL = {"name": "all", "type": "always_sample"}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("rate_limiting", {"spans_per_second": 1, "burst_capacity": 7}),
        ("bytes_limiting", {"bytes_per_second": 1, "burst_capacity": 700}),
        ("composite", {"max_total_spans_per_second": 7, "composite_sub_policy": [ALL]}),
    ],
)
def test_tried_on_files_a_limit_is_one_partitions_at_one_instant(
    kind: str, options: dict[str, object]
) -> None:
    policy = {"name": "p", "type": kind, kind: options}
    settings = checked({"tail_sampling": {"policies": [policy]}})
    traces = [traces_data(a_trace(number, spans=3)) for number in (1, 2, 3)]
    kept = [one.decision.trace_id for one in decide(settings, traces).traces if one.decision.policy]
    assert kept == [trace_id_of(1), trace_id_of(2)]
    assert decide(settings, traces) == decide(settings, traces)
