"""Planted bugs of pins and promotions: what is forgotten, what comes too early or twice."""

from stream.kafka.sweep import Sweep
from stream.sampling import late, pinning, tail_sampler
from stream.sampling.control import Pin
from stream.sampling.decision import PROMOTIONS
from stream.sampling.pinning import Pinning
from stream.sampling.pins import HeldPin
from stream.sampling.promotions import Found, Promotions, Wanted
from stream.sampling.record import Record
from stream.sampling.stores import KnownDecision
from stream.sampling.tail_sampler import TailSampler
from stream.worker.partition import Partition
from stream.worker.restore import Restore
from tests.simulation.bug import Patch, bug
from tests.simulation.bugs_of_the_worker import without_decisions

Pins = dict[bytes, HeldPin]


@bug
def a_pin_before_its_trace_is_not_written_down(patch: Patch) -> None:
    def hold(self: Pinning, pin: Pin, offset: int) -> str:
        self._pending.add(pin.trace_id, HeldPin(offset, self.time_ms + pin.ttl_ms, pin.source))
        return "pin_pending"

    patch.setattr(Pinning, "_hold", hold)


@bug
def a_restore_forgets_pins(patch: Patch) -> None:
    patch.setattr(Pinning, "restore_pins", lambda *_: None)


@bug
def a_restore_forgets_the_pins_of_its_second_phase(patch: Patch) -> None:
    whole = Partition.whole
    patch.setattr(Partition, "whole", lambda self, older, _: whole(self, older))


@bug
def a_pin_that_waits_is_not_asked_when_its_trace_opens(patch: Patch) -> None:
    patch.setattr(Pinning, "_opened_pinned", lambda *_: None)


@bug
def pins_never_expire(patch: Patch) -> None:
    pop = pinning.PendingPins.pop

    def fresh(self: pinning.PendingPins, trace_id: bytes) -> HeldPin | None:
        pin = pop(self, trace_id)
        return pin and HeldPin(pin.offset, 1 << 60, pin.source)

    patch.setattr(pinning.PendingPins, "pop", fresh)


@bug
def a_drop_beats_a_pin(patch: Patch) -> None:
    patch.setattr("stream.sampling.cutting.kept_by_pin", lambda judgement: judgement)


@bug
def the_resume_offset_ignores_promotions(patch: Patch) -> None:
    patch.setattr(Promotions, "oldest", lambda _: None)


@bug
def late_spans_overtake_a_promotion(patch: Patch) -> None:
    wait_behind = Pinning._wait_behind

    def at_once(self: Pinning, *args: object) -> None:
        wait_behind(self, *args)  # type: ignore[arg-type]
        promotion = args[0]
        assert isinstance(promotion, pinning.Promotion)
        for one in promotion.behind:
            self._promotions.behind_bytes -= one.held_bytes
            self._undelivered.append_late(one)
        promotion.behind.clear()

    patch.setattr(Pinning, "_wait_behind", at_once)


@bug
def late_spans_of_a_promoted_trace_are_dropped_until_it_commits(patch: Patch) -> None:
    patch.setattr(Pinning, "_promotion_of", lambda *_: None)


@bug
def a_promotion_does_not_wait_for_what_was_decided_before(patch: Patch) -> None:
    def wanted(self: Pinning, count_max: int) -> list[Wanted]:
        if self.cuts_held:
            return []
        found = list(self._promotions.unread())[:count_max]
        return [Wanted(one.trace_id, one.first_offset, one.offsets) for one in found]

    patch.setattr(Pinning, "wanted", wanted)


@bug
def late_records_of_a_dropped_trace_forget_where_the_others_lie(patch: Patch) -> None:
    def forgetful(_: KnownDecision | None, known: KnownDecision) -> KnownDecision:
        return known

    patch.setattr(late, "with_earlier", forgetful)
    patch.setattr(tail_sampler, "with_earlier", forgetful)


@bug
def a_restore_does_not_put_the_offsets_of_late_records_together(patch: Patch) -> None:
    patch.setattr("stream.worker.restore.in_topic_order", lambda _, known: known)


@bug
def a_promotion_writes_no_decision(patch: Patch) -> None:
    without_decisions(patch, lambda one: one.decision.trigger in PROMOTIONS)


@bug
def what_is_missing_of_a_promotion_is_not_said(patch: Patch) -> None:
    end = Sweep.end

    def whole(self: Sweep) -> list[Found]:
        found = end(self)
        for one in found:
            one.partial = False
        return found

    patch.setattr(Sweep, "end", whole)


@bug
def a_deferred_promotion_is_forgotten(patch: Patch) -> None:
    patch.setattr(Pinning, "defer", lambda *_: None)


@bug
def a_range_of_offsets_is_taken_for_its_ends(patch: Patch) -> None:
    wanting = Sweep._wanting

    def of_ends(self: Sweep, offset: int) -> object:
        return [
            want
            for want in wanting(self, offset)
            if not isinstance(want.wanted.offsets, tuple) or offset in want.wanted.offsets
        ]

    patch.setattr(Sweep, "_wanting", of_ends)


@bug
def pins_are_folded_before_all_decisions_are_known(patch: Patch) -> None:
    might_cut = TailSampler._might_cut

    def without_pins(self: TailSampler, record: Record, wall_ms: int | None) -> bool:
        bare = Record(record.offset, record.timestamp_ms, record.kind, record.fragments)
        return might_cut(self, bare, wall_ms)

    patch.setattr(TailSampler, "_might_cut", without_pins)


@bug
def bodies_behind_a_promotion_go_with_those_dropped_in_its_batch(patch: Patch) -> None:
    promote = Pinning._promote

    def promote_only(self: Pinning, *args: object, **more: object) -> object:
        store = self._store_bodies
        self._store_bodies = lambda: None  # type: ignore[method-assign]
        try:
            return promote(self, *args, **more)  # type: ignore[arg-type]
        finally:
            self._store_bodies = store  # type: ignore[method-assign]

    patch.setattr(Pinning, "_promote", promote_only)


@bug
def a_replayed_pin_that_had_expired_promotes(patch: Patch) -> None:
    patch.setattr(pinning, "_first_offset", lambda _: 0)


@bug
def pins_of_the_first_phase_hide_those_that_came_later(patch: Patch) -> None:
    known = Restore._known

    def first_only(
        self: Restore, records: object, log: object, pins: dict[bytes, HeldPin]
    ) -> object:
        before = dict(pins)
        found = known(self, records, log, pins)  # type: ignore[arg-type]
        pins.update(before)
        return found

    patch.setattr(Restore, "_known", first_only)
