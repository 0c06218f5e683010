"""Planted bugs of pins and promotions: what is forgotten, what comes too early or twice."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from stream.kafka.rereading import Rereading
from stream.kafka.sweep import END, Sweep, Turn, Want
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
    whole = Want.whole

    def said_whole(self: Want) -> Found:
        found = whole(self)
        found.partial = False
        return found

    patch.setattr(Want, "whole", said_whole)


@bug
def what_a_round_leaves_is_forgotten(patch: Patch) -> None:
    whole = Rereading.whole

    def forgetful(self: Rereading, held_bytes_max: int) -> dict[int, list[Found]]:
        found = whole(self, held_bytes_max)
        self._wants.clear()
        return found

    patch.setattr(Rereading, "whole", forgetful)


@bug
def what_a_turn_has_read_of_a_promotion_is_taken_for_all_of_it(patch: Patch) -> None:
    read_upto = Want.read_upto

    def read_all(self: Want, position: int) -> None:
        read_upto(self, END if position > 0 else position)

    patch.setattr(Want, "read_upto", read_all)


@bug
def what_a_turn_has_read_of_a_promotion_is_read_again_in_the_next_one(patch: Patch) -> None:
    read_upto = Want.read_upto

    def forgetful(self: Want, position: int) -> None:
        read_upto(self, position)
        if self.next != END:
            self._position = 0

    patch.setattr(Want, "read_upto", forgetful)


@bug
def a_promotion_that_begins_anew_goes_on_from_where_it_was(patch: Patch) -> None:
    begin_anew = Want.begin_anew

    def forgetful(self: Want) -> None:
        if hasattr(self, "found"):
            self.found.fragments.clear()
            self.held_bytes = 0
        else:
            begin_anew(self)

    patch.setattr(Want, "begin_anew", forgetful)


@bug
def a_long_range_keeps_short_ones_waiting(patch: Patch) -> None:
    def upwards(self: Rereading, turn: Turn) -> Iterator[tuple[int, Sweep]]:
        wants = list(self._going_on())
        for number in sorted({want.number for want in wants}):
            yield number, Sweep([want for want in wants if want.number == number], turn)

    patch.setattr(Rereading, "passes", upwards)


@bug
def short_promotions_keep_a_long_one_waiting(patch: Patch) -> None:
    passes = Rereading.passes

    def of_the_shortest(self: Rereading, turn: Turn) -> Iterator[tuple[int, Sweep]]:
        yield from islice(passes(self, turn), len(list(self._shortest(turn.records))))

    patch.setattr(Rereading, "passes", of_the_shortest)


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
