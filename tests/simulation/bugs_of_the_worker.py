"""Planted bugs of the worker: what it plans, what it forgets, what it does of an answer."""

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream.sampling.decision import Verdict
from stream.sampling.delivery import Delivery
from stream.testing.driver import Driver
from stream.testing.log import DECISIONS, INPUT, Broker, Membership, OutOfRangeError
from stream.worker.decision_log import DecisionLog
from stream.worker.partition import Partition, PartitionPlan
from stream.worker.transaction import Transaction
from stream.worker.worker import Worker
from tests.simulation.bug import Patch, bug


@bug
def a_late_delivery_writes_no_decision(patch: Patch) -> None:
    without_decisions(patch, lambda one: one.late)


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
def the_membership_is_taken_after_the_plan(patch: Patch) -> None:
    phases = Driver._phases

    def latest(self: Driver, planned: Transaction, _: Membership | None) -> Iterator[None]:
        class Latest:
            member = property(lambda _: self.membership and self.membership.member)
            generation = property(lambda _: self.membership and self.membership.generation)

        return phases(self, planned, cast("Membership", Latest()))

    patch.setattr(Driver, "_phases", latest)


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


@bug
def a_dropped_trace_writes_no_decision(patch: Patch) -> None:
    without_decisions(patch, lambda one: one.decision.verdict is Verdict.NOT_SAMPLED)


@bug
def the_resume_offset_is_the_position(patch: Patch) -> None:
    plan = Partition.plan

    def at_the_position(self: Partition, **bounds: int) -> PartitionPlan:
        planned = plan(self, **bounds)
        planned.resume_offset = planned.position
        return planned

    patch.setattr(Partition, "plan", at_the_position)


@bug
def the_position_is_not_committed(patch: Patch) -> None:
    commit = Broker.commit

    def without(self: Broker, session: Any) -> None:
        positions = dict(self.positions)
        commit(self, session)
        self.positions = positions

    patch.setattr(Broker, "commit", without)


@bug
def a_transaction_holds_offsets_only_where_they_moved(patch: Patch) -> None:
    send_offsets = Broker.send_offsets

    def moved(self: Broker, session: Any, commits: Sequence[Any], membership: Any) -> None:
        known = self.offsets
        commits = [c for c in commits if known.get(c.partition, (0,))[0] != c.resume_offset]
        if commits:
            send_offsets(self, session, commits, membership)

    patch.setattr(Broker, "send_offsets", moved)


@bug
def batches_polled_before_a_revocation_are_folded_after_it(patch: Patch) -> None:
    forget = Driver._forget

    def without_the_inbox(self: Driver, numbers: Any) -> list[int]:
        inbox = self._inbox.copy()
        ours = forget(self, numbers)
        self._inbox = inbox
        return ours

    patch.setattr(Driver, "_forget", without_the_inbox)


@bug
def the_stable_end_is_taken_for_the_end_of_an_idle_partition(patch: Patch) -> None:
    idle, log = Driver.idle, Driver._input

    def at_the_stable_end(self: Driver, number: int, wall_ms: int) -> bool:
        end = SimpleNamespace(end=log(self, number).stable_end)
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(Driver, "_input", lambda *_: end)
            return idle(self, number, wall_ms)

    patch.setattr(Driver, "idle", at_the_stable_end)


@bug
def the_wall_clock_cuts_while_polled_records_wait(patch: Patch) -> None:
    idle = Driver.idle

    def impatient(self: Driver, number: int, wall_ms: int) -> bool:
        inbox = self._inbox.copy()
        self._inbox.clear()
        try:
            return idle(self, number, wall_ms)
        finally:
            self._inbox = inbox

    patch.setattr(Driver, "idle", impatient)


@bug
def a_commit_without_an_answer_is_taken_for_an_abort(patch: Patch) -> None:
    def carry_on(self: Driver, *, landed: bool) -> None:
        if landed:
            self._broker.commit(self.session)
        else:
            self._broker.abort(self.session)
        self._transaction = None
        self.abortable = False
        self.worker.aborted(message_fault=False)

    patch.setattr(Driver, "commit_unanswered", carry_on)


@bug
def a_refused_record_is_tried_for_ever(patch: Patch) -> None:
    aborted = Worker.aborted
    patch.setattr(Worker, "aborted", lambda self, **_: aborted(self, message_fault=False))


@bug
def a_position_below_the_log_is_moved_silently(patch: Patch) -> None:
    poll = Driver.poll

    def resetting(self: Driver, number: int, records_max: int) -> int:
        try:
            return poll(self, number, records_max)
        except OutOfRangeError:
            self._reading[number] = self._broker.topics[INPUT][number].start
            return poll(self, number, records_max)

    patch.setattr(Driver, "poll", resetting)


@bug
def decisions_may_land_before_what_they_vouch_for(patch: Patch) -> None:
    phases = Driver._phases_at_least_once

    def decisions_first(self: Driver, planned: Transaction, who: Any) -> Iterator[None]:
        for plan in planned.plans:
            plan.records.sort(key=lambda record: record.topic != DECISIONS)
        with pytest.MonkeyPatch.context() as inside:
            # One pass over everything, in the order in which it happens to land.
            inside.setattr("stream.testing.driver.DECISIONS", "no such topic")
            first = next(phases(self, planned, who), None)
        yield first
        yield from phases(self, planned, who)

    patch.setattr(Driver, "_phases_at_least_once", decisions_first)


def without_decisions(patch: Patch, of: Callable[[Delivery], bool]) -> None:
    """Leave the decision records of such deliveries out."""
    plan = Partition.plan

    def without(self: Partition, **bounds: int) -> PartitionPlan:
        planned = plan(self, **bounds)
        delivered = [one.delivered for one in planned.settled]
        left_out = {
            one.decision.trace_id.hex().encode()
            for one in delivered
            if isinstance(one, Delivery) and of(one)
        }
        planned.records[:] = [
            record
            for record in planned.records
            if record.topic != self._decisions_topic or record.key not in left_out
        ]
        return planned

    patch.setattr(Partition, "plan", without)
