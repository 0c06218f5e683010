"""The half of a tail sampler that cuts traces: verdicts, fixed on what lies below a cut."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stream import compiled
from stream.otlp.fragment import Fragment
from stream.sampling.accounting import Accounts
from stream.sampling.cut import cut_delivery, due_ms
from stream.sampling.deadlines import Deadlines
from stream.sampling.decision import Clock, Decision, Trigger, Verdict
from stream.sampling.delivery import Delivery
from stream.sampling.delivery_queue import DeliveryQueue
from stream.sampling.limits import Limits, OpenTracesBudget, Windows
from stream.sampling.pins import kept_by_pin
from stream.sampling.policies.evaluate import Judgement, Policies
from stream.sampling.record import Record, copy_headers, headers_bytes
from stream.sampling.stores import SpanStore
from stream.sampling.trace import OpenTrace

if TYPE_CHECKING or compiled.RUNS:
    from stream.sampling._bodies import Bodies
    from stream.sampling._fold import State, cut_due
else:
    State = object


BY_TIME = (Trigger.DECISION_WAIT, Trigger.ROOT_RECEIVED)
"""A limit that was reached is what cuts a trace, pinned or not."""


class Cutting(State):
    """Cuts the open traces of a `TailSampler`, which is made of it and says what each part is."""

    position: int
    time_ms: int
    cuts_held: bool
    open_bytes: int
    accounts: Accounts
    _policies: Policies
    _windows: Windows
    _limits: Limits
    _budget: OpenTracesBudget
    _spans: SpanStore
    _in_memory: "Bodies | None"
    _open: dict[bytes, OpenTrace]
    _deadlines: Deadlines
    _undelivered: DeliveryQueue
    _uncommitted: dict[bytes, Decision]
    _bodies: list[tuple[bytes, int, bytes]]
    _dropped: set[bytes]

    def _cut_due(self, time_ms: int, clock: Clock) -> None:
        if compiled.RUNS:
            cut_due(self, time_ms, clock)
            return
        while (trace := self._deadlines.pop_due(self._open, time_ms)) is not None:
            hastened = trace.deadline_ms < trace.opened_ms + self._windows.decision_wait_ms
            trigger = Trigger.ROOT_RECEIVED if hastened else Trigger.DECISION_WAIT
            self._cut(trace, trigger, clock, upto=self.position)

    def _limit(
        self, trace: OpenTrace, trigger: Trigger, limit: str, *, upto: int | None = None
    ) -> None:
        self.accounts.limits[limit] += 1
        self._cut(trace, trigger, Clock.LOG, upto=self.position if upto is None else upto)

    def _cut(
        self,
        trace: OpenTrace,
        trigger: Trigger,
        clock: Clock,
        *,
        upto: int,
        judged: Judgement | None = None,
    ) -> None:
        """Fix the verdict on what lies below `upto`. It stands, whatever becomes of delivering."""
        assert not self.cuts_held, "a trace whose decision may be known must not be judged"
        del self._open[trace.trace_id]
        self._budget.used -= 1
        self.open_bytes -= trace.held_bytes
        judgement = judged or self._judged(trace, clock)
        for policy, vote in judgement.votes:
            self.accounts.votes[policy, vote.value] += 1
        source = ""
        if trace.pin is not None and judgement.verdict is Verdict.NOT_SAMPLED:
            judgement, source = kept_by_pin(judgement), trace.pin
            if trigger in BY_TIME:
                trigger = Trigger.PINNED
        if judgement.verdict is Verdict.NOT_SAMPLED:
            self._spans.delete(trace.trace_id, trace.offsets)
            if self._bodies:
                self._dropped.add(trace.trace_id)
        delivery = cut_delivery(
            trace,
            judgement,
            trigger=trigger,
            clock=clock,
            upto=upto,
            time_ms=self.time_ms,
            bodies_spill=self._budget.bodies_spill,
            source=source,
        )
        self._uncommitted[trace.trace_id] = delivery.decision
        self._undelivered.append(delivery)

    def _judged(self, trace: OpenTrace, clock: Clock) -> Judgement:
        def bodies() -> Sequence[bytes]:
            self._store_bodies()
            return self._spans.get(trace.trace_id, trace.offsets)

        due = due_ms(trace, clock, self.time_ms)
        return self._policies.judge_cut(trace, bodies, due_ms=due)

    def _keep(self, of: OpenTrace | Delivery, fragment: Fragment, record: Record) -> int:
        """Keep the body, and the headers; return the bytes that cannot spill of them."""
        if self._in_memory is not None:
            self._in_memory.put_one(fragment.trace_id, record.offset, fragment.body)
        else:
            self._bodies.append((fragment.trace_id, record.offset, fragment.body))
        held_bytes = 0 if self._budget.bodies_spill else len(fragment.body)
        if record.headers:
            held_bytes -= headers_bytes(of.headers)
            if not copy_headers(record.headers, of.headers, self._limits):
                self.accounts.limits["trace_headers_max"] += 1
            held_bytes += headers_bytes(of.headers)
        return held_bytes

    def _store_bodies(self) -> None:
        """Hand the batch's bodies over at once, but for those of traces dropped meanwhile."""
        if self._bodies or self._in_memory is not None:
            dropped = self._dropped
            self._spans.put([body for body in self._bodies if body[0] not in dropped])
            self._bodies, self._dropped = [], set()
