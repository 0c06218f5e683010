"""The half of a tail sampler that pins traces, and gives dropped ones a second chance.

A pin opens no trace. It may come minutes before its trace's first span: a window that began with
it would end before the trace does. So a trace's deadline counts from its first span, and a pin
that finds neither an open trace nor a decision is written down by itself (verdict `pending`); its
offset is held until that has committed, and from then on the decisions topic knows of it.

A pin beats every policy, `drop` too. It is refused for its expiry or `limits.pins_max` alone.
"""

from collections.abc import Sequence

from stream.otlp.fragment import Fragment
from stream.sampling.control import Pin
from stream.sampling.cutting import Cutting
from stream.sampling.decision import Decision, Verdict
from stream.sampling.kept_offsets import both_offsets, ends_of, kept_offsets
from stream.sampling.late import add_late, is_full, late_delivery
from stream.sampling.pins import PIN_POLICY, HeldPin, PendingPins, PinsBudget, pending_delivery
from stream.sampling.promotions import (
    Found,
    Promotion,
    Promotions,
    SecondChance,
    Wanted,
    promoted,
    promotion_of,
)
from stream.sampling.record import Record
from stream.sampling.stores import DecisionStore, KnownDecision
from stream.sampling.trace import RECORD_BYTES, OpenTrace


