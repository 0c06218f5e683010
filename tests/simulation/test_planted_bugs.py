"""The simulator bites: a rule switched off is found by some seed among the first ones."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import pytest

from stream.kafka.log_state import LogState
from stream.sampling.decision import Clock
from stream.sampling.delivery import DeadLetter, Delivery, Settled, Undelivered
from stream.sampling.delivery_queue import DeliveryQueue
from stream.sampling.record import Record
from stream.sampling.stores import KnownDecision
from stream.sampling.tail_sampler import TailSampler
from stream.sampling.trace import OpenTrace
from stream.state.memory import MemoryDecisionStore
from stream.testing.driver import Driver
from stream.testing.log import Broker, Group, Membership
from stream.worker import hints, restore
from stream.worker.decision_log import DecisionLog
from stream.worker.hints import Hints
from stream.worker.partition import Partition, PartitionPlan
from stream.worker.restore import Restore
from stream.worker.transaction import Transaction
from tests.simulation.simulation import Simulation

SEEDS = 200
Patch = pytest.MonkeyPatch
BUGS: dict[str, Callable[[Patch], None]] = {}


def bug(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    BUGS[plant.__name__.replace("_", " ")] = plant
    return plant


def found(seed: int) -> list[str]:
    simulation = Simulation(seed)
    try:
        simulation.run()
        return simulation.laws_broken()
    except Exception as problem:  # noqa: BLE001 - a broken rule may break anything
        return [repr(problem)]


@bug
def upto_is_the_read_position(patch: Patch) -> None:
    fold, cut = TailSampler.fold, TailSampler._cut
    ends: dict[TailSampler, int] = {}

    def fold_all(self: TailSampler, records: Sequence[Record], **more: Any) -> None:
        ends[self] = records[-1].offset + 1
        fold(self, records, **more)

    def cut_at_the_end(self: TailSampler, *args: Any, upto: int) -> None:
        cut(self, *args, upto=max(upto, ends.get(self, 0)))

    patch.setattr(TailSampler, "fold", fold_all)
    patch.setattr(TailSampler, "_cut", cut_at_the_end)


@bug
def a_late_delivery_writes_no_decision(patch: Patch) -> None:
    render = Partition._render

    def without(self: Partition, one: Undelivered, records: list[Any], seen: Any) -> Settled:
        settled = render(self, one, records, seen)
        if isinstance(one, Delivery) and one.late:
            records.pop()
        return settled

    patch.setattr(Partition, "_render", without)


@bug
def a_late_decision_has_the_upto_of_the_first(patch: Patch) -> None:
    read = Restore.read

    def first_upto(self: Restore, records: list[tuple[int, bytes]]) -> None:
        for record in records:
            read(self, [record])

    put = MemoryDecisionStore.put

    def keep_upto(self: MemoryDecisionStore, found: Sequence[Any]) -> None:
        kept = []
        for trace_id, one in found:
            before = self.get(trace_id)
            kept.append((trace_id, dataclasses.replace(one, upto=before.upto) if before else one))
        put(self, kept)

    patch.setattr(Restore, "read", first_upto)
    patch.setattr(MemoryDecisionStore, "put", keep_upto)


@bug
def the_resume_offset_ignores_what_is_undelivered(patch: Patch) -> None:
    def resume(self: TailSampler) -> tuple[int, int]:
        oldest = next(iter(self._open.values()), None)
        end = (self.position, self.time_ms)
        return min(end, (oldest.first_offset, oldest.opened_ms)) if oldest else end

    patch.setattr(TailSampler, "resume", resume)


@bug
def the_resume_offset_ignores_dead_letters(patch: Patch) -> None:
    def oldest(self: DeliveryQueue) -> tuple[int, int] | None:
        held = [(d.first_offset, d.opened_ms) for d in self if isinstance(d, Delivery)]
        return min(held, default=None)

    patch.setattr(DeliveryQueue, "oldest", oldest)


@bug
def decisions_are_not_restored(patch: Patch) -> None:
    patch.setattr(Restore, "read", lambda *_: None)


@bug
def span_ids_are_not_restored(patch: Patch) -> None:
    patch.setattr(restore, "KnownDecision", lambda *fields: KnownDecision(*fields[:6]))


@bug
def deadlines_are_looked_at_once_a_poll(patch: Patch) -> None:
    fold, cut_due = TailSampler.fold, TailSampler._cut_due

    def fold_then_cut(self: TailSampler, records: Iterable[Record], **more: Any) -> None:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(TailSampler, "_cut_due", lambda *_: None)
            fold(self, records, **more)
        cut_due(self, self.time_ms, Clock.LOG)

    patch.setattr(TailSampler, "fold", fold_then_cut)


@bug
def an_abort_merges_traces_back(patch: Patch) -> None:
    cut, put_back = TailSampler._cut, TailSampler.put_back
    traces: dict[tuple[TailSampler, bytes], OpenTrace] = {}

    def remember(self: TailSampler, trace: OpenTrace, *args: Any, **more: Any) -> None:
        traces[self, trace.trace_id] = trace
        cut(self, trace, *args, **more)

    def merge_back(self: TailSampler) -> None:
        for one in list(self._undelivered.in_flight):
            if isinstance(one, Delivery) and not one.late:
                trace_id = one.decision.trace_id
                del self._uncommitted[trace_id]
                self._undelivered.in_flight.remove(one)
                self._open[trace_id] = traces[self, trace_id]
                self._budget.used += 1
                self._deadlines.schedule(traces[self, trace_id])
        put_back(self)

    patch.setattr(TailSampler, "_cut", remember)
    patch.setattr(TailSampler, "put_back", merge_back)


@bug
def an_abort_loses_the_order(patch: Patch) -> None:
    put_back = DeliveryQueue.put_back

    def at_the_end(self: DeliveryQueue) -> None:
        count = len(self.in_flight)
        put_back(self)
        self._waiting.rotate(-count)

    patch.setattr(DeliveryQueue, "put_back", at_the_end)


@bug
def late_spans_join_a_delivery_in_flight(patch: Patch) -> None:
    take = DeliveryQueue.take

    def keep_late(self: DeliveryQueue, **bounds: int) -> list[Undelivered]:
        late = {trace_id: deque(waiting) for trace_id, waiting in self._late.items()}
        taken = take(self, **bounds)
        self._late.update(late)
        return taken

    patch.setattr(DeliveryQueue, "take", keep_late)


@bug
def hints_are_used_though_their_offset_disagrees(patch: Patch) -> None:
    decode = hints.decode

    def trusting(metadata: str | None, *, offset: int, identity: Any) -> Hints | None:
        for guess in (offset, offset + 3):
            found = decode(metadata, offset=guess, identity=identity)
            if found is not None:
                return found
        return None

    patch.setattr(hints, "decode", trusting)


@bug
def partition_time_is_not_restored(patch: Patch) -> None:
    point = restore.resume_point
    patch.setattr(
        "stream.testing.driver.resume_point",
        lambda *args, **more: dataclasses.replace(point(*args, **more), time_ms=0),
    )


@bug
def dead_letters_upto_falls_back_to_the_position(patch: Patch) -> None:
    def pending(self: TailSampler) -> int:
        held = [one.first_offset for one in self._undelivered if isinstance(one, DeadLetter)]
        return min(held, default=self.position)

    patch.setattr(TailSampler, "dead_letters_upto", property(pending))


@bug
def retention_counts_from_the_position(patch: Patch) -> None:
    needed_from = DecisionLog.needed_from
    plan = Partition.plan

    def plan_at(self: Partition, **bounds: int) -> PartitionPlan:
        def from_position(log: DecisionLog, *, resume_offset: int, **_: int) -> int:
            retained_from_ms = self.sampler.time_ms - self._retention_ms
            return needed_from(log, resume_offset=resume_offset, retained_from_ms=retained_from_ms)

        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(DecisionLog, "needed_from", from_position)
            return plan(self, **bounds)

    patch.setattr(Partition, "plan", plan_at)


@bug
def a_successor_is_told_to_read_only_what_its_replay_needs(patch: Patch) -> None:
    needed_from = DecisionLog.needed_from
    patch.setattr(
        DecisionLog,
        "needed_from",
        lambda self, *, resume_offset, **_: needed_from(
            self, resume_offset=resume_offset, retained_from_ms=1 << 60
        ),
    )


@bug
def the_decision_log_forgets_before_the_commit(patch: Patch) -> None:
    plan = Partition.plan

    def forgetful(self: Partition, **bounds: int) -> PartitionPlan:
        # As far as would do if what is planned now, and next, had committed.
        self._log.forget_below(self._log.next_offset)
        return plan(self, **bounds)

    patch.setattr(Partition, "plan", forgetful)


@bug
def bodies_are_forgotten_before_the_commit(patch: Patch) -> None:
    plan = Partition.plan

    def forgetful(self: Partition, **bounds: int) -> PartitionPlan:
        planned = plan(self, **bounds)
        for settled in planned.settled:
            if isinstance(settled.delivered, Delivery):
                decision = settled.delivered.decision
                self._spans.delete(decision.trace_id, decision.offsets)
        return planned

    patch.setattr(Partition, "plan", forgetful)


@bug
def the_membership_is_taken_after_the_plan(patch: Patch) -> None:
    phases = Driver._phases

    def latest(self: Driver, planned: Transaction, _: Membership | None) -> Iterator[None]:
        class Latest:
            member = property(lambda _: self.membership and self.membership.member)
            generation = property(lambda _: self.membership and self.membership.generation)

        return phases(self, planned, cast("Membership", Latest()))

    patch.setattr(Driver, "_phases", latest)


@bug
def the_group_fences_nobody(patch: Patch) -> None:
    patch.setattr(Group, "check", lambda *_: None)


@bug
def a_producer_fences_nobody(patch: Patch) -> None:
    transaction = Broker._transaction

    def lenient(self: Broker, session: Any) -> Any:
        session = dataclasses.replace(session, epoch=self._epochs[session.transactional_id])
        return transaction(self, session)

    patch.setattr(Broker, "_transaction", lenient)


@bug
def offsets_are_read_while_a_transaction_holds_them(patch: Patch) -> None:
    log_state = Broker.log_state
    patch.setattr(Broker, "stable", lambda *_: True)

    def to_the_stable_end(self: Broker, number: int) -> LogState:
        end = self.topics["decisions"][number].stable_end
        return dataclasses.replace(log_state(self, number), decisions_end=end)

    patch.setattr(Broker, "log_state", to_the_stable_end)


@bug
def the_wall_clock_cuts_while_a_partition_is_revoked(patch: Patch) -> None:
    idle = Driver.idle

    def also_revoked(self: Driver, number: int, wall_ms: int) -> bool:
        owned, self.owned = self.owned, {*self.owned, number}
        try:
            return idle(self, number, wall_ms)
        finally:
            self.owned = owned

    patch.setattr(Driver, "idle", also_revoked)


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, monkeypatch: Patch) -> None:
    BUGS[name](monkeypatch)
    assert any(found(seed) for seed in range(1, SEEDS + 1)), f"{SEEDS} seeds did not find it"


def test_nothing_is_found_where_nothing_is_planted() -> None:
    assert not any(found(seed) for seed in range(1, 31))
