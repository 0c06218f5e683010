"""Pins that wait for their traces, and what a pin does to a verdict."""

import heapq
from dataclasses import dataclass, replace
from typing import Final

from stream.otlp.tracestate import UNKNOWN_THRESHOLD
from stream.sampling.control import Pin
from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import Delivery
from stream.sampling.policies.evaluate import Judgement

PIN_POLICY: Final = "pin"
"""What stands where a policy's name does, of a trace that no policy wanted and a pin has kept."""

PENDING_BYTES: Final = 900
"""What Python holds for a pin's record that waits for its transaction (an estimate)."""

STALE_EXPIRIES_MAX: Final = 1_000


@dataclass(slots=True)
class PinsBudget:
    """How many pins the partitions of one worker may hold: pending, or waiting for a promotion."""

    limit: int = 100_000
    used: int = 0

    def full(self) -> bool:
        """Return whether no other one is taken."""
        return self.used >= self.limit


@dataclass(frozen=True, slots=True)
class HeldPin:
    """A pin that waits for its trace's first span until this partition time."""

    offset: int
    expires_ms: int
    source: str


class PendingPins:
    """The pins of one partition that wait, by trace id, and when each expires.

    `by_trace` is looked into only while it holds something: most partitions have no pins.
    """

    def __init__(self, budget: PinsBudget) -> None:
        self.by_trace: dict[bytes, HeldPin] = {}
        self._budget = budget
        self._expiries: list[tuple[int, bytes]] = []

    def add(self, trace_id: bytes, pin: HeldPin) -> None:
        """Hold a pin, in the place of one that the trace has."""
        self._budget.used += trace_id not in self.by_trace
        self.by_trace[trace_id] = pin
        heapq.heappush(self._expiries, (pin.expires_ms, trace_id))
        if len(self._expiries) > 2 * len(self.by_trace) + STALE_EXPIRIES_MAX:
            # Most are of pins that have met their traces, or wait longer now.
            self._expiries = [(one.expires_ms, key) for key, one in self.by_trace.items()]
            heapq.heapify(self._expiries)

    def pop(self, trace_id: bytes) -> HeldPin | None:
        """Let go of a trace's pin, if it has one."""
        pin = self.by_trace.pop(trace_id, None)
        self._budget.used -= pin is not None
        return pin

    def expire(self, time_ms: int) -> int:
        """Forget those that expired before this partition time; return how many."""
        expired = 0
        while self._expiries and self._expiries[0][0] < time_ms:
            expires_ms, trace_id = heapq.heappop(self._expiries)
            pin = self.by_trace.get(trace_id)
            if pin is not None and pin.expires_ms == expires_ms:
                self.pop(trace_id)
                expired += 1
        return expired

    def clear(self) -> None:
        """Forget all of them."""
        self._budget.used -= len(self.by_trace)
        self.by_trace.clear()
        self._expiries.clear()


def kept_by_pin(judgement: Judgement) -> Judgement:
    """Return the judgement of a trace that the policies would not keep, and that is pinned.

    Nobody knows for how many like it such a trace stands.
    """
    return replace(
        judgement, verdict=Verdict.SAMPLED, policy=PIN_POLICY, threshold=UNKNOWN_THRESHOLD
    )


def pending_delivery(pin: Pin, held: HeldPin, time_ms: int) -> Delivery:
    """Return what holds the resume offset at a pin until its record has been committed."""
    decision = Decision(
        pin.trace_id,
        Verdict.PENDING,
        PIN_POLICY,
        Trigger.PINNED,
        0,
        spans=0,
        errors=0,
        duration_us=0,
        complete=False,
        time_ms=time_ms,
        clock=Clock.LOG,
        upto=held.offset + 1,
        offsets=[],
        source=held.source,
        expires_ms=held.expires_ms,
    )
    return Delivery(decision, held.offset, time_ms, 0, late=True, held_bytes=PENDING_BYTES)