class Pinning(Cutting):
    """Pins and promotions of a `TailSampler`, which is made of it and says what each part is."""

    _decisions: DecisionStore
    _pins_budget: PinsBudget
    _second_chance: SecondChance
    _pending: PendingPins
    _pins: dict[bytes, HeldPin]
    _promotions: Promotions
    _late_promotes: bool

    def _begin_pinning(self, budget: PinsBudget, second_chance: SecondChance) -> None:
        self._pins_budget = budget
        self._second_chance = second_chance
        self._late_promotes = bool(second_chance)
        self._pending = PendingPins(budget)
        self._pins = self._pending.by_trace
        self._promotions = Promotions(budget)

    def _end_pinning(self) -> None:
        self._pending.clear()
        self._promotions.clear()

    # Pins

    def restore_pins(self, pins: Sequence[tuple[bytes, HeldPin]]) -> None:
        """Hold pins that the decisions topic knows of; not those that a decision has followed."""
        for trace_id, pin in pins:
            known = self._uncommitted.get(trace_id) or self._decisions.get(trace_id)
            held = self._pins.get(trace_id)
            if known is not None and known.upto > pin.offset:
                continue
            if (trace := self._open.get(trace_id)) is not None:
                if trace.pin is None and pin.expires_ms >= trace.opened_ms:
                    trace.pin = pin.source
            elif held is None or held.offset < pin.offset:
                self._pending.add(trace_id, pin)

    def _pin(self, pin: Pin, offset: int) -> None:
        """A pin was read: count what it finds."""
        self.accounts.records[self._pinned_as(pin, offset)] += 1

    def _pinned_as(self, pin: Pin, offset: int) -> str:
        trace_id = pin.trace_id
        trace = self._open.get(trace_id)
        if trace is not None:
            if trace.pin is not None:
                return "pin_repeated"
            trace.pin = pin.source
            return "pin_open"
        known = self._uncommitted.get(trace_id) or self._decisions.get(trace_id)
        if known is None:
            return self._hold(pin, offset)
        if known.verdict is Verdict.SAMPLED:
            return "pin_replayed" if offset < known.upto else "pin_sampled"
        return self._pin_dropped(known, pin, offset)

    def _pin_dropped(self, known: KnownDecision | Decision, pin: Pin, offset: int) -> str:
        trace_id = pin.trace_id
        if trace_id in self._promotions.by_trace:
            return "pin_repeated"
        if offset < _first_offset(known):
            # It came before the trace and kept it not, so it had expired; this is a replay.
            return "pin_replayed"
        if self._pins_budget.full():
            return self._refused()
        self._promote(known, trace_id, PIN_POLICY, offset, upto=offset + 1, source=pin.source)
        return "pin_dropped"

    def _hold(self, pin: Pin, offset: int) -> str:
        """Hold a pin of which nothing else is known; a later one may hold for longer."""
        expires_ms = self.time_ms + min(pin.ttl_ms, self._windows.decision_retention_ms)
        before = self._pins.get(pin.trace_id)
        if before is not None and offset <= before.offset:
            return "pin_replayed"
        if before is not None and expires_ms <= before.expires_ms:
            return "pin_repeated"
        if before is None and self._pins_budget.full():
            return self._refused()
        if pin.ttl_ms > self._windows.decision_retention_ms:
            # Beside pin_pending: whoever pins has settings of its own (exemplars.ttl).
            self.accounts.records["pin_clipped"] += 1
        held = HeldPin(offset, expires_ms, pin.source)
        self._pending.add(pin.trace_id, held)
        self._undelivered.append(pending_delivery(pin, held, self.time_ms))
        return "pin_pending"

    def _refused(self) -> str:
        # An exception to law 5, as the other limits that the partitions of a worker share.
        self.accounts.limits["pins_max"] += 1
        return "pin_refused"

    def _opened_pinned(self, trace: OpenTrace) -> None:
        """A trace has opened while pins wait: does one wait for it?"""
        held = self._pending.pop(trace.trace_id)
        if held is None:
            return
        if held.expires_ms >= self.time_ms:
            trace.pin = held.source
        else:
            self.accounts.records["pin_expired"] += 1

    def _expire_pins(self) -> None:
        if self._pins:
            expired = self._pending.expire(self.time_ms)
            if expired:
                self.accounts.records["pin_expired"] += expired

    # Promotions

    def wanted(self, count_max: int) -> list[Wanted]:
        """Return what is to be read again for promotions, at most so many, the oldest first.

        Each is told once; `found` takes the answer. A promotion waits until all that was decided of
        its trace has committed: only then its offsets are complete.
        """
        if self.cuts_held or self._undelivered.in_flight or not self._promotions.unread_count:
            return []
        wanted: list[Wanted] = []
        early: list[Promotion] = []
        waits = self._undelivered.late_traces()
        for promotion in self._promotions.unread():
            trace_id = promotion.trace_id
            if trace_id in self._uncommitted or trace_id in waits:
                early.append(promotion)
                continue
            known = self._decisions.get(trace_id)
            if known is not None and known.offsets != promotion.offsets:
                # Both: the one that was asked for can be forgotten meanwhile, and another follow.
                promotion.offsets = both_offsets(promotion.offsets, known.offsets)
            wanted.append(Wanted(trace_id, promotion.first_offset, promotion.offsets))
            if len(wanted) == count_max:
                break
        self.accounts.promotions["deferred"] += self._promotions.defer_unread()
        self._promotions.unread_again(early)
        return wanted

    def defer(self, wanted: Sequence[Wanted]) -> None:
        """Count those of these that the round in which they were told has not brought."""
        waiting = [self._promotions.waiting.get(one.trace_id) for one in wanted]
        left = [one for one in waiting if one is not None]
        self.accounts.promotions["deferred"] += self._promotions.defer(left)

    @property
    def pins_pending(self) -> int:
        """How many pins wait for their traces."""
        return len(self._pins)

    @property
    def promotions(self) -> int:
        """How many have not committed."""
        return len(self._promotions.by_trace)

    @property
    def promotions_queued(self) -> int:
        """How many were read, and have not committed."""
        return len(self._promotions.by_trace) - len(self._promotions.waiting)

    @property
    def promotions_unread(self) -> int:
        """How many wait to be read at all."""
        return self._promotions.unread_count

    def found(self, found: Found) -> bool:
        """Queue a promotion whose spans were read again; False if nobody waits for it (any more).

        Where nothing was left to read, the trace is what comes late of it.
        """
        promotion = self._promotions.waiting.get(found.trace_id)
        if promotion is None or promotion.first_offset != found.first_offset:
            return False
        delivery, headers_fit = promoted(promotion, found, self._limits)
        if not headers_fit:
            self.accounts.limits["trace_headers_max"] += 1
        for one in (delivery, *self._promotions.queued(promotion, delivery)):
            self._undelivered.append_late(one)
        return True

    def promoted_bodies(self, trace_id: bytes) -> list[bytes]:
        """Return the bodies of a promotion that is queued."""
        return self._promotions.by_trace[trace_id].bodies

    def _promote(
        self,
        known: KnownDecision | Decision,
        trace_id: bytes,
        policy: str,
        offset: int,
        *,
        upto: int,
        source: str = "",
    ) -> Promotion:
        # What comes of it from now on is kept, also in the batch in which it was dropped.
        self._store_bodies()
        promotion = promotion_of(
            known,
            trace_id,
            policy=policy,
            first_offset=offset,
            upto=upto,
            time_ms=self.time_ms,
            source=source,
        )
        self._promotions.add(promotion)
        return promotion

    def _promotion_of(
        self, known: KnownDecision | Decision, fragment: Fragment, offset: int
    ) -> Promotion | None:
        """Return the promotion of a dropped trace of which a late fragment came, if it has one."""
        promotion = self._promotions.by_trace.get(fragment.trace_id)
        if promotion is not None or not self._late_promotes:
            return promotion
        policy = self._second_chance.policy(fragment)
        if policy is None:
            return None
        if self._pins_budget.full():
            self._refused()
            return None
        return self._promote(known, fragment.trace_id, policy, offset, upto=offset)

    def _wait_behind(self, promotion: Promotion, fragment: Fragment, record: Record) -> None:
        """Keep a late fragment of a trace that waits to be promoted."""
        behind = promotion.behind
        if not behind or is_full(behind[-1], self._limits):
            late = late_delivery(promotion.known, promotion.trace_id, record.offset, self.time_ms)
            behind.append(late)
            self._promotions.behind_bytes += late.held_bytes
        late = behind[-1]
        add_late(late, fragment, record.offset, self.time_ms)
        held_bytes = RECORD_BYTES + self._keep(late, fragment, record)
        late.held_bytes += held_bytes
        self._promotions.behind_bytes += held_bytes


def _first_offset(known: KnownDecision | Decision) -> int:
    offsets = known.offsets if isinstance(known, KnownDecision) else kept_offsets(known.offsets)
    return ends_of(offsets)[0] if offsets else 0
