"""A worker's partitions share transactions, and a bad one stops none of the others."""

import functools

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from stream.kafka.commit import Receipt
from stream.otlp.tracestate import THRESHOLD_MAX
from stream.sampling.delivery import DeadLetter, Undelivered
from stream.testing.core import Core, a_bad_record, a_record, a_tick, an_error, rules
from stream.testing.spans import a_span, trace_id_of
from stream.worker.decision_log import DecisionLog
from stream.worker.partition import Partition
from stream.worker.transaction import Bounds, Transaction
from stream.worker.worker import Worker

CORE = Core()
DONE = Receipt({}, seconds=0.1)


def a_worker(partitions: int = 1, bounds: Bounds | None = None) -> Worker:
    worker = Worker(bounds)
    for number in range(partitions):
        worker.ready(CORE.partition(number))
    return worker


def kept(worker: Worker, number: int, traces: range) -> None:
    """Fold a kept trace for each number, and make them due."""
    sampler = worker.partitions[number].sampler
    position = sampler.position
    records = [a_record(position + i, sampler.time_ms, an_error(t)) for i, t in enumerate(traces)]
    end = a_tick(position + len(records), sampler.time_ms + 1_000)
    worker.fold(number, [*records, end], wall_ms=None)


def planned(worker: Worker, only: list[int] | None = None) -> Transaction:
    transaction = worker.plan(only)
    assert transaction is not None
    return transaction


def carried(transaction: Transaction) -> list[Undelivered]:
    return [one.delivered for plan in transaction.plans for one in plan.settled]


def committed(worker: Worker) -> Transaction:
    transaction = planned(worker)
    worker.committed(DONE)
    return transaction


def is_culprit(one: Undelivered) -> bool:
    return isinstance(one, DeadLetter) and not one.undeliverable


def broker_refuses_dead_letters(worker: Worker) -> tuple[int, list[int]]:
    """Run one transaction that is refused if it holds a dead letter's bytes."""
    transaction = worker.plan()
    if transaction is None:
        return 0, []
    if any(map(is_culprit, carried(transaction))):
        worker.aborted(message_fault=True)
        return 0, []
    worker.committed(DONE)
    return transaction.deliveries, [p.partition for p in transaction.plans if p.settled]


def test_a_worker_with_nothing_new_plans_nothing() -> None:
    worker = a_worker(2)
    committed(worker)
    assert worker.plan() is None
    assert Worker().plan() is None


def test_a_partition_that_is_not_ours_is_not_folded() -> None:
    worker = a_worker()
    assert worker.fold(0, [a_tick(0, 1)], wall_ms=None)
    assert not worker.fold(5, [a_tick(0, 1)], wall_ms=None)


def test_only_the_partitions_asked_for_take_part() -> None:
    worker = a_worker(3)
    assert [plan.partition for plan in planned(worker, [1]).plans] == [1]


def test_each_plan_starts_at_the_next_partition_so_none_waits_for_ever() -> None:
    worker = a_worker(3, Bounds(deliveries_max=1))
    for number in range(3):
        kept(worker, number, range(9))
    first = [next(p.partition for p in committed(worker).plans if p.settled) for _ in range(6)]
    assert sorted(first[:3]) == sorted(first[3:]) == [0, 1, 2]


def test_partitions_that_the_bounds_leave_out_still_commit_their_offset() -> None:
    worker = a_worker(2, Bounds(deliveries_max=1))
    for number in range(2):
        kept(worker, number, range(2))
    transaction = planned(worker)
    assert sorted(plan.partition for plan in transaction.plans) == [0, 1]
    assert transaction.deliveries == 1
    assert worker.more


def test_bytes_bound_a_transaction_but_never_below_one_delivery() -> None:
    worker = a_worker(bounds=Bounds(bytes_max=1))
    kept(worker, 0, range(3))
    assert [committed(worker).deliveries for _ in range(3)] == [1, 1, 1]
    assert not worker.more


def test_bytes_are_shared_by_the_partitions_of_a_transaction() -> None:
    worker = a_worker(2, bounds=Bounds(bytes_max=1))
    for number in range(2):
        kept(worker, number, range(3))
    assert planned(worker).deliveries == 1


def test_an_abort_for_the_brokers_fault_repeats_everything_in_smaller_transactions() -> None:
    worker = a_worker()
    kept(worker, 0, range(8))
    first = carried(planned(worker))
    worker.aborted(message_fault=False)
    again: list[Undelivered] = []
    while len(again) < 8:
        again += carried(committed(worker))
    assert again == first
    assert not any(one.undeliverable for one in again)


def test_bisection_finds_the_one_culprit_and_delivers_all_the_others() -> None:
    worker = a_worker()
    kept(worker, 0, range(20))
    worker.fold(0, [a_bad_record(21, 5_000)], wall_ms=None)
    kept(worker, 0, range(100, 120))
    for _ in range(100):
        broker_refuses_dead_letters(worker)
    sampler = worker.partitions[0].sampler
    assert (sampler.undelivered, sampler.open_spans) == (0, 0)
    assert (sampler.accounts.sampled, sampler.accounts.dead_lettered) == (40, 1)


def test_a_culprit_is_found_although_other_partitions_never_run_dry() -> None:
    worker = a_worker(4)
    worker.fold(0, [a_bad_record(0, 100)], wall_ms=None)
    delivered = 0
    for turn in range(60):
        for number in (0, 1, 2, 3):
            kept(worker, number, range(10 * turn, 10 * turn + 10))
        delivered += broker_refuses_dead_letters(worker)[0]
    assert worker.partitions[0].sampler.accounts.dead_lettered == 1
    assert delivered > 1_000


