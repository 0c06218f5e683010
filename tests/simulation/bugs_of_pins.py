"""Planted bugs of pins and promotions: what is forgotten, what comes too early or twice."""

from typing import Any

from stream.kafka.sweep import Sweep
from stream.sampling import late, tail_sampler
from stream.sampling.control import Pin
from stream.sampling.decision import PROMOTIONS
from stream.sampling.pinning import Pinning
from stream.sampling.pins import HeldPin, PendingPins
from stream.sampling.promotions import Found, Promotion, Promotions, Wanted
from stream.sampling.stores import KnownDecision
from stream.worker.partition import Partition
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
    pop = PendingPins.pop

    def fresh(self: PendingPins, trace_id: bytes) -> HeldPin | None:
        pin = pop(self, trace_id)
        return pin and HeldPin(pin.offset, 1 << 60, pin.source)

    patch.setattr(PendingPins, "pop", fresh)


@bug
def a_drop_beats_a_pin(patch: Patch) -> None:
    patch.setattr("stream.sampling.cutting.kept_by_pin", lambda judgement: judgement)


@bug
def the_resume_offset_ignores_promotions(patch: Patch) -> None:
    patch.setattr(Promotions, "oldest", lambda _: None)


@bug
def late_spans_overtake_a_promotion(patch: Patch) -> None:
    wait_behind = Pinning._wait_behind

    def at_once(self: Pinning, promotion: Promotion, *args: Any) -> None:
        wait_behind(self, promotion, *args)
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
