"""The compiled loops over a transaction's deliveries and their pure-Python twins do the same."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.measurements import DELAYS_MS, DURATIONS_US
from stream.sampling.decision import Verdict
from stream.sampling.delivery import Delivery, Settled
from stream.sampling.limits import Limits
from stream.sampling.record import Record
from stream.testing.core import (
    Core,
    a_bad_record,
    a_pin,
    a_record,
    a_tick,
    an_error,
    an_ordinary,
    rules,
)
from stream.testing.decisions import a_drop
from stream.worker import _plan
from stream.worker.decision_log import DecisionLog
from stream.worker.partition import Partition, PartitionPlan
from stream.worker.tally import Tally

DECIDED = (Verdict.SAMPLED, Verdict.NOT_SAMPLED)
A_DECISION = a_drop(time_ms=1)
CORES = {
    "plain": Core(),
    "split": Core(output_bytes_max=300),
    "spans too large": Core(output_bytes_max=60),
    "ids cut": Core(limits=Limits(decision_span_ids_max=2)),
    "a share": Core(rules=rules(50)),
    "long names": Core(config="x" * 70_000),
}


def traffic(core: Core, rng: Random) -> Iterator[Record]:
    """Traces of some fragments: kept, dropped, with duplicates, headers, late ones, bad records."""
    offset = 0
    for now_ms in range(1_000, 1_400):
        trace, first_span = rng.randint(1, 60), rng.randint(1, 6)
        made = rng.choice((an_error, an_ordinary, an_ordinary))
        spans = made(trace, first_span=first_span, spans=rng.randint(1, 4))
        record = a_record(offset, now_ms, spans, rules=core.rules)
        if rng.random() < 0.1:
            record = replace(record, headers=(("tenant", bytes([trace])),))
        yield a_bad_record(offset, now_ms) if rng.random() < 0.05 else record
        if trace % 20 == 0:
            offset += 1
            yield a_pin(offset, now_ms, rng.randint(20, 99))
        offset += rng.randint(1, 300)
    yield a_tick(offset, 2_000)


def plan_of(partition: Partition) -> PartitionPlan:
    return partition.plan(count_max=10_000, bytes_max=1 << 30)


def in_python(partition: Partition) -> PartitionPlan:
    """Return the plan that `_render` makes of every delivery."""
    renderer, partition._renderer = partition._renderer, None
    planned = plan_of(partition)
    partition._renderer = renderer
    return planned


@pytest.mark.parametrize("name", CORES)
def test_they_render_and_remember_the_same(name: str) -> None:
    core = CORES[name]
    partition = core.partition(3)
    plans, seen = 0, set()
    for number, record in enumerate(traffic(core, Random(20_261_123))):
        partition.sampler.fold([record])
        if number % 50 and record.fragments:
            continue
        expected = in_python(partition)
        partition.aborted()
        for undelivered in expected.settled:
            if isinstance(undelivered.delivered, Delivery):
                forget_the_rendering(undelivered.delivered)
                seen.add((undelivered.delivered.decision.verdict, undelivered.delivered.late))
        planned = plan_of(partition)
        assert planned.records == expected.records
        assert planned.settled == expected.settled
        assert planned.body_bytes == expected.body_bytes
        assert_remembered_alike(planned.settled)
        assert_tallied_alike(planned.settled)
        partition.committed(planned, decisions_end=number)
        plans += bool(planned.records)
    assert plans > 5
    decided = {(verdict, late) for verdict in DECIDED for late in (False, True)}
    assert seen == decided | {(Verdict.PENDING, True)}
    assert partition.sampler.accounts.dead_lettered


def forget_the_rendering(delivery: Delivery) -> None:
    decision = delivery.decision
    decision.duplicates = decision.dead_lettered = 0
    decision.span_ids, decision.span_ids_complete = b"", True


def assert_remembered_alike(settled: list[Settled]) -> None:
    at_once, one_by_one = DecisionLog(5), DecisionLog(5)
    _plan.append_all(at_once, settled, "c0ffee")
    for one in settled:
        if isinstance(one.delivered, Delivery):
            one_by_one.append(one.delivered.decision)
    assert at_once._chunks == one_by_one._chunks


@given(st.lists(st.integers(1, 2_500), max_size=5), st.sets(st.integers(0, 4_000)), st.data())
def test_decisions_are_remembered_in_the_same_chunks(
    transactions: list[int], with_levels: set[int], data: st.DataObject
) -> None:
    at_once, one_by_one = DecisionLog(5), DecisionLog(5)
    rng = Random(data.draw(st.integers(0, 99)))
    made = 0
    for count in transactions:
        settled = []
        for _ in range(count):
            levels = ((made,),) if made in with_levels else ()
            decision = replace(A_DECISION, upto=rng.randint(0, 99), time_ms=made, levels=levels)
            settled.append(Settled(Delivery(decision, 0, 0, 0)))
            one_by_one.append(decision)
            one_by_one.tell_levels(levels, "c0ffee")
            made += 1
        _plan.append_all(at_once, settled, "c0ffee")
        for log in (at_once, one_by_one):
            log.advance(log.next_offset + 2 * count)
        assert at_once._chunks == one_by_one._chunks
        assert at_once.levels == one_by_one.levels
        assert at_once._levels_from == one_by_one._levels_from


def assert_tallied_alike(settled: list[Settled]) -> None:
    tally, expected = (Tally(DELAYS_MS, DURATIONS_US) for _ in range(2))
    tally.add(settled, 3_000)
    expected.add_in_python(settled, 3_000)
    assert vars(tally) == vars(expected)
