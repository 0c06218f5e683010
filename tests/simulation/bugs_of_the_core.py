"""Planted bugs of the core: time, cuts, the resume offset, what an abort puts back."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from stream.otlp.merge import Merged, merge
from stream.sampling.decision import Clock, Trigger
from stream.sampling.delivery import DeadLetter, Delivery, Settled, Undelivered
from stream.sampling.delivery_queue import DeliveryQueue
from stream.sampling.policies.evaluate import Policies
from stream.sampling.record import Record
from stream.sampling.tail_sampler import TailSampler
from stream.sampling.trace import OpenTrace
from stream.state.memory import MemoryDecisionStore, MemorySpanStore
from stream.worker.partition import Partition
from tests.simulation.bug import Patch, bug

EVERYTHING = 1 << 60


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
def deadlines_are_looked_at_once_a_poll(patch: Patch) -> None:
    fold, cut_due = TailSampler.fold, TailSampler._cut_due

    def fold_then_cut(self: TailSampler, records: Iterable[Record], **more: Any) -> None:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(TailSampler, "_cut_due", lambda *_: None)
            fold(self, records, **more)
        cut_due(self, self.time_ms, Clock.LOG)

    patch.setattr(TailSampler, "fold", fold_then_cut)


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
def dead_letters_upto_falls_back_to_the_position(patch: Patch) -> None:
    def pending(self: TailSampler) -> int:
        held = [one.first_offset for one in self._undelivered if isinstance(one, DeadLetter)]
        return min(held, default=self.position)

    patch.setattr(TailSampler, "dead_letters_upto", property(pending))


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
def a_record_is_folded_before_the_time_advances(patch: Patch) -> None:
    fold, cut_due = TailSampler.fold, TailSampler._cut_due

    def fold_then_cut(self: TailSampler, records: Iterable[Record], **more: Any) -> None:
        for record in records:
            with pytest.MonkeyPatch.context() as inside:
                inside.setattr(TailSampler, "_cut_due", lambda *_: None)
                fold(self, [record], **more)
            if not self.cuts_held:
                cut_due(self, self.time_ms, Clock.LOG)

    patch.setattr(TailSampler, "fold", fold_then_cut)


@bug
def the_wall_clock_raises_the_partition_time(patch: Patch) -> None:
    idle = TailSampler.idle

    def raising(self: TailSampler, *, wall_ms: int, position: int) -> None:
        self.time_ms = max(self.time_ms, wall_ms)
        idle(self, wall_ms=wall_ms, position=position)

    patch.setattr(TailSampler, "idle", raising)


@bug
def clock_jumps_are_not_clamped(patch: Patch) -> None:
    advance = TailSampler._advance
    patch.setattr(TailSampler, "_advance", lambda self, record, _: advance(self, record, None))


@bug
def the_resume_offset_ignores_open_traces(patch: Patch) -> None:
    patch.setattr(TailSampler, "_oldest", lambda _: None)


@bug
def the_resume_offset_comes_with_the_time_of_the_position(patch: Patch) -> None:
    resume = TailSampler.resume
    patch.setattr(TailSampler, "resume", lambda self: (resume(self)[0], self.time_ms))


@bug
def decisions_are_forgotten_below_the_position(patch: Patch) -> None:
    settle, expire = TailSampler.settle, MemoryDecisionStore.expire

    def settle_by_position(self: TailSampler, settled: Sequence[Settled]) -> None:
        def by_position(store: MemoryDecisionStore, *_: int) -> None:
            retained_from_ms = self.time_ms - self._windows.decision_retention_ms
            expire(store, retained_from_ms, self.position)

        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(MemoryDecisionStore, "expire", by_position)
            settle(self, settled)

    patch.setattr(TailSampler, "settle", settle_by_position)


@bug
def decisions_grow_old_by_the_time_of_the_position(patch: Patch) -> None:
    settle, expire = TailSampler.settle, MemoryDecisionStore.expire

    def settle_by_position(self: TailSampler, settled: Sequence[Settled]) -> None:
        def by_position(store: MemoryDecisionStore, _: int, resume_offset: int) -> None:
            expire(store, self.time_ms - self._windows.decision_retention_ms, resume_offset)

        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(MemoryDecisionStore, "expire", by_position)
            settle(self, settled)

    patch.setattr(TailSampler, "settle", settle_by_position)


@bug
def bodies_are_discarded_below_the_position(patch: Patch) -> None:
    settle, discard_below = TailSampler.settle, MemorySpanStore.discard_below

    def settle_by_position(self: TailSampler, settled: Sequence[Settled]) -> None:
        with pytest.MonkeyPatch.context() as inside:
            inside.setattr(
                MemorySpanStore,
                "discard_below",
                lambda store, _: discard_below(store, self.position),
            )
            settle(self, settled)

    patch.setattr(TailSampler, "settle", settle_by_position)


@bug
def an_abort_forgets_what_was_in_flight(patch: Patch) -> None:
    def forget(self: DeliveryQueue) -> None:
        self.in_flight = []

    patch.setattr(DeliveryQueue, "put_back", forget)


@bug
def dead_letters_of_one_record_go_apart(patch: Patch) -> None:
    patch.setattr(DeliveryQueue, "_inside_a_record", lambda _: False)


@bug
def overload_evicts_without_a_decision(patch: Patch) -> None:
    limit = TailSampler._limit

    def evict(
        self: TailSampler, trace: OpenTrace, trigger: Trigger, name: str, **more: Any
    ) -> None:
        if trigger is Trigger.OVERLOAD:
            del self._open[trace.trace_id]
            self._budget.used -= 1
        else:
            limit(self, trace, trigger, name, **more)

    patch.setattr(TailSampler, "_limit", evict)


@bug
def late_spans_that_were_sent_twice_are_delivered_twice(patch: Patch) -> None:
    patch.setattr(Partition, "_delivered_before", lambda *_: (b"", True))


@bug
def spans_that_were_sent_twice_are_delivered_twice(patch: Patch) -> None:
    def one_by_one(bodies: Sequence[bytes], stamp: Any, limit: int, seen: bytes) -> Merged:
        every = [merge([body], stamp, limit, seen) for body in bodies]
        return Merged(
            [part for one in every for part in one.parts],
            sum(one.spans for one in every),
            sum(one.duplicates for one in every),
            b"".join(one.span_ids for one in every),
            [bad for one in every for bad in one.bad],
        )

    patch.setattr("stream.worker.partition.merge", one_by_one)


@bug
def the_second_half_of_a_shared_span_is_a_duplicate(patch: Patch) -> None:
    patch.setattr("stream.otlp.merge.span_key", lambda span_id, _: span_id)


@bug
def partitions_use_each_others_limits(patch: Patch) -> None:
    patch.setattr(Policies, "of_partition", lambda self: self)