def test_two_dead_letters_of_one_record_are_one_culprit() -> None:
    worker = a_worker()
    no_ids = [a_span(trace_id=b"\x01"), a_span(span_id=bytes(8))]
    kept(worker, 0, range(5))
    worker.fold(0, [a_record(6, 5_000, no_ids)], wall_ms=None)
    for _ in range(20):
        broker_refuses_dead_letters(worker)
    assert worker.partitions[0].sampler.undelivered == 0
    assert worker.partitions[0].sampler.accounts.dead_lettered == 2


def test_dead_letters_of_two_partitions_at_one_offset_are_two_culprits() -> None:
    worker = a_worker(2)
    for number in range(2):
        worker.fold(number, [a_bad_record(0, 100)], wall_ms=None)
    transaction = planned(worker)
    worker.aborted(message_fault=True)
    assert not any(one.undeliverable for one in carried(transaction))


def test_a_partition_lost_while_its_transaction_runs_is_left_out_of_the_settlement() -> None:
    worker = a_worker(2)
    for number in range(2):
        kept(worker, number, range(3))
    transaction = planned(worker)
    lost = worker.partitions[0]
    assert worker.drop([0]) == 3
    worker.committed(DONE)
    assert lost.sampler.accounts.sampled == 0
    assert worker.partitions[1].sampler.accounts.sampled == 3
    assert transaction.deliveries == 6


@pytest.mark.parametrize("commits", [True, False])
def test_a_partition_assigned_again_while_its_old_transaction_runs_is_another_partition(
    commits: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    worker = a_worker()
    kept(worker, 0, range(3))
    planned(worker)
    worker.drop([0])
    worker.ready(CORE.partition(0))
    kept(worker, 0, range(5))
    if commits:
        worker.committed(DONE)
    else:
        worker.aborted(message_fault=True)
    sampler = worker.partitions[0].sampler
    assert (sampler.undelivered, sampler.accounts.sampled) == (5, 0)
    assert carried(planned(worker)) != []


def test_a_partition_assigned_twice_or_two_transactions_at_once_are_our_own_bug() -> None:
    worker = a_worker()
    with pytest.raises(AssertionError, match="assigned twice"):
        worker.ready(CORE.partition(0))
    worker.plan()
    with pytest.raises(AssertionError, match="one transaction at a time"):
        worker.plan()


def test_dropping_a_partition_that_is_not_ours_releases_nothing() -> None:
    assert a_worker().drop([7]) == 0


def test_what_is_refused_even_as_a_pointer_is_said_to_be_refused_for_ever() -> None:
    worker = a_worker()
    worker.fold(0, [a_bad_record(0, 1)], wall_ms=None)

    planned(worker)
    assert not worker.aborted(message_fault=True)
    planned(worker)
    assert worker.aborted(message_fault=True)


def restoring_worker() -> tuple[Worker, Partition, list[int]]:
    """Return a worker that lacks older decisions, and has polled a record that cuts, and more."""
    worker, partition, folded = Worker(), CORE.partition(0), list[int]()
    worker.ready(partition, whole=False)
    polls = [[a_record(0, 100, an_error(1)), a_tick(1, 130)], [a_tick(2, 140)]]
    for number, records in enumerate(polls):
        worker.fold(0, records, wall_ms=None, folded=functools.partial(folded.append, number))
    return worker, partition, folded


def test_while_older_decisions_are_read_nothing_is_cut_or_planned() -> None:
    worker, partition, folded = restoring_worker()
    assert (partition.sampler.position, partition.sampler.open_traces) == (1, 1)
    assert partition.catching_up
    assert not partition.catch_up()
    assert worker.plan() is None
    assert folded == []


def test_what_waited_for_older_decisions_is_folded_in_its_order_once_they_are_known() -> None:
    worker, partition, folded = restoring_worker()
    partition.whole(DecisionLog())
    worker.fold(0, [a_tick(3, 150)], wall_ms=None, folded=lambda: folded.append(2))
    while partition.catch_up():
        pass
    assert folded == [0, 1, 2]
    assert not partition.catching_up
    assert partition.sampler.position == 4
    assert planned(worker).deliveries == 1


def test_records_that_wait_are_let_go_with_their_partition() -> None:
    worker, _, folded = restoring_worker()
    worker.drop([0])
    assert folded == [0, 1]


def test_a_replay_remains_until_the_position_before_and_is_owed_meanwhile() -> None:
    partition = CORE.partition(0)
    partition.replay_upto = 2
    owed = [(partition.replay_remaining, partition.replay_debt)]
    for offset in range(3):
        partition.sampler.fold([a_record(offset, 100, an_error(1))])
        owed.append((partition.replay_remaining, partition.replay_debt))
    assert owed == [(2, 2), (1, 2), (0, 2), (0, 3)]


def test_a_threshold_that_did_not_choose_a_trace_is_not_told_on() -> None:
    chosen = rules(sampling_percentage=99)
    worker = Worker()
    worker.ready(Core(rules=chosen).partition(0))
    lie = f"a=1,ot=th:{THRESHOLD_MAX:x}"  # above what these ids have, counted up from 1
    spans = [a_span(trace_id=trace_id_of(number), trace_state=lie) for number in range(1, 40)]
    records = [a_record(at, 0, [span], rules=chosen) for at, span in enumerate(spans)]
    worker.fold(0, [*records, a_tick(len(records), 1_000)], wall_ms=None)

    kept_spans = [
        span
        for record in planned(worker).records()
        if record.topic == "output"
        for resource in TracesData.FromString(record.value).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]

    assert kept_spans
    assert {span.trace_state for span in kept_spans} == {"a=1"}
