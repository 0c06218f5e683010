"""What cannot spill keeps its budget: open traces give way, reading waits, the rest spills."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from stream.sampling.decision import Decision, Trigger, Verdict
from stream.sampling.delivery import Delivery, Settled
from stream.sampling.limits import OpenTracesBudget, Windows, fair_level
from stream.sampling.stores import KnownDecision
from stream.sampling.tail_sampler import TailSampler
from stream.sampling.trace import RECORD_BYTES, TRACE_BYTES
from stream.state.memory import DECISION_OVERHEAD_BYTES, MemorySpanStore
from stream.state.shares import Shares
from stream.state.storage import OPEN_BYTES_MIN, Storage
from stream.testing.core import Core, a_bad_record, a_record, an_error, an_ordinary
from stream.testing.spans import trace_id_of

ONE = TRACE_BYTES + RECORD_BYTES
MIB = 1 << 20
CORE = Core(Windows(decision_wait_ms=1_000_000))
MEMORY = MIB


@pytest.fixture(params=[("spill", "spill"), ("memory", "spill"), ("rocksdb", "rocksdb")])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    spans, decisions = request.param
    opened = Storage(
        tmp_path, memory_bytes=MEMORY, spans=spans, decisions=decisions, retention_ms=600_000
    )
    yield opened
    opened.close()


def accounted_bytes(storage: Storage, samplers: list[TailSampler]) -> int:
    """Everything in memory that the budget bounds, as the metric shows it."""
    held = storage.held_bytes()
    in_stores = sum(sampler._decisions.held_bytes()["memory"] for sampler in samplers)
    if storage.traces.bodies_spill:  # else they are part of their traces
        in_stores += storage._bodies.held_bytes()
    return held["open_traces"] + held["undelivered"] + in_stores


def cut(sampler: TailSampler) -> list[Decision]:
    taken = sampler.take(count_max=1_000_000, bytes_max=1 << 60)
    sampler.put_back()
    return [one.decision for one in taken if isinstance(one, Delivery)]


def test_open_traces_of_many_times_the_budget_hold_no_more_than_it(storage: Storage) -> None:
    samplers = [
        CORE.sampler(
            spans=storage.open_spans(number),
            decisions=storage.open_decisions(number),
            budget=storage.traces,
        )
        for number in range(3)
    ]
    sent_bytes = 0
    for offset in range(2_500):
        record = a_record(offset, 100, an_ordinary(offset // 4, spans=8, first_span=offset))
        sent_bytes += len(record.fragments[0].body)
        for sampler in samplers[: 1 + offset % 3]:
            sampler.fold([record])
            # What is folded before reading waits: a batch of each, here of one record.
            assert accounted_bytes(storage, samplers) <= storage.shares.held + 4 * ONE
        if storage.behind() or offset % 200 == 0:
            for sampler in samplers:
                taken = sampler.take(count_max=1_000_000, bytes_max=1 << 60)
                sampler.settle([Settled(one) for one in taken])
    assert sent_bytes > MEMORY
    limits = sum(sampler.accounts.limits["storage_memory"] for sampler in samplers)
    assert limits > 0
    for number, sampler in enumerate(samplers):
        sampler.release()
        assert sampler.open_bytes == 0, number
        sampler._spans.close()
        sampler._decisions.close()
    assert storage.traces.holders == []


def test_bytes_above_the_budget_cut_the_oldest_trace_with_its_own_name() -> None:
    sampler = CORE.sampler(budget=OpenTracesBudget(bytes_max=2 * ONE))
    sampler.fold([a_record(i, 100 + i, an_error(i + 1)) for i in range(4)])
    first, second = cut(sampler)
    assert [first.trace_id, second.trace_id] == [trace_id_of(1), trace_id_of(2)]
    assert (first.trigger, first.verdict, first.upto) == (Trigger.OVERLOAD, Verdict.SAMPLED, 4)
    assert sampler.accounts.limits == {"storage_memory": 2}
    assert (sampler.open_traces, sampler.open_bytes) == (2, 2 * ONE)
    sampler.fold([a_record(4, 110, an_error(1, first_span=5))])
    assert cut(sampler)[-1].trigger is Trigger.LATE


def test_the_partition_above_its_share_gives_way_whoever_came_last() -> None:
    budget = OpenTracesBudget(bytes_max=10 * ONE)
    hot, quiet = CORE.sampler(budget=budget), CORE.sampler(budget=budget)
    hot.fold([a_record(i, 100, an_error(i + 1)) for i in range(10)])
    quiet.fold([a_record(i, 100, an_error(i + 1)) for i in range(3)])
    assert (hot.open_traces, quiet.open_traces) == (7, 3)
    assert (hot.accounts.limits["storage_memory"], quiet.accounts.limits) == (3, {})


def test_what_was_decided_early_is_not_decided_again_while_it_is_undelivered() -> None:
    budget = OpenTracesBudget(bytes_max=4 * ONE)
    sampler = CORE.sampler(budget=budget)
    for offset in range(40):
        sampler.fold([a_record(offset, 100, an_error(offset))])
        assert sampler.open_traces == min(offset + 1, 4)
    assert sampler.undelivered_bytes == 36 * ONE
    sampler.settle([Settled(one) for one in sampler.take(count_max=99, bytes_max=1 << 30)])
    assert (sampler.undelivered_bytes, sampler.open_traces) == (0, 4)


def test_nothing_is_cut_while_cuts_are_held_and_nothing_more_is_folded_over_the_budget() -> None:
    sampler = CORE.sampler(budget=OpenTracesBudget(bytes_max=2 * ONE))
    sampler.cuts_held = True
    sampler.fold([a_record(i, 100, an_error(i)) for i in range(4)])
    assert (sampler.open_traces, sampler.position, sampler.undelivered) == (4, 4, 0)
    sampler.fold([a_record(4, 100, an_error(4))])
    assert sampler.position == 4
    sampler.cuts_held = False
    sampler.fold([a_record(4, 100, an_error(4))])
    assert (sampler.open_traces, sampler.position) == (2, 5)


def test_a_neighbour_over_the_budget_cuts_none_of_the_partition_whose_cuts_are_held() -> None:
    budget = OpenTracesBudget(bytes_max=4 * ONE)
    restoring, other = CORE.sampler(budget=budget), CORE.sampler(budget=budget)
    restoring.cuts_held = True
    restoring.fold([a_record(i, 100, an_error(i)) for i in range(4)])
    other.fold([a_record(i, 100, an_error(i)) for i in range(3)])
    assert (restoring.open_traces, restoring.undelivered) == (4, 0)
    assert (other.open_traces, other.undelivered) == (2, 1)


def a_decision(number: int) -> tuple[bytes, KnownDecision]:
    known = KnownDecision(Verdict.SAMPLED, "errors", Trigger.DECISION_WAIT, 0, upto=0, time_ms=100)
    return trace_id_of(number), known


def test_decisions_learnt_late_count_at_once() -> None:
    sampler = CORE.sampler(budget=OpenTracesBudget(bytes_max=100 * ONE))
    sampler.cuts_held = True
    sampler.learn([a_decision(number) for number in range(10)])
    assert sampler.decisions_bytes == 10 * DECISION_OVERHEAD_BYTES


def test_decisions_that_another_partition_made_spill_cut_no_trace(tmp_path: Path) -> None:
    storage = Storage(
        tmp_path, memory_bytes=MEMORY, spans="spill", decisions="spill", retention_ms=600_000
    )
    budget = OpenTracesBudget(bytes_max=storage.shares.decisions * 3 // 2)
    count = storage.shares.decisions // DECISION_OVERHEAD_BYTES
    samplers = []
    for number in range(3):
        decisions = storage.open_decisions(number)
        decisions.put([a_decision(n) for n in range(count)])
        samplers.append(CORE.sampler(decisions=decisions, budget=budget))
    assert budget.over()
    samplers[0].fold([a_record(0, 100, an_error(count + 1))])
    assert not budget.over()
    assert samplers[0].open_traces == 1
    for sampler in samplers:
        sampler._decisions.close()
    storage.close()


def test_a_hundred_partitions_with_nothing_in_them_leave_the_memory_to_the_traces(
    tmp_path: Path,
) -> None:
    storage = Storage(
        tmp_path, memory_bytes=16 * MIB, spans="spill", decisions="rocksdb", retention_ms=600_000
    )
    samplers = [
        CORE.sampler(decisions=storage.open_decisions(number), budget=storage.traces)
        for number in range(100)
    ]
    for sampler in samplers:
        sampler.fold([a_record(i, 100, an_error(i)) for i in range(40)])
    assert sum(sampler.open_traces for sampler in samplers) == 4_000
    for sampler in samplers:
        sampler._decisions.close()
    storage.close()


def test_memory_too_small_for_the_partitions_is_told_at_their_assignment_and_once(
    tmp_path: Path,
) -> None:
    storage = Storage(
        tmp_path, memory_bytes=8 * MIB, spans="spill", decisions="spill", retention_ms=600_000
    )
    with structlog.testing.capture_logs() as told:
        storage.assigned(storage.shares.open // OPEN_BYTES_MIN)
        assert told == []
        storage.assigned(100)
        storage.assigned(100)
    storage.close()
    (warning,) = told
    assert (warning["setting"], warning["value_bytes"]) == ("storage.memory", 8 * MIB)
    assert warning["partitions"] == 100
    enough = int(warning["remedy"].split("storage.memory to ")[1].split("MiB")[0])
    assert Shares.of(enough * MIB, rocksdb=True).open >= 100 * OPEN_BYTES_MIN
    assert enough < 30


def test_dead_letters_that_wait_count_with_their_bytes_and_make_reading_wait(
    storage: Storage,
) -> None:
    sampler = CORE.sampler(budget=storage.traces)
    size = storage.shares.undelivered // 4
    for offset in range(3):
        sampler.fold([a_bad_record(offset, 100, b"\xff" * size)])
    assert not storage.behind()
    sampler.fold([a_bad_record(3, 100, b"\xff" * size)])
    assert sampler.undelivered_bytes > 4 * size
    assert storage.behind()
    sampler.settle([Settled(one) for one in sampler.take(count_max=9, bytes_max=1 << 30)])
    assert not storage.behind()
    assert sampler.undelivered_bytes == 0


@given(held=st.lists(st.integers(0, 100), max_size=6), limit=st.integers(0, 400))
def test_a_fair_level_fills_the_limit_and_takes_nothing_from_those_below_it(
    held: list[int], limit: int
) -> None:
    level = fair_level(held, limit)
    left = sum(min(size, level) for size in held)
    assert left <= limit
    if sum(held) <= limit:
        assert left == sum(held)
    else:
        assert left > limit - len(held)  # but for what cannot be shared evenly


@given(memory_bytes=st.integers(1, 1 << 40), rocksdb=st.booleans())
def test_the_shares_are_the_memory(memory_bytes: int, *, rocksdb: bool) -> None:
    shares = Shares.of(memory_bytes, rocksdb=rocksdb)
    aside = shares.rocksdb + shares.inbox + shares.fetched + 2 * shares.transaction
    assert aside + shares.held == memory_bytes
    assert shares.open + shares.undelivered == shares.held
    assert 0 <= shares.decisions <= shares.held


@pytest.mark.parametrize("bodies_spill", [False, True])
def test_a_trace_that_was_dropped_holds_no_bodies_until_it_is_delivered(
    *, bodies_spill: bool
) -> None:
    # It would make reading wait for bodies that are gone already.
    sampler = CORE.sampler(
        budget=OpenTracesBudget(bodies_spill=bodies_spill), spans=MemorySpanStore()
    )
    sampler.fold([a_record(offset, 100, an_ordinary(1, first_span=offset)) for offset in (1, 2)])
    held_open_bytes = sampler.open_bytes
    sampler.idle(wall_ms=10_000_000, position=3)
    (dropped,) = sampler.take(count_max=1, bytes_max=1)
    assert sampler.undelivered_bytes == TRACE_BYTES + 2 * RECORD_BYTES
    assert (held_open_bytes > sampler.undelivered_bytes) == (not bodies_spill)
    assert dropped.body_bytes == 0, "nothing of it goes out"
